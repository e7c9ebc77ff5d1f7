package scaffold

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func good(dir string) Options {
	return Options{Name: "disk-space", Language: "go", Kind: "checker", Dir: dir, Version: "1.2.3"}
}

func TestEveryTemplateMakesAFolderThatNamesThePlugin(t *testing.T) {
	for _, language := range Languages {
		for _, kind := range Kinds {
			o := good(filepath.Join(t.TempDir(), "plugins"))
			o.Language, o.Kind = language, kind
			folder, files, err := Write(o)
			if err != nil {
				t.Fatalf("%s %s: %v", language, kind, err)
			}
			main := map[string]string{"go": "main.go", "node": "main.js", "python": "main.py"}[language]
			for _, want := range []string{main, "README.md", ".gitignore"} {
				if !slices.Contains(files, want) {
					t.Errorf("%s %s: %v lacks %s", language, kind, files, want)
				}
			}
			for _, name := range files {
				text, err := os.ReadFile(filepath.Join(folder, name))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(text), "{{") || strings.Contains(string(text), "<no value>") || strings.Contains(name, "main_"+kind) {
					t.Errorf("%s %s: %s was not filled in", language, kind, name)
				}
				if name == main && (!strings.Contains(string(text), `"disk-space"`) && !strings.Contains(string(text), `'disk-space'`)) {
					t.Errorf("%s %s: %s does not say what the plugin is called", language, kind, name)
				}
				if strings.HasSuffix(name, ".json") && !json.Valid(text) {
					t.Errorf("%s %s: %s is no JSON:\n%s", language, kind, name, text)
				}
			}
		}
	}
}

func TestOtherLanguagesGetTheAPIAsItIs(t *testing.T) {
	o := good(t.TempDir())
	o.Language = "python"
	folder, _, err := Write(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plugin", "checker", "recovery", "health"} {
		path := "upkeep/plugin/v1/" + name + ".proto"
		want, err := os.ReadFile(filepath.Join("..", "..", "proto", path))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, "proto", path))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s differs from the repository's: %v", path, err)
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "disk-space"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Write(good(dir)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want that it is there already", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "disk-space")); string(text) != "mine" {
		t.Errorf("the file now holds %q", text)
	}
}

func TestWrongOptionsAreNamedAndLeaveNothing(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*Options)
	}{
		{"no name", func(o *Options) { o.Name = "" }},
		{"capitals", func(o *Options) { o.Name = "Disk" }},
		{"a path", func(o *Options) { o.Name = "../disk" }},
		{"a digit first", func(o *Options) { o.Name = "9disk" }},
		{"64 letters", func(o *Options) { o.Name = strings.Repeat("x", 64) }},
		{"no language", func(o *Options) { o.Language = "" }},
		{"another language", func(o *Options) { o.Language = "cobol" }},
		{"another kind", func(o *Options) { o.Kind = "hub" }},
	} {
		dir := filepath.Join(t.TempDir(), "new")
		o := good(dir)
		c.change(&o)
		_, _, err := Write(o)
		var mistake *Mistake
		if !errors.As(err, &mistake) || mistake.Hint == "" {
			t.Errorf("%s: %v, want a mistake with a hint", c.why, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a folder was made", c.why)
		}
	}
}

func TestAGoPluginIsBuiltWithTheCheckoutThatItLiesInOrTheReleaseItself(t *testing.T) {
	checkout := t.TempDir()
	if err := os.WriteFile(filepath.Join(checkout, "go.mod"), []byte("module "+ModulePath+"\n\ngo 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	for _, c := range []struct{ dir, checkout, want, why string }{
		{filepath.Join(checkout, "plugins"), checkout, "replace github.com/upkeephub/upkeep => ../..\n", "within the checkout the path is relative"},
		{elsewhere, checkout, "replace github.com/upkeephub/upkeep => " + filepath.ToSlash(checkout) + "\n", "elsewhere it is absolute"},
		{filepath.Join(elsewhere, "b"), "", "require github.com/upkeephub/upkeep v1.2.3\n", "without one the release is wanted"},
	} {
		o := good(c.dir)
		o.Checkout = c.checkout
		folder, _, err := Write(o)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err != nil || !strings.Contains(string(text), c.want) || (c.checkout == "") == strings.Contains(string(text), "replace ") {
			t.Errorf("%s: go.mod is %v\n%s", c.why, err, text)
		}
	}
	deep := filepath.Join(checkout, "a", "b")
	if found := Checkout(elsewhere, deep); found != checkout {
		t.Errorf("found the checkout %q from within it, want %q", found, checkout)
	}
	if found := Checkout(elsewhere); found != "" {
		t.Errorf("found a checkout %q where none is", found)
	}
}
