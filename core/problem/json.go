package problem

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"time"
)

// ContentType of what ProblemJSON gives.
const ContentType = "application/problem+json"

// stamp is RFC 3339 in UTC, always of one length.
const stamp = "2006-01-02T15:04:05.000000Z07:00"

// wire is an error as JSON.
type wire struct {
	Type      string         `json:"error_type"`
	Code      string         `json:"error_code"`
	Message   string         `json:"message"`
	Why       string         `json:"why,omitempty"`
	Details   []Section      `json:"details,omitempty"`
	Steps     []string       `json:"steps"`
	Context   map[string]any `json:"context"`
	Timestamp string         `json:"timestamp"`
}

func (e *Error) wire() wire {
	at := e.At
	if at.IsZero() {
		at = time.Now()
	}
	steps := append([]string{}, e.Steps...)
	context := maps.Clone(e.Context)
	if context == nil {
		context = map[string]any{}
	}
	context["resolution_steps"] = steps
	return wire{
		Type: TypeOf(e.Code), Code: e.Code, Message: e.What, Why: e.why(), Details: e.Details,
		Steps: steps, Context: context, Timestamp: at.UTC().Format(stamp),
	}
}

// MarshalJSON writes error_type, error_code, message, why, details, steps,
// context and timestamp. The context repeats the steps as resolution_steps,
// where existing clients look for them.
func (e *Error) MarshalJSON() ([]byte, error) { return json.Marshal(e.wire()) }

// UnmarshalJSON reads what MarshalJSON writes. The cause, Err, is not in it.
func (e *Error) UnmarshalJSON(data []byte) error {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339Nano, w.Timestamp)
	if err != nil {
		return err
	}
	delete(w.Context, "resolution_steps")
	*e = Error{Code: w.Code, What: w.Message, Why: w.Why, Details: w.Details, Steps: w.Steps, Context: w.Context, At: at}
	return nil
}

// ProblemJSON is the error as an RFC 9457 document for an answer with that HTTP
// status: type (urn:upkeep:error:CODE), title, status, detail, instance, and
// the members of MarshalJSON. Instance is the path of the request, or empty.
func (e *Error) ProblemJSON(status int, instance string) ([]byte, error) {
	if instance != "" {
		instance = (&url.URL{Path: instance}).EscapedPath() // a URI reference
	}
	return json.MarshalIndent(struct {
		URN      string `json:"type"`
		Title    string `json:"title"`
		Status   int    `json:"status"`
		Detail   string `json:"detail"`
		Instance string `json:"instance,omitempty"`
		wire
	}{e.urn(), e.title(), status, e.Error(), instance, e.wire()}, "", "  ")
}

// CommandJSON is the error as a command with --json prints it before it ends
// with that exit code: the document of ProblemJSON with exit_code instead of
// status. What JSON cannot carry in the context is left out.
func (e *Error) CommandJSON(exitCode int) []byte {
	document := struct {
		URN      string `json:"type"`
		Title    string `json:"title"`
		Detail   string `json:"detail"`
		ExitCode int    `json:"exit_code"`
		wire
	}{e.urn(), e.title(), e.Error(), exitCode, e.wire()}
	data, err := writeJSON(document)
	if err != nil {
		document.Context = map[string]any{"resolution_steps": document.Steps}
		data, _ = writeJSON(document) // strings and numbers only
	}
	return data
}

// writeJSON writes a document for people and programs: paths and commands in it stay
// as they are.
func writeJSON(document any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(document)
	return b.Bytes(), err
}

// urn names the kind of the error.
func (e *Error) urn() string { return "urn:upkeep:error:" + e.Code }

// title is what the code means, the same for every error with that code.
func (e *Error) title() string {
	if page, known := PageOf(e.Code); known {
		return page.Title
	}
	return e.What
}

// TypeOf is the error_type of a code, e.g. "PortConflictError".
func TypeOf(code string) string {
	if page, ok := PageOf(code); ok {
		return page.Type
	}
	return camel(code) + "Error"
}

// Codes lists all codes, sorted.
func Codes() []string { return slices.Sorted(maps.Keys(pages)) }
