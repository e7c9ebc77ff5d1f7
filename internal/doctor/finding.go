package doctor

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Level says how bad a finding is.
type Level string

const (
	// OK: nothing to do.
	OK Level = "ok"
	// Warn: host runs, but not as well as it could.
	Warn Level = "warn"
	// Error: host does not start, or does not serve.
	Error Level = "error"
	// Skip: it could not be looked at, or there is nothing to look at.
	Skip Level = "skip"
)

// Finding is what one look found.
type Finding struct {
	// Name of what was looked at, e.g. "port 8765".
	Name  string `json:"name"`
	Level Level  `json:"level"`
	// Detail says what was found, in one line.
	Detail string `json:"detail"`
	// Fix is what to do; empty when there is nothing to do.
	Fix string `json:"fix,omitempty"`
	// Code of the problem, if it has a page of its own: host explain CODE.
	Code string `json:"code,omitempty"`
}

// Report is the result of Run.
type Report struct {
	Version  string
	Platform string
	Time     time.Time
	StateDir string
	Findings []Finding
}

// Count is how many findings have the level.
func (r Report) Count(l Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// schemaVersion of the JSON form; it grows when a field changes its meaning.
const schemaVersion = 1

// MarshalJSON writes schema_version, version, platform, timestamp, state_dir,
// warnings, errors and findings.
func (r Report) MarshalJSON() ([]byte, error) {
	findings := r.Findings
	if findings == nil {
		findings = []Finding{}
	}
	return json.Marshal(struct {
		Schema   int       `json:"schema_version"`
		Version  string    `json:"version"`
		Platform string    `json:"platform"`
		Time     time.Time `json:"timestamp"`
		StateDir string    `json:"state_dir"`
		Warnings int       `json:"warnings"`
		Errors   int       `json:"errors"`
		Findings []Finding `json:"findings"`
	}{schemaVersion, r.Version, r.Platform, r.Time.UTC(), r.StateDir, r.Count(Warn), r.Count(Error), findings})
}

// Text shows the report on a terminal: a line for each finding, a second one for
// what to do, and a sum. Paint may colour the word of a level; nil: it stays.
func (r Report) Text(paint func(l Level, word string) string) string {
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Name))
	}
	width = min(width, 28)
	var b strings.Builder
	for _, f := range r.Findings {
		word := fmt.Sprintf("%-5s", f.Level)
		if paint != nil {
			word = paint(f.Level, word)
		}
		fmt.Fprintf(&b, "%s  %-*s  %s\n", word, width, f.Name, f.Detail)
		if f.Fix != "" {
			fmt.Fprintf(&b, "       %-*s  fix: %s\n", width, "", f.Fix)
		}
	}
	fmt.Fprintf(&b, "%s, %s. For a bug report: host doctor --bundle upkeep-report.tar.gz\n", count(r.Count(Warn), "warning"), count(r.Count(Error), "error"))
	return b.String()
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
