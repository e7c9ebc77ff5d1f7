package test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sources are what host is built from.
var sources = []string{"Makefile", "go.mod", "go.sum", "cmd", "core", "hub", "internal", "proto", "sdk"}

// Built from the same sources in folders with other names, host is the same to
// the byte: whoever wants to can find out that a release is what it says.
func TestHostIsTheSameToTheByteWhereverItIsBuilt(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	var sums [2][sha256.Size]byte
	for i, name := range []string{"a", "another folder with a longer name/b"} {
		dir := filepath.Join(t.TempDir(), filepath.FromSlash(name))
		for _, source := range sources {
			from, to := filepath.Join(root, source), filepath.Join(dir, source)
			info, err := os.Stat(from)
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				err = os.CopyFS(to, os.DirFS(from))
			} else {
				var data []byte
				if data, err = os.ReadFile(from); err == nil {
					err = os.MkdirAll(dir, 0o755)
				}
				if err == nil {
					err = os.WriteFile(to, data, 0o644)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		build := exec.CommandContext(t.Context(), "make", "build", "PLUGINS=")
		build.Dir = dir
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("make build: %v\n%s", err, out)
		}
		data, err := os.ReadFile(filepath.Join(dir, "bin", "host"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(data)
		if strings.Contains(string(data), t.TempDir()) || strings.Contains(string(data), root+"/internal") {
			t.Error("the executable names the folder that it was built in")
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds differ: %x and %x", sums[0], sums[1])
	}
}

func TestNoDependencyIsReplacedAndEachHasItsChecksum(t *testing.T) {
	edit := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	edit.Dir = ".."
	out, err := edit.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct{ Path, Version string }
		Replace []struct{ Old struct{ Path string } }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Replace {
		t.Errorf("%s is replaced: users would build something else than we", r.Old.Path)
	}
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	if len(mod.Require) < 10 {
		t.Errorf("only %d dependencies were found", len(mod.Require))
	}
	for _, r := range mod.Require {
		if line := fmt.Sprintf("%s %s/go.mod h1:", r.Path, r.Version); !strings.Contains(string(sums), line) {
			t.Errorf("go.sum has no checksum of %s %s", r.Path, r.Version)
		}
	}
}
