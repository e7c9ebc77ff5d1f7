package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/upkeephub/upkeep/core/problem"
)

// maxFile is how long a configuration file may be.
const maxFile = 1 << 20

// Load reads the file at path over the defaults. An empty path gives the
// defaults. The error is a *problem.Error with the code config_invalid; it names
// every mistake in the file, and errors.As finds each as a Mistake.
func Load(path string) (Config, error) {
	if path == "" {
		return Default(), nil
	}
	data, err := readFile(path)
	if err != nil {
		return Config{}, unreadable(path, err)
	}
	cfg, mistakes := parse(data)
	if len(mistakes) > 0 {
		return Config{}, invalid("the configuration file "+path, path, mistakes)
	}
	return cfg, nil
}

// Validate judges a configuration that was changed after Load, e.g. by flags.
// The error is as for Load; source says in it what the values come from, e.g.
// "the configuration with the flags".
func (c Config) Validate(source string) error {
	data, err := json.Marshal(c)
	if err != nil { // a number that JSON cannot carry
		return invalid(source, "", []Mistake{{Want: err.Error()}})
	}
	_, mistakes := parse(data)
	if len(mistakes) == 0 {
		return nil
	}
	for i := range mistakes {
		mistakes[i].Line = 0 // of our own writing, which nobody sees
	}
	return invalid(source, "", mistakes)
}

// Mistake is one thing that is wrong in a configuration.
type Mistake struct {
	// Key with its sections, e.g. "server.port"; empty: the file as a whole.
	Key string `json:"key"`
	// Line in the file, from 1; 0: none.
	Line int `json:"line,omitempty"`
	// Got is the value; empty when there is no more to say than Want.
	Got string `json:"got,omitempty"`
	// Want is what is wanted instead.
	Want string `json:"want"`
}

// Error says where, what was found and what is wanted.
func (m Mistake) Error() string {
	where := m.Key
	switch {
	case m.Line > 0 && where == "":
		where = fmt.Sprintf("line %d", m.Line)
	case m.Line > 0:
		where += fmt.Sprintf(" (line %d)", m.Line)
	}
	said := m.Want
	if m.Got != "" {
		said = fmt.Sprintf("got %s, want %s", m.Got, m.Want)
	}
	if where == "" {
		return said
	}
	return where + ": " + said
}

func invalid(source, path string, mistakes []Mistake) error {
	lines := make([]string, len(mistakes))
	errs := make([]error, len(mistakes))
	for i, m := range mistakes {
		lines[i], errs[i] = m.Error(), m
	}
	what := source + " has a mistake"
	step := "correct it, then start again"
	if len(mistakes) > 1 {
		what = fmt.Sprintf("%s has %d mistakes", source, len(mistakes))
		step = "correct them, then start again"
	}
	context := map[string]any{"mistakes": mistakes}
	if path != "" {
		context["path"] = path
	}
	return &problem.Error{
		Code: problem.ConfigInvalid, What: what, Why: strings.Join(lines, "\n"),
		Steps: []string{step}, Context: context, Err: errors.Join(errs...),
	}
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

func unreadable(path string, err error) error {
	why, step := err.Error(), "name a JSON file with --config FILE, or leave --config away to run on the defaults"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "it does not exist"
	case errors.Is(err, fs.ErrPermission):
		why = "permission denied"
		step = "let the user that runs host read it"
	default:
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			why = pathErr.Err.Error()
		}
	}
	return &problem.Error{
		Code: problem.ConfigInvalid, What: fmt.Sprintf("the configuration file %s cannot be read", path), Why: why,
		Steps: []string{step}, Context: map[string]any{"path": path}, Err: err,
	}
}

var utf8Mark = []byte{0xEF, 0xBB, 0xBF}

// parse reads a configuration over the defaults and collects all mistakes.
func parse(data []byte) (Config, []Mistake) {
	data = bytes.TrimPrefix(data, utf8Mark)
	if m, bad := unfit(data); bad {
		return Config{}, []Mistake{m}
	}
	root := readTree(data)
	cfg := Default()
	r := reader{given: map[string]int{}}
	r.decode("", root, &cfg)
	r.settle(&cfg)
	return cfg, r.mistakes
}
