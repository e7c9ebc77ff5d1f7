package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/core/problem"
)

// unpack reads a bundle.
func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if head.Mode != 0o600 {
			t.Errorf("%s has mode %o", head.Name, head.Mode)
		}
		files[head.Name] = string(content)
	}
}

func TestABundleHoldsWhatABugReportNeedsAndNoSecret(t *testing.T) {
	const secret = "hunter2-S3CRET-"
	planted := 0
	plant := func() string { planted++; return secret + string(rune('a'+planted-1)) }

	in := well(t)
	known := plant() // as the content of the token file is: it may turn up anywhere
	health := `{"status": "healthy", "note": "the token is ` + known + `", "client_versions": {"sid-` + known + `": "3.4.0"}}`
	diagnostics := `{"plugins": [{"name": "disk", "state": "running", "stderr": ["Authorization: Bearer ` + plant() + `", "db: postgres://user:` + plant() + `@db/x"],
		"args": ["--api-key", "` + plant() + `", "--verbose"], "config": {"password": "` + plant() + `", "nested": {"client_secret": ["` + plant() + `"]}}}],
		"hub": {"statistics": {"client_versions": {"` + plant() + `": "3.4.0"}}}}`
	runs(&in, health, diagnostics)
	in.LastError = &problem.Error{Code: problem.PortConflict, What: "taken", Context: map[string]any{
		"conflicting_process": map[string]any{"pid": 7, "command_line": "server --password " + plant() + " --token=" + plant() + " -v"}, "session_id": plant()}}
	in.ConfigErr = errors.New("server.host: got " + known)
	log := filepath.Join(t.TempDir(), "host.log")
	lines := []string{
		"2026 [INFO] host: hub serves", `{"@level":"info","token":"` + plant() + `","port":8765}`, "password=" + plant(), "cookie: " + plant(),
		"-----BEGIN RSA PRIVATE KEY-----\n" + plant() + "\n-----END RSA PRIVATE KEY-----", "GET /x?access_token=" + plant() + "&y=1", "jwt eyJhbGciOiJIUzI1NiJ9." + plant() + ".sig", known,
	}
	if err := os.WriteFile(log, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.tar.gz")
	err := Run(t.Context(), in).WriteBundle(path, Evidence{
		Config: []byte(`{"server": {"port": 8765}, "admin": {"token": "` + plant() + `"}, "plugins": {"x": {"config": {"api_key": "` + plant() + `", "url": "https://me:` + plant() + `@host/"}}}}`),
		Logs:   map[string]string{"host.log": log}, Environment: []string{"UPKEEP_ADMIN__TOKEN=" + plant(), "UPKEEP_SERVER__PORT=8765"}, Secrets: []string{known + "\n", "x", ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v (%v), want 0600", info.Mode(), err)
	}
	files := unpack(t, path)
	for name, content := range files {
		if i := strings.Index(content, secret); i >= 0 {
			t.Errorf("%s tells a secret: ...%s...", name, content[max(0, i-60):min(len(content), i+30)])
		}
	}
	for name, wants := range map[string][]string{
		"findings.txt": {"configuration", "server.host: got " + mask}, "findings.json": {`"schema_version": 1`},
		"config.json": {`"port": 8765`, `"token": "` + mask}, "health.json": {`"status": "healthy"`, `"client-1": "3.4.0"`},
		"diagnostics.json": {`"name": "disk"`, "--verbose", "postgres://user:" + mask + "@", `"client-1"`}, "pidfile.json": {`"pid": 42`},
		"last-error.json": {"port_conflict", `"pid": 7`, "-v"}, "environment.txt": {"UPKEEP_SERVER__PORT=8765\n", "UPKEEP_ADMIN__TOKEN=" + mask},
		"log/host.log": {"hub serves", `"port":8765`, "BEGIN RSA PRIVATE KEY", "&y=1"},
	} {
		for _, want := range wants {
			if !strings.Contains(files["upkeep-report/"+name], want) {
				t.Errorf("%s lacks %q:\n%s", name, want, files["upkeep-report/"+name])
			}
		}
	}
	for _, name := range []string{"findings.json", "config.json", "health.json", "diagnostics.json", "pidfile.json", "last-error.json"} {
		if !json.Valid([]byte(files["upkeep-report/"+name])) {
			t.Errorf("%s is no JSON any more:\n%s", name, files["upkeep-report/"+name])
		}
	}
	if planted < 18 {
		t.Errorf("only %d secrets were planted", planted)
	}
}

func TestABundleIsBoundedAndReplacesNothing(t *testing.T) {
	x := Run(t.Context(), well(t))
	log := filepath.Join(t.TempDir(), "host.log")
	if err := os.WriteFile(log, append(bytes.Repeat([]byte("an old line\n"), maxPart/4), "the newest line\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.tar.gz")
	ev := Evidence{Config: bytes.Repeat([]byte("x y\n"), maxPart/3), Logs: map[string]string{"host.log": log, "gone.log": log + ".gone"}}
	if err := x.WriteBundle(path, ev); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, path)
	for name, content := range files {
		if len(content) > maxPart+16 {
			t.Errorf("%s has %d bytes", name, len(content))
		}
	}
	if end := files["upkeep-report/log/host.log"]; !strings.HasSuffix(end, "the newest line\n") || !strings.HasPrefix(end, "an old line\n") {
		t.Errorf("of a long log, not the end was packed, by whole lines")
	}
	if !strings.Contains(files["upkeep-report/log/gone.log"], "no such file") {
		t.Errorf("a log that is gone is not told: %q", files["upkeep-report/log/gone.log"])
	}
	before, _ := os.ReadFile(path)
	if err := x.WriteBundle(path, ev); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("a second bundle of the same name: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the first bundle was changed")
	}
	if err := x.WriteBundle(filepath.Join(t.TempDir(), "no", "folder.tar.gz"), ev); err == nil {
		t.Error("a bundle was written into a folder that does not exist")
	}
}

func TestOrdinaryWordsAreNotRedacted(t *testing.T) {
	r := newRedactor([]string{"abc", ""})
	for _, text := range []string{
		"the token file is missing", "2 secrets", "http://127.0.0.1:8765/health", "port=8765", "a password is not asked for", "abc def", "--state-dir /x --port 1", "hub: pid=3 sid",
	} {
		if got := string(r.text([]byte(text))); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	got := string(r.json([]byte(`{"token_required": true, "n": 12345678901234567890, "empty_token": "", "none_secret": null}`)))
	for _, want := range []string{"true", "12345678901234567890", `""`, "null"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
	if !slices.IsSortedFunc(newRedactor([]string{"secret-1", "secret-1-longer"}).literals, func(a, b string) int { return len(b) - len(a) }) {
		t.Error("a shorter secret would hide a part of a longer one only")
	}
}
