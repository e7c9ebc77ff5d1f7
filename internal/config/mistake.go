package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/upkeephub/upkeep/core/problem"
)

// Mistake is one thing that is wrong in a configuration.
type Mistake struct {
	// Key with its sections, e.g. "server.port"; empty: the file as a whole.
	Key string `json:"key"`
	// Source is the variable, flag or profile that holds the mistake; empty: the
	// file.
	Source string `json:"source,omitempty"`
	// Line in the file, from 1; 0: none.
	Line int `json:"line,omitempty"`
	// Got is the value; empty when there is no more to say than Want. A secret is
	// never shown.
	Got string `json:"got,omitempty"`
	// Want is what is wanted instead.
	Want string `json:"want"`
}

// mistakeAt fills in where a mistake is.
func mistakeAt(key string, at Origin, got, want string) Mistake {
	m := Mistake{Key: key, Line: at.Line, Got: got, Want: want}
	if at.Kind != FromFile {
		m.Source = at.Name
	}
	return m
}

// Error says where, what was found and what is wanted.
func (m Mistake) Error() string {
	place := m.Source
	switch {
	case m.Line > 0 && place != "":
		place = fmt.Sprintf("line %d of %s", m.Line, place)
	case m.Line > 0:
		place = fmt.Sprintf("line %d", m.Line)
	}
	where := m.Key
	switch {
	case where == "":
		where = place
	case place != "" && place != where:
		where += " (" + place + ")"
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

// maxMistakes is how many mistakes are collected.
const maxMistakes = 100

// invalid is the problem of a source that has these mistakes.
func invalid(source, path string, mistakes []Mistake) error {
	mistakes = mistakes[:min(len(mistakes), maxMistakes)]
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

func unreadable(path string, err error) error {
	step := "name a JSON file with --config FILE, or leave --config away to run on the defaults"
	if errors.Is(err, fs.ErrPermission) {
		step = "let the user that runs host read it"
	}
	return &problem.Error{
		Code: problem.ConfigInvalid, What: fmt.Sprintf("the configuration file %s cannot be read", path), Why: reason(err),
		Steps: []string{step}, Context: map[string]any{"path": path}, Err: err,
	}
}
