package problem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheLastErrorIsTheSameInALaterProcess(t *testing.T) {
	dir := t.TempDir()
	for _, e := range []*Error{NewPortConflict(Linux, port()), NewDaemonConflict(Linux, daemon())} {
		if err := SaveLast(dir, e); err != nil {
			t.Fatal(err)
		}
		got, err := LoadLast(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got.Text() != e.Text() || Guide(Linux, got) != Guide(Linux, e) {
			t.Errorf("it is now\n%s\nand was\n%s", Guide(Linux, got), Guide(Linux, e))
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v (%v), want one file", entries, err)
	}
	if info, err := os.Stat(filepath.Join(dir, lastName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v (%v), want 0600", info.Mode(), err)
	}
}

func TestTheLastErrorIsBounded(t *testing.T) {
	dir := t.TempDir()
	e := conflict()
	e.Context = map[string]any{"big": strings.Repeat("x", maxLast)}
	e.Why = strings.Repeat("y\n", maxLast)
	if err := SaveLast(dir, e); err != nil {
		t.Fatal(err)
	}
	got, err := LoadLast(dir)
	if err != nil || got.What != e.What || len(got.Steps) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	e.What = strings.Repeat("z", maxLast)
	if err := SaveLast(dir, e); err == nil {
		t.Error("an error that is too long was kept")
	}
	if again, err := LoadLast(dir); err != nil || again.What != got.What {
		t.Errorf("what was kept before is gone: %v", err)
	}
}

func TestTheLastErrorIsReadOnlyWhereItIsOne(t *testing.T) {
	if _, err := LoadLast(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v, want fs.ErrNotExist", err)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	if err := SaveLast(absent, conflict()); err == nil {
		t.Error("it was kept in a directory that does not exist")
	}
	if _, err := os.Stat(absent); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the directory was created")
	}
	for why, put := range map[string]func(path string) error{
		"a link": func(path string) error {
			target := filepath.Join(t.TempDir(), "target")
			return errors.Join(SaveLast(filepath.Dir(target), conflict()), os.Symlink(filepath.Join(filepath.Dir(target), lastName), path))
		},
		"a folder":         func(path string) error { return os.Mkdir(path, 0o700) },
		"no JSON":          func(path string) error { return os.WriteFile(path, []byte("kaputt"), 0o600) },
		"another document": func(path string) error { return os.WriteFile(path, []byte(`{"a": 1}`), 0o600) },
		"an unknown code": func(path string) error {
			return os.WriteFile(path, []byte(`{"error_code": "nope", "timestamp": "2026-01-02T03:04:05Z"}`), 0o600)
		},
		"too long": func(path string) error { return os.WriteFile(path, make([]byte, maxLast+2), 0o600) },
	} {
		dir := t.TempDir()
		if err := put(filepath.Join(dir, lastName)); err != nil {
			t.Fatal(err)
		}
		if e, err := LoadLast(dir); err == nil {
			t.Errorf("%s is read as %+v", why, e)
		}
	}
}
