package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// maxFile is how long a configuration file may be, in bytes.
const maxFile = 1 << 20

// Sources says where a configuration is read from. What wins, from the
// strongest: Flags, Environ, File, Profile, the defaults.
type Sources struct {
	// File is the path of a JSON file; empty: UPKEEP_CONFIG of Environ, else none.
	File string
	// Profile is one of Profiles; empty: UPKEEP_PROFILE of Environ, else none.
	Profile string
	// Environ holds NAME=value as os.Environ gives it. UPKEEP_SERVER__PORT sets
	// server.port; UPKEEP_ADMIN__TOKEN_FILE names a file that holds admin.token.
	Environ []string
	// Flags holds what the command line says, by key, e.g. "server.port": 8766.
	// The values are bool, int, float64 or string.
	Flags map[string]any
}

// Load reads the sources and lays them over each other. The error is a
// *problem.Error with the code config_invalid; it names every mistake of every
// source, and errors.As finds each as a Mistake. The origins name the file and
// the profile also when there is an error.
func Load(s Sources) (Config, Origins, error) {
	getenv := lookup(s.Environ)
	origins := Origins{File: s.File, Profile: s.Profile}
	profileAt := Origin{Kind: FromFlag, Name: "--profile"}
	if origins.File == "" {
		origins.File = getenv("UPKEEP_CONFIG")
	}
	if origins.Profile == "" {
		origins.Profile = getenv("UPKEEP_PROFILE")
		profileAt = Origin{Kind: FromEnvironment, Name: "UPKEEP_PROFILE"}
	}

	var layers []node
	var mistakes []Mistake
	var notices []Notice
	if origins.Profile != "" {
		layer, wrong := profile(origins.Profile, profileAt)
		layers, mistakes = append(layers, layer), append(mistakes, wrong...)
	}
	if origins.File != "" {
		layer, wrong, err := fileLayer(origins.File)
		if err != nil {
			return Config{}, origins, unreadable(origins.File, err)
		}
		layers, mistakes = append(layers, layer), append(mistakes, wrong...)
		if n := openSecret(origins.File, layer); n != nil {
			notices = append(notices, *n)
		}
	}
	vars := readVariables(s.Environ)
	layers, mistakes, notices = append(layers, vars.tree), append(mistakes, vars.mistakes...), append(notices, vars.notices...)
	layers = append(layers, flagLayer(s.Flags))

	cfg, read, err := lay(layers, mistakes)
	if err != nil {
		return Config{}, origins, err
	}
	for key, path := range map[string]*string{
		"logging.file": &cfg.Logging.File, "server.tls.certificate": &cfg.Server.TLS.Certificate, "server.tls.key": &cfg.Server.TLS.Key,
	} {
		if !expandHome(path, getenv) {
			read.add(mistakeAt(key, read.given[key], fmt.Sprintf("the text %q", short(*path, 40)), "a path without ~, since HOME is not set"))
		}
	}
	if len(read.mistakes) > 0 {
		return Config{}, origins, invalid(origins.source(read.mistakes), origins.File, read.mistakes)
	}
	origins.keys, origins.notices = read.given, append(read.notices, notices...)
	return cfg, origins, nil
}

// source names, for the headline of a problem, where the mistakes are.
func (o Origins) source(mistakes []Mistake) string {
	for _, m := range mistakes {
		if m.Source != "" {
			return "the configuration"
		}
	}
	return "the configuration file " + o.File
}

// lay judges each layer by itself, then lays them over each other, the last one
// on top, and reads the whole. The reader holds all mistakes: those given, those
// of the layers, and those of the whole.
func lay(layers []node, mistakes []Mistake) (Config, *reader, error) {
	each := &reader{mistakes: mistakes}
	merged := koanf.New(pathDelimiter)
	origins := map[string]Origin{}
	for _, layer := range layers {
		if layer.at.Kind == "" {
			continue // could not be read
		}
		scratch := Default()
		each.given = map[string]Origin{}
		each.decode("", layer, &scratch)
		values, ok := layer.plain().(map[string]any)
		if !ok {
			continue // no object, which is a mistake by now
		}
		if err := merged.Load(confmap.Provider(values, ""), nil); err != nil {
			return Config{}, nil, fmt.Errorf("lay the sources of the configuration over each other: %w", err)
		}
		leafOrigins("", layer, origins)
	}
	whole := &reader{given: map[string]Origin{}}
	cfg := Default()
	tree := nodeOf("", merged.Raw(), func(path string) Origin { return origins[path] })
	whole.decode("", tree, &cfg)
	whole.mistakes, whole.notices = each.mistakes, each.notices // the same again, in their places
	whole.settle(&cfg)
	return cfg, whole, nil
}

// pathDelimiter stands between the parts of a path inside koanf, which joins and
// splits keys at it. No key that anybody writes has it, so that keys with dots
// stay whole.
const pathDelimiter = "\x1f"

func leafOrigins(path string, n node, origins map[string]Origin) {
	if n.kind != objectNode {
		origins[path] = n.at
		return
	}
	for _, m := range n.members {
		leafOrigins(join(path, m.key), m.value, origins)
	}
}

func lookup(environ []string) func(string) string {
	values := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			values[name] = value
		}
	}
	return func(name string) string { return values[name] }
}

// fileLayer reads a file. Mistakes are those that keep it from being JSON.
func fileLayer(path string) (node, []Mistake, error) {
	data, err := readFile(path)
	if err != nil {
		return node{}, nil, err
	}
	data = bytes.TrimPrefix(data, utf8Mark)
	if m, bad := unfit(data); bad {
		return node{}, []Mistake{m}, nil
	}
	return readTree(data, Origin{Kind: FromFile, Name: path, Line: 1}), nil, nil
}

// openSecret says when a file holds a secret that others may read.
func openSecret(path string, layer node) *Notice {
	for key, leaf := range leafKeys() {
		if !leaf.secret {
			continue
		}
		n, found := layer, true
		for _, part := range strings.Split(key, ".") {
			if n, found = n.member(part); !found {
				break
			}
		}
		info, err := os.Stat(path)
		if found && n.text != "" && err == nil && readableByOthers(info.Mode()) {
			return &Notice{key, n.at, fmt.Sprintf("others can read the secret in %s: chmod 600 it", path)}
		}
	}
	return nil
}

// flagLayer is what the command line says.
func flagLayer(flags map[string]any) node {
	layer := node{kind: objectNode, at: Origin{Kind: FromFlag}}
	for _, key := range sortedKeys(flags) {
		path := strings.Split(key, ".")
		name := leafKeys()[key].flag
		if name == "" {
			name = strings.ReplaceAll(path[len(path)-1], "_", "-")
		}
		at := Origin{Kind: FromFlag, Name: "--" + name}
		layer.put(path, nodeOf("", flags[key], func(string) Origin { return at }))
	}
	return layer
}

// expandHome replaces a leading ~/ and says whether it could.
func expandHome(path *string, getenv func(string) string) bool {
	rest, found := strings.CutPrefix(*path, "~/")
	if !found {
		return true
	}
	home := getenv("HOME")
	if home == "" {
		home = getenv("USERPROFILE")
	}
	if home == "" {
		return false
	}
	*path = filepath.Join(home, filepath.FromSlash(rest))
	return true
}

// Validate judges a configuration that was changed after Load. The error is as
// for Load; source says in it what the values come from, e.g. "the flags".
func (c Config) Validate(source string) error {
	tree := nodeOf("", plainStruct(reflect.ValueOf(c)), func(string) Origin { return Origin{Kind: FromFile} })
	_, read, err := lay([]node{tree}, nil)
	if err != nil {
		return err
	}
	if len(read.mistakes) > 0 {
		return invalid(source, "", read.mistakes)
	}
	return nil
}

// plainStruct is a configuration as a file would hold it, secrets included.
func plainStruct(v reflect.Value) map[string]any {
	object := map[string]any{}
	for i := range v.NumField() {
		key := fieldKey(v.Type().Field(i))
		switch value := v.Field(i).Interface().(type) {
		case Seconds:
			object[key] = value.Duration().Seconds()
		case Secret:
			object[key] = string(value)
		case Strategy:
			object[key] = value.Name
			if value.Settings != nil {
				object[key] = plainStruct(reflect.ValueOf(*value.Settings))
			}
		case Thresholds:
			limits := map[string]any{}
			for name, limit := range value {
				limits[name] = limit
			}
			object[key] = limits
		case map[string]Plugin:
			plugins := map[string]any{}
			for name, p := range value {
				plugins[name] = plainStruct(reflect.ValueOf(p))
			}
			object[key] = plugins
		case map[string]any:
			if value != nil {
				object[key] = value
			}
		default:
			if v.Field(i).Kind() == reflect.Struct {
				object[key] = plainStruct(v.Field(i))
			} else {
				object[key] = value
			}
		}
	}
	return object
}

// readFile reads a regular file of bounded length; anything else could block.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errors.New("it is a folder")
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it is longer than %d bytes", maxFile)
	}
	return data, err
}

// reason says in a few words why a file could not be read.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

var utf8Mark = []byte{0xEF, 0xBB, 0xBF}
