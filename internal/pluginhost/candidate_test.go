//go:build linux

package pluginhost

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestDiscoverFindsWhatMayRunAndSaysWhyItSkipsTheRest(t *testing.T) {
	dir := pluginDir(t)
	outside := pluginDir(t)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file := func(path string, mode fs.FileMode) string {
		t.Helper()
		path = filepath.Join(dir, path)
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		check(os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600))
		check(os.Chmod(path, mode))
		return path
	}
	manifest := func(folder, text string) {
		t.Helper()
		check(os.MkdirAll(filepath.Join(dir, folder), 0o755))
		check(os.WriteFile(filepath.Join(dir, folder, manifestName), []byte(text), 0o644))
	}
	file("zebra/zebra", 0o755)
	file("zebra/main.go", 0o644) // sources beside the binary are normal
	file("alone", 0o755)
	file("described/described", 0o755)
	manifest("described", `{"description":"looks at \u001b[31mdisks","config":{"path":"/"},"sha256":"`+strings.Repeat("AB", 32)+`"}`)
	file("interpreted/check.sh", 0o644)
	manifest("interpreted", `{"command":"sh","args":["-e","check.sh"]}`)
	file("own/bin/run", 0o755)
	manifest("own", `{"command":"bin/run"}`)
	file("group/group", 0o775)
	file("linked/real", 0o755)
	check(os.Symlink("real", filepath.Join(dir, "linked/linked")))

	file(".hidden/.hidden", 0o755)
	file("unbuilt/main.go", 0o644)
	file("README.md", 0o644)
	file("weak/weak", 0o644)
	file("open/open", 0o757)
	file("openfolder/openfolder", 0o755)
	check(os.Chmod(filepath.Join(dir, "openfolder"), 0o777))
	file("deep/bin/run", 0o755)
	manifest("deep", `{"command":"bin/run"}`)
	check(os.Chmod(filepath.Join(dir, "deep/bin"), 0o777))
	check(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o755))
	check(os.MkdirAll(filepath.Join(dir, "folder/folder"), 0o755))
	check(os.Symlink(outside, filepath.Join(dir, "away")))
	check(os.Mkdir(filepath.Join(dir, "awayfile"), 0o755))
	check(os.Symlink("/bin/sh", filepath.Join(dir, "awayfile/awayfile")))
	check(os.Symlink("loop", filepath.Join(dir, "loop")))
	manifest("badjson", `{"command":`)
	manifest("unknownkey", `{"comand":"sh"}`)
	manifest("badsum", `{"sha256":"abc"}`)
	manifest("nocommand", `{"command":"no-such-program-anywhere"}`)
	manifest("unpinnable", `{"command":"sh","sha256":"`+strings.Repeat("0", 64)+`"}`)
	manifest("escape", `{"command":"../alone"}`)
	file("bad name!", 0o755)

	found, skipped, err := Discover(dir)
	check(err)
	var names []string
	byName := map[string]Candidate{}
	for _, c := range found {
		names = append(names, c.Name)
		byName[c.Name] = c
	}
	want := []string{"alone", "described", "group", "interpreted", "linked", "own", "zebra"}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("found %v, want %v: sorted, and nothing else", names, want)
	}
	real, err := filepath.EvalSymlinks(dir)
	check(err)
	if c := byName["described"]; c.Description != `looks at \x1b[31mdisks` || c.Config["path"] != "/" || c.SHA256 != strings.Repeat("ab", 32) {
		t.Errorf("plugin.json was read as %+v", c)
	}
	if c := byName["interpreted"]; filepath.Base(c.Path) != "sh" || len(c.Args) != 2 || c.file != filepath.Join(real, "interpreted/check.sh") {
		t.Errorf("an interpreted plugin is %+v", c)
	}
	if c := byName["own"]; c.Path != filepath.Join(real, "own/bin/run") || c.Folder != filepath.Join(real, "own") {
		t.Errorf("a command of its own is %+v", c)
	}
	if c := byName["linked"]; c.Path != filepath.Join(real, "linked/real") {
		t.Errorf("a link within its folder leads to %s", c.Path)
	}
	if c := byName["group"]; len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "its group may write") {
		t.Errorf("a file that its group may write warns %q", c.Warnings)
	}
	reasons := map[string]string{
		"README.md": "is not executable", "weak": "is not executable", "unbuilt": "not built",
		"open": "anybody may write to its file", "openfolder": "anybody may write to its folder",
		"deep": "anybody may write to its folder", "fifo": "a fifo", "folder": "a folder", "away": "outside of its folder", "awayfile": "outside of its folder",
		"loop": "cannot be resolved", "badjson": "plugin.json", "unknownkey": "comand", "badsum": "64 hexadecimal",
		"nocommand": "not on PATH", "unpinnable": "pins a SHA-256", "escape": "outside of its folder", "bad name!": "its name is none",
	}
	for i, s := range skipped {
		if i > 0 && skipped[i-1].Name >= s.Name {
			t.Errorf("skipped entries are not sorted: %s before %s", skipped[i-1].Name, s.Name)
		}
		want, expected := reasons[s.Name]
		if !expected || !strings.Contains(s.Reason, want) {
			t.Errorf("%s was skipped because %q, want %q", s.Name, s.Reason, want)
		}
		if s.Remedy == "" {
			t.Errorf("%s: no remedy", s.Name)
		}
		delete(reasons, s.Name)
	}
	for name := range reasons {
		t.Errorf("%s was not skipped", name)
	}
}

func TestUnbuiltPluginSaysRunMake(t *testing.T) {
	dir := pluginDir(t)
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, skipped, err := Discover(dir)
	if err != nil || len(skipped) != 1 || skipped[0].Remedy != "run make" {
		t.Errorf("%v, %+v; want the remedy \"run make\"", err, skipped)
	}
}

// ownedBy is a file's description with another owner.
type ownedBy struct {
	fs.FileInfo
	uid uint32
}

func (o ownedBy) Sys() any { return &syscall.Stat_t{Uid: o.uid} }

func TestOnlyOurOwnFilesAndRootsAreRun(t *testing.T) {
	path := filepath.Join(pluginDir(t), "theirs")
	if err := errors.Join(os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	us := uint32(os.Geteuid())
	for uid, want := range map[uint32]string{us: "", 0: "", us + 1000: "belongs to user " + strconv.Itoa(int(us)+1000)} {
		_, refusal := trust(path, ownedBy{info, uid})
		if (refusal == nil) != (want == "") || refusal != nil && !strings.Contains(refusal.reason, want) {
			t.Errorf("a file of user %d: %+v, want %q", uid, refusal, want)
		}
	}
}

func TestDirectoryThatCannotBeUsedSaysSo(t *testing.T) {
	dir := pluginDir(t)
	file := filepath.Join(dir, "file")
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Mkdir(open, 0o755), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, want string
		is        error
	}{
		{filepath.Join(dir, "missing"), "no such file", fs.ErrNotExist},
		{file, "not a directory", nil},
		{open, "anybody may write", nil},
	} {
		_, _, err := Discover(c.dir)
		var bad *DirectoryError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || bad.Hint() == "" || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want a DirectoryError with %q and a hint", c.dir, err, c.want)
		}
		if _, err := New(withLog(quick(c.dir, shortDir(t)))); !errors.As(err, &bad) {
			t.Errorf("New in %s: %v, want a DirectoryError", c.dir, err)
		}
	}
}

func TestEmptyDirectoryRunsNothingAndIsNoError(t *testing.T) {
	b := run(t, pluginDir(t), nil)
	if len(b.host.Plugins()) != 0 || len(b.host.Skipped()) != 0 {
		t.Error("an empty directory holds plugins")
	}
	if _, err := b.host.Strategy("graded"); !errors.Is(err, ErrUnknownPlugin) {
		t.Errorf("a strategy of an empty directory: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"command":"sh","args":["a"],"config":{"a":1},"sha256":"","description":"x"}`))
	f.Add([]byte(`{} {}`))
	f.Add([]byte("{\"command\":\"a\\u0000b\"}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		if len(m.Description) > maxDescription || strings.ContainsRune(m.Command, 0) || m.SHA256 != "" && len(m.SHA256) != 64 {
			t.Errorf("accepted %q as %+v", text, m)
		}
	})
}
