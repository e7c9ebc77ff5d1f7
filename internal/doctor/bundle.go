package doctor

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// maxPart is how much of one piece of evidence is packed; of a log the end is.
	maxPart = 1 << 20
	// bundleFolder holds everything in the archive.
	bundleFolder = "upkeep-report"
)

// Evidence is what a bug report has beside the findings. Empty parts are left out.
type Evidence struct {
	// Config is the effective configuration as JSON.
	Config []byte
	// Logs by file name; the end of each is packed.
	Logs map[string]string
	// Environment has the variables that concern host, as NAME=VALUE.
	Environment []string
	// Secrets are texts that must not be in the bundle, wherever they turn up.
	Secrets []string
}

// part is one file of the bundle.
type part struct {
	name string
	data []byte
}

// Examined is a report with what was seen on the way, for WriteBundle.
type Examined struct {
	Report
	health, diagnostics, pidFile, lastError []byte
}

// WriteBundle packs the report and the evidence into the new file at path
// (tar.gz, mode 0600). Everything passes the redactor: values under keys that
// sound secret, tokens, passwords in addresses, private keys, session ids, and
// the given secrets. Each part has at most 1 MiB. It refuses to replace a file,
// and leaves none behind when it fails.
func (x Examined) WriteBundle(path string, ev Evidence) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already; name a new file", path)
	}
	if err != nil {
		return err
	}
	err = errors.Join(pack(f, x.parts(ev), x.Time), f.Close())
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// parts are the redacted files of the bundle, in a fixed order.
func (x Examined) parts(ev Evidence) []part {
	r := newRedactor(ev.Secrets)
	findings, err := json.MarshalIndent(x.Report, "", "  ")
	if err != nil { // a report has nothing that JSON cannot carry
		findings = []byte(err.Error())
	}
	parts := []part{
		{"findings.txt", r.text([]byte(x.Report.Text(nil)))},
		{"findings.json", r.json(findings)},
		{"config.json", r.json(ev.Config)},
		{"health.json", r.json(x.health)},
		{"diagnostics.json", r.json(x.diagnostics)},
		{"pidfile.json", r.json(x.pidFile)},
		{"last-error.json", r.json(x.lastError)},
		{"environment.txt", environment(r, ev.Environment)},
	}
	for _, name := range slices.Sorted(maps.Keys(ev.Logs)) {
		data, err := tail(ev.Logs[name], maxPart)
		if err != nil {
			data = []byte(err.Error() + "\n")
		}
		parts = append(parts, part{"log/" + filepath.Base(name), r.text(data)})
	}
	var out []part
	for _, p := range parts {
		if len(p.data) == 0 {
			continue
		}
		if len(p.data) > maxPart {
			p.data = append(p.data[:maxPart:maxPart], "\n[cut]\n"...)
		}
		out = append(out, p)
	}
	return out
}

// environment lists variables; the value of one that sounds secret is masked.
func environment(r *redactor, variables []string) []byte {
	var b strings.Builder
	for _, v := range slices.Sorted(slices.Values(variables)) {
		name, value, _ := strings.Cut(v, "=")
		if secretKey.MatchString(name) {
			value = mask
		}
		fmt.Fprintf(&b, "%s=%s\n", name, r.text([]byte(value)))
	}
	return []byte(b.String())
}

func pack(w io.Writer, parts []part, at time.Time) error {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	for _, p := range parts {
		head := &tar.Header{Name: bundleFolder + "/" + p.name, Mode: 0o600, Size: int64(len(p.data)), ModTime: at, Format: tar.FormatPAX}
		if err := archive.WriteHeader(head); err != nil {
			return err
		}
		if _, err := archive.Write(p.data); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}

// tail is the end of a regular file, from the beginning of a line.
func tail(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	from := max(0, info.Size()-limit)
	data, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, from, limit), limit))
	if err != nil || from == 0 {
		return data, err
	}
	for i, b := range data { // a line that begins before the cut could hide a secret's name
		if b == '\n' {
			return data[i+1:], nil
		}
	}
	return nil, nil
}
