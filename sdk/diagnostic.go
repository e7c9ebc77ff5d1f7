package sdk

import (
	"errors"
	"slices"
	"strings"
)

// Diagnostic is one finding about a configuration. It is an error, so that
// Validate may return one, or several with errors.Join.
type Diagnostic struct {
	// Path is the key, nested keys joined by dots, e.g. "thresholds.cpu_percent".
	Path string
	// Summary is one sentence: what is wrong.
	Summary string
	// Detail says what is wanted instead.
	Detail string
	// Warning marks a finding that does not stop the configuration from being applied.
	Warning bool
}

// Error joins path, summary and detail.
func (d Diagnostic) Error() string {
	text := d.Summary
	if d.Path != "" {
		text = d.Path + ": " + text
	}
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	return text
}

// diagnosticsOf takes an error apart: joined errors one by one, a Diagnostic as
// it is, anything else as a summary without a path.
func diagnosticsOf(err error) []Diagnostic {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []Diagnostic
		for _, e := range joined.Unwrap() {
			all = append(all, diagnosticsOf(e)...)
		}
		return all
	}
	var d Diagnostic
	if errors.As(err, &d) {
		return []Diagnostic{d}
	}
	return []Diagnostic{{Summary: err.Error()}}
}

// refused says whether one of the findings stops the configuration.
func refused(found []Diagnostic) bool {
	return slices.ContainsFunc(found, func(d Diagnostic) bool { return !d.Warning })
}

// nearest returns the one of words that a person most likely meant, or "".
func nearest(word string, words []string) string {
	best, limit := "", 3 // more than two slips are another word
	for _, w := range words {
		if d := editDistance(strings.ToLower(word), strings.ToLower(w)); d < limit && d < len(w) {
			best, limit = w, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements between a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
