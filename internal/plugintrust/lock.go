package plugintrust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// LockName is the lock file's name in the plugin directory, SignatureName that
// of its signature.
const (
	LockName      = "plugins.lock.json"
	SignatureName = LockName + ".sig"
)

const (
	lockVersion  = 1
	maxLockBytes = 8 << 20
)

// Lock is the content of the lock file: what each plugin consisted of when
// somebody said that this is what shall run.
type Lock struct {
	// SchemaVersion is 1.
	SchemaVersion int `json:"schema_version"`
	// Plugins by name.
	Plugins map[string]Entry `json:"plugins"`
}

// Entry is one plugin.
type Entry struct {
	// Version is what the plugin called its version when it was locked; empty: it
	// was not asked. One that calls itself otherwise is not run.
	Version string `json:"version,omitempty"`
	// Files by path in the plugin's folder, with slashes.
	Files map[string]File `json:"files"`
}

// File is one file of a plugin, or a link to another one.
type File struct {
	// SHA256 in lower-case hexadecimal; empty for a link.
	SHA256 string `json:"sha256,omitempty"`
	// Size in bytes; 0 for a link.
	Size int64 `json:"size"`
	// Link is where a link points to, relative to its own folder.
	Link string `json:"link,omitempty"`
}

func (f File) String() string {
	if f.Link != "" {
		return "a link to " + f.Link
	}
	return fmt.Sprintf("SHA-256 %s (%d bytes)", f.SHA256, f.Size)
}

// Bytes is the lock as it stands in the file. The same lock always has the same
// bytes, so that it can be reviewed and signed.
func (l Lock) Bytes() ([]byte, error) {
	l.SchemaVersion = lockVersion
	if l.Plugins == nil {
		l.Plugins = map[string]Entry{}
	}
	text, err := json.MarshalIndent(l, "", "  ") // maps are written sorted
	return append(text, '\n'), err
}

var (
	sha256Hex  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	pluginName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// ParseLock reads what Bytes wrote. Unknown keys, paths that lead out of a
// plugin's folder and checksums that are none are errors.
func ParseLock(text []byte) (Lock, error) {
	var l Lock
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return Lock{}, fmt.Errorf("is no valid lock: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Lock{}, errors.New("has text after its closing brace")
	}
	if l.SchemaVersion != lockVersion {
		return Lock{}, fmt.Errorf("has schema_version %d, and this host knows %d", l.SchemaVersion, lockVersion)
	}
	for name, e := range l.Plugins {
		if !pluginName.MatchString(name) {
			return Lock{}, fmt.Errorf("locks %q, which is no plugin's name", name)
		}
		if len(e.Files) == 0 {
			return Lock{}, fmt.Errorf("has no files for plugin %q", name)
		}
		for file, f := range e.Files {
			switch {
			case !filepath.IsLocal(filepath.FromSlash(file)) || path.Clean(file) != file || strings.ContainsFunc(file, isControl):
				return Lock{}, fmt.Errorf("has the path %q for plugin %q, which is none in its folder", file, name)
			case f.Link == "" && !sha256Hex.MatchString(f.SHA256), f.Link != "" && f.SHA256 != "", f.Size < 0:
				return Lock{}, fmt.Errorf("has no good checksum for %q of plugin %q", file, name)
			}
		}
	}
	return l, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// WriteLock writes the lock into dir, whole or not at all, for everybody to read.
// A signature that is there belongs to another lock and is removed; unsigned says
// so.
func WriteLock(dir string, l Lock) (unsigned bool, err error) {
	text, err := l.Bytes()
	if err != nil {
		return false, err
	}
	if old, err := os.ReadFile(filepath.Join(dir, LockName)); err == nil && bytes.Equal(old, text) {
		return false, nil // and its signature still holds
	}
	if err := replace(filepath.Join(dir, LockName), text, 0o644); err != nil {
		return false, err
	}
	err = os.Remove(filepath.Join(dir, SignatureName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// replace writes a file beside path and moves it there.
func replace(path string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// maxDifferences of a plugin are told in one sentence.
const maxDifferences = 3

// Compare holds the files that were found against those that are locked. The
// error is nil or a *Refusal that names what differs.
func (e Entry) Compare(found map[string]File) error {
	var changed, missing, extra []string
	for _, name := range slices.Sorted(maps.Keys(e.Files)) {
		locked := e.Files[name]
		switch is, there := found[name]; {
		case !there:
			missing = append(missing, name+" is locked, but missing")
		case is != locked:
			changed = append(changed, fmt.Sprintf("%s is %s, but locked is %s", name, is, locked))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, locked := e.Files[name]; !locked {
			extra = append(extra, name+" is there, but not locked")
		}
	}
	all := slices.Concat(changed, missing, extra)
	if len(all) == 0 {
		return nil
	}
	told := strings.Join(all[:min(len(all), maxDifferences)], "; ")
	if more := len(all) - maxDifferences; more > 0 {
		told += fmt.Sprintf("; and %d more", more)
	}
	return &Refusal{"it is not what " + LockName + " locks: " + told,
		"put back what was locked; or, if the change was meant, run: host plugins lock"}
}
