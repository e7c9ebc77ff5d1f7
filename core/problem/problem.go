// Package problem is the one shape of errors that people read: what happened,
// why, and what to do next, under a code that programs can rely on.
//
// It owns the shape and how it is shown as text and as JSON. It refuses to know
// what can go wrong: whoever notices something fills in the error. Everything
// that meets an operator (command line, HTTP) uses it; it starts no goroutine.
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The codes. They are part of the API: a code never changes its meaning.
const (
	// DaemonConflict: another host holds the state directory.
	DaemonConflict = "daemon_conflict"
	// PortConflict: another process listens on the port.
	PortConflict = "port_conflict"
	// ListenFailed: the port cannot be bound for another reason.
	ListenFailed = "listen_failed"
	// ConfigInvalid: the configuration cannot be used.
	ConfigInvalid = "config_invalid"
	// StateDirUnusable: the state directory cannot be used.
	StateDirUnusable = "state_dir_unusable"
	// PluginsMissing: plugins that are needed are not there.
	PluginsMissing = "plugins_missing"
	// Internal: a bug of ours.
	Internal = "internal_error"
	// NotFound: there is nothing under that name.
	NotFound = "not_found"
	// MethodNotAllowed: the endpoint exists, but not for that method.
	MethodNotAllowed = "method_not_allowed"
	// ForeignHost: the request was meant for another host name.
	ForeignHost = "foreign_host"
)

// Error is an error that people read. What is needed, the rest is optional.
type Error struct {
	// Code is one of the constants of this package.
	Code string
	// What happened, in half a sentence without a full stop.
	What string
	// Why it happened. It may have several lines.
	Why string
	// Steps are imperative sentences that lead out of it, the best one first.
	Steps []string
	// Context holds the facts for programs, by stable names. Values must be fit
	// for JSON and must not be secret.
	Context map[string]any
	// Err is the cause for errors.Is and errors.As. Its text is not shown when Why is set.
	Err error
}

// Error says what and why in one line.
func (e *Error) Error() string {
	why := e.why()
	if why == "" {
		return e.What
	}
	return e.What + ": " + strings.Join(strings.Split(why, "\n"), "; ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint is the best next step, or empty.
func (e *Error) Hint() string {
	if len(e.Steps) == 0 {
		return ""
	}
	return e.Steps[0]
}

func (e *Error) why() string {
	if e.Why == "" && e.Err != nil {
		return e.Err.Error()
	}
	return strings.TrimSpace(e.Why)
}

// maxLines is how long Text may get, so that it fits a screen.
const maxLines = 30

// Text shows the error to people: what, why, and the numbered steps, in at
// most 30 lines. If the reasons are too many, the last of them are counted
// instead of shown; steps come before reasons then.
func (e *Error) Text() string {
	var steps []string
	for i, step := range e.Steps {
		for j, line := range strings.Split(strings.TrimSpace(step), "\n") {
			number := "   "
			if j == 0 {
				number = fmt.Sprintf("%2d.", i+1)
			}
			steps = append(steps, "  "+number+" "+line)
		}
	}
	if len(steps) > 0 {
		steps = append([]string{"", "What to do:"}, cut(steps, maxLines-5, "steps")...)
	}
	lines := strings.Split(strings.TrimSpace(e.What), "\n")
	lines = []string{strings.Join(lines, " ")}
	if why := e.why(); why != "" {
		reasons := strings.Split(why, "\n")
		for i, line := range reasons {
			reasons[i] = "  " + line
		}
		lines = append(lines, cut(reasons, maxLines-1-len(steps), "lines")...)
	}
	return strings.Join(append(lines, steps...), "\n") + "\n"
}

// cut shortens lines to at most limit, the last of which then says how many
// are missing.
func cut(lines []string, limit int, noun string) []string {
	limit = max(1, limit)
	if len(lines) <= limit {
		return lines
	}
	missing := len(lines) - limit + 1
	return append(lines[:limit-1:limit-1], fmt.Sprintf("  ... and %d more %s", missing, noun))
}

// MarshalJSON writes error_code, message, why, steps and context. The context
// repeats the steps as resolution_steps, where existing clients look for them.
func (e *Error) MarshalJSON() ([]byte, error) {
	context := make(map[string]any, len(e.Context)+1)
	for k, v := range e.Context {
		context[k] = v
	}
	steps := append([]string{}, e.Steps...)
	context["resolution_steps"] = steps
	return json.Marshal(struct {
		Code    string         `json:"error_code"`
		Message string         `json:"message"`
		Why     string         `json:"why,omitempty"`
		Steps   []string       `json:"steps"`
		Context map[string]any `json:"context"`
	}{e.Code, e.What, e.why(), steps, context})
}

// Code gives the code of the first Error in err's chain, or empty.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
