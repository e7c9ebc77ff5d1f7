//go:build linux

package pluginhost

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAPluginIsFoundByItsFolderAndByItsExecutable(t *testing.T) {
	dir := pluginDir(t)
	exe := install(t, dir, "good", "good", nil)
	alone := filepath.Join(dir, "alone")
	if err := os.Link(exe, alone); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{filepath.Dir(exe): {"be-plugin=good"}, exe: {"be-plugin=good"}, alone: nil} {
		c, err := Locate(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		spec := c.Spec([]string{"PATH=/bin", "SECRET=1"})
		if !slices.Equal(spec.Args, want) || spec.Name != filepath.Base(path) || !slices.Equal(spec.Env, []string{"PATH=/bin"}) {
			t.Errorf("%s gives %+v, want the arguments %v of its plugin.json and a clean environment", path, spec, want)
		}
	}
}

func TestWhatWouldBeSkippedIsNotLocatedAndSaysWhy(t *testing.T) {
	dir := pluginDir(t)
	exe := install(t, dir, "open", "good", nil)
	if err := os.Chmod(filepath.Dir(exe), 0o777); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "nobody"): "no such file",
		filepath.Dir(exe):            "anybody may write",
		filepath.Join(dir, ".open"):  "no such file",
	} {
		_, err := Locate(path)
		var launch *LaunchError
		if !errors.As(err, &launch) || !strings.Contains(err.Error(), want) || launch.Hint() == "" {
			t.Errorf("%s: %v, want %q and a hint", path, err, want)
		}
	}
}
