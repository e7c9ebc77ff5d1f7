// Package scaffold writes the folder of a new plugin: one that builds, and that
// keeps every rule of the plugin API, before its author has changed a line.
//
// It owns the templates and the rules for names. It refuses to build or to start
// anything: it prints what to do next. The command line calls it. It has no
// goroutines.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	protofiles "github.com/upkeephub/upkeep/proto"
	"github.com/upkeephub/upkeep/proto/handshake"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// The languages and kinds that there are templates for.
var (
	Languages = []string{"go", "node", "python"}
	Kinds     = []string{"checker", "recovery"}
)

// ModulePath is that of the Go module that holds the sdk.
const ModulePath = "github.com/upkeephub/upkeep"

// goVersion is the least that the sdk needs.
const goVersion = "1.26.0"

//go:embed all:templates
var templates embed.FS

// Options say what to write. All but Checkout and Python are required.
type Options struct {
	// Name of the plugin: lower-case letters, digits, '-' and '_'.
	Name string
	// Language and Kind are of Languages and Kinds.
	Language, Kind string
	// Dir is where the folder is made; it is made itself if it is missing.
	Dir string
	// Version of Upkeep, x.y.z, whose sdk a Go plugin is built with.
	Version string
	// Checkout of Upkeep that a Go plugin takes its sdk from; empty: none, the
	// released version is used.
	Checkout string
	// Python is the interpreter in plugin.json; empty: python3.
	Python string
}

// Mistake is a wrong option, with what is wanted instead.
type Mistake struct{ What, Hint string }

func (m *Mistake) Error() string { return m.What + ": " + m.Hint }

var (
	goodName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	// noWord is what a metric's or check's name must not hold.
	noWord = strings.NewReplacer("-", "_")
)

func (o Options) validate() error {
	if !goodName.MatchString(o.Name) {
		return &Mistake{fmt.Sprintf("%q is no name for a plugin", o.Name), "use lower-case letters, digits, - and _, starting with a letter, at most 63"}
	}
	if !slices.Contains(Languages, o.Language) {
		return &Mistake{fmt.Sprintf("there is no template in the language %q", o.Language), "choose one of " + strings.Join(Languages, ", ")}
	}
	if !slices.Contains(Kinds, o.Kind) {
		return &Mistake{fmt.Sprintf("there is no kind %q", o.Kind), "choose one of " + strings.Join(Kinds, ", ")}
	}
	return nil
}

// facts are what templates know.
type facts struct {
	Options
	CheckName, KindWords, Description string
	Checker                           bool
	Replace, GoVersion                string
	CookieKey, Cookie                 string
	ProtocolVersion, APIMinor         int
}

// Write makes the folder Dir/Name. It overwrites nothing: a folder or file of
// that name is an error, fs.ErrExist. After an error nothing is left. It gives
// the folder and the names of the files in it.
func Write(o Options) (folder string, files []string, err error) {
	if err := o.validate(); err != nil {
		return "", nil, err
	}
	made, err := o.render()
	if err != nil {
		return "", nil, err
	}
	folder = filepath.Join(o.Dir, o.Name)
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return "", nil, err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", nil, err
	}
	for name, text := range made {
		at := filepath.Join(folder, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if err == nil {
			err = os.WriteFile(at, text, 0o644)
		}
		if err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(folder))
		}
		files = append(files, name)
	}
	slices.Sort(files)
	return folder, files, nil
}

// render makes the content of every file.
func (o Options) render() (map[string][]byte, error) {
	f := facts{
		Options: o, CheckName: noWord.Replace(o.Name), Checker: o.Kind == "checker", KindWords: "checker", Description: "A checker",
		GoVersion: goVersion, CookieKey: handshake.CookieKey, Cookie: handshake.CookieValue,
		ProtocolVersion: handshake.ProtocolVersion, APIMinor: handshake.APIMinor,
	}
	if !f.Checker {
		f.KindWords, f.Description = "recovery strategy", "A recovery strategy"
	}
	if f.Python == "" {
		f.Python = "python3"
	}
	if o.Checkout != "" {
		f.Replace = replacement(filepath.Join(o.Dir, o.Name), o.Checkout)
	}
	made := map[string][]byte{}
	entries, err := templates.ReadDir(path.Join("templates", o.Language))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, wanted := fileName(e.Name(), o.Kind)
		if !wanted {
			continue
		}
		text, err := templates.ReadFile(path.Join("templates", o.Language, e.Name()))
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(e.Name(), ".tmpl") {
			parsed, err := template.New(e.Name()).Option("missingkey=error").Parse(string(text))
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			if err := parsed.Execute(&out, f); err != nil {
				return nil, err
			}
			text = out.Bytes()
		}
		made[name] = text
	}
	if o.Language == "go" {
		return made, nil
	}
	return made, addAPI(made, o.Language == "python")
}

// fileName gives the name of the file that a template makes, and whether it
// belongs to that kind of plugin: main_checker.py.tmpl makes main.py of a checker.
func fileName(template, kind string) (name string, wanted bool) {
	name = strings.TrimSuffix(template, ".tmpl")
	for _, k := range Kinds {
		if short := strings.Replace(name, "main_"+k, "main", 1); short != name {
			return short, k == kind
		}
	}
	if name == "gitignore" || name == "npmrc" { // with a dot they would count in the templates' own folder
		name = "." + name
	}
	return name, true
}

// replacement is the path of a checkout as a go.mod in folder names it: relative
// when the plugin lives within the checkout.
func replacement(folder, checkout string) string {
	from, err := filepath.Abs(folder)
	if err != nil {
		return checkout
	}
	to, err := filepath.Abs(checkout)
	if err != nil {
		return checkout
	}
	inside, err := filepath.Rel(to, from)
	if err == nil && inside != ".." && !strings.HasPrefix(inside, ".."+string(filepath.Separator)) {
		if back, err := filepath.Rel(from, to); err == nil {
			return filepath.ToSlash(back)
		}
	}
	return filepath.ToSlash(to)
}

// addAPI adds the .proto files of the plugin API and, if wanted, their compiled form.
func addAPI(made map[string][]byte, compiled bool) error {
	err := fs.WalkDir(protofiles.Files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := protofiles.Files.ReadFile(name)
		made["proto/"+name] = text
		return err
	})
	if err != nil || !compiled {
		return err
	}
	set := &descriptorpb.FileDescriptorSet{}
	for _, file := range []protoreflect.FileDescriptor{ // each after those that it builds on
		pluginv1.File_upkeep_plugin_v1_health_proto, pluginv1.File_upkeep_plugin_v1_plugin_proto,
		pluginv1.File_upkeep_plugin_v1_checker_proto, pluginv1.File_upkeep_plugin_v1_recovery_proto,
	} {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	made["upkeep.binpb"], err = proto.MarshalOptions{Deterministic: true}.Marshal(set)
	return err
}

// Next are the commands that build the plugin in folder and try it.
func Next(language, folder string) []string {
	steps := []string{"cd " + folder}
	switch language {
	case "go":
		steps = append(steps, "go mod tidy", "go build", "go test ./...")
	case "node":
		steps = append(steps, "npm install")
	}
	return append(steps, "host plugins test .", "host plugins run .")
}

// Checkout finds a checkout of Upkeep: the first of these folders, or of those
// above them, whose go.mod is that of Upkeep. Empty: there is none.
func Checkout(from ...string) string {
	for _, dir := range from {
		dir, err := filepath.Abs(dir)
		if err != nil {
			continue
		}
		for ; ; dir = filepath.Dir(dir) {
			if IsCheckout(dir) {
				return dir
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return ""
}

// IsCheckout says whether dir holds the module of Upkeep.
func IsCheckout(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(first) == "module "+ModulePath
}
