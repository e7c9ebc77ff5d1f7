package problem

import (
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
	page, known := PageOf(e.Code)
	title := page.Title
	if !known {
		title = e.What
	}
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
	}{"urn:upkeep:error:" + e.Code, title, status, e.Error(), instance, e.wire()}, "", "  ")
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
