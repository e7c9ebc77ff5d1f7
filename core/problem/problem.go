package problem

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Error is an error that people read. What is needed, the rest is optional.
type Error struct {
	// Code is one of the constants of this package.
	Code string
	// What happened, in half a sentence without a full stop.
	What string
	// Why it happened. It may have several lines.
	Why string
	// Details are facts for people, under headings.
	Details []Section
	// Steps are imperative sentences that lead out of it, the best one first.
	Steps []string
	// Context holds the facts for programs, by stable names. Values must be fit
	// for JSON and must not be secret.
	Context map[string]any
	// At is when it happened; zero: the moment at which it is written.
	At time.Time
	// Err is the cause for errors.Is and errors.As. Its text is not shown when Why is set.
	Err error
}

// Section is a group of facts.
type Section struct {
	// Title is in capital letters, e.g. "PROCESS DETAILS".
	Title string   `json:"title"`
	Lines []string `json:"lines"`
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

// Text shows the error to people: what, why, the details under their headings
// and the numbered steps, in at most 30 lines. Where that is not enough, what
// is missing is counted: reasons give way first, then details, then steps.
func (e *Error) Text() string {
	heading, more := "What to do:", 0
	page, known := PageOf(e.Code)
	if known {
		heading, more = page.stepsTitle(), 1
	}
	steps := numbered(e.Steps)
	if len(steps) > 0 {
		steps = append([]string{"", heading}, cut(steps, maxLines-5-more, "steps")...)
	}
	lines := []string{strings.Join(strings.Split(strings.TrimSpace(e.What), "\n"), " ")}
	room := maxLines - len(lines) - len(steps) - more

	var reasons, details []string
	if why := e.why(); why != "" {
		reasons = indented(strings.Split(why, "\n"))
	}
	for _, section := range e.Details {
		details = append(append(details, "", section.Title), indented(section.Lines)...)
	}
	if len(details) > 0 {
		details = cut(details, room-min(len(reasons), 3), "lines")
	}
	if len(reasons) > 0 {
		reasons = cut(reasons, room-len(details), "lines")
	}
	lines = slices.Concat(lines, reasons, details, steps)
	if known {
		lines = append(lines, "More: host explain "+e.Code)
	}
	return strings.Join(lines, "\n") + "\n"
}

// numbered gives the lines of a numbered list.
func numbered(steps []string) []string {
	var lines []string
	for i, step := range steps {
		for j, line := range strings.Split(strings.TrimSpace(step), "\n") {
			number := "   "
			if j == 0 {
				number = fmt.Sprintf("%2d.", i+1)
			}
			lines = append(lines, "  "+number+" "+line)
		}
	}
	return lines
}

func indented(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = "  " + line
	}
	return out
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

// Code gives the code of the first Error in err's chain, or empty.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
