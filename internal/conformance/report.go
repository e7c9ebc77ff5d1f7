package conformance

import "time"

// Outcome of a rule.
type Outcome string

// The outcomes.
const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	// Skip: the rule is not for this plugin, or could not be tried because an
	// earlier one failed.
	Skip Outcome = "skip"
)

// Finding is what came of one rule.
type Finding struct {
	// Rule is its stable name, lower-case words joined by underscores.
	Rule string `json:"rule"`
	// Promise is the rule in a sentence.
	Promise string  `json:"promise"`
	Outcome Outcome `json:"outcome"`
	// Found says what the plugin did, of a rule that failed, or why it was not tried.
	Found string `json:"found,omitempty"`
	// Change says what to change in the plugin; only of a rule that failed.
	Change     string  `json:"change,omitempty"`
	DurationMS float64 `json:"duration_ms"`
}

// Report is the whole.
type Report struct {
	SchemaVersion int `json:"schema_version"`
	// Plugin, Version and Kinds are the plugin's own words; without a Describe,
	// Plugin is its file's name.
	Plugin  string   `json:"plugin"`
	Version string   `json:"version"`
	Kinds   []string `json:"kinds"`
	// OK: no rule failed.
	OK       bool      `json:"ok"`
	Findings []Finding `json:"findings"`
}

// Count gives how many rules had that outcome.
func (r Report) Count(o Outcome) int {
	n := 0
	for _, f := range r.Findings {
		if f.Outcome == o {
			n++
		}
	}
	return n
}

// breach is how a plugin breaks a rule.
type breach struct {
	found, change string
}

func (f *Finding) took(since time.Time) {
	f.DurationMS = float64(time.Since(since).Microseconds()) / 1000
}
