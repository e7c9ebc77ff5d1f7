package problem

import (
	"fmt"
	"strings"

	"github.com/upkeephub/upkeep/core/spelling"
)

// Page explains a code to people.
type Page struct {
	Code string `json:"code"`
	// Type is the error_type that programs see.
	Type string `json:"error_type"`
	// Title is what the code means in half a sentence.
	Title string `json:"title"`
	// Means is what it means, in whole sentences.
	Means string `json:"means"`
	// Causes, the likeliest first.
	Causes []string `json:"causes"`
	// Steps lead out of it, the best one first.
	Steps []string `json:"steps"`
	// ExitCode of a command that ends with it; 0: none does.
	ExitCode int `json:"exit_code,omitempty"`
	// HTTPStatus of an answer that carries it; 0: none does.
	HTTPStatus int `json:"http_status,omitempty"`

	heading string
}

// PageOf gives the page of a code, with the commands of the platform that this
// program runs on. It is false for a code that does not exist.
func PageOf(code string) (Page, bool) { return PageFor(Here(), code) }

// PageFor is PageOf for another platform.
func PageFor(p Platform, code string) (Page, bool) {
	draft, ok := pages[code]
	if !ok {
		return Page{}, false
	}
	page := draft.Page
	page.Code = code
	if page.Type == "" {
		page.Type = strings.TrimSuffix(camel(code), "Error") + "Error"
	}
	if draft.steps != nil {
		page.Steps = draft.steps(p)
	}
	return page, true
}

func (p Page) stepsTitle() string {
	if p.heading != "" {
		return p.heading
	}
	return "What to do:"
}

// Text shows the page on a terminal, in at most 40 lines.
func (p Page) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n%s\n\nCauses:\n", p.Code, p.Title, p.Means)
	for _, cause := range p.Causes {
		fmt.Fprintf(&b, "  - %s\n", cause)
	}
	fmt.Fprintf(&b, "\nWhat to do:\n%s\n", strings.Join(numbered(p.Steps), "\n"))
	var seen []string
	if p.ExitCode != 0 {
		seen = append(seen, fmt.Sprintf("exit code %d", p.ExitCode))
	}
	if p.HTTPStatus != 0 {
		seen = append(seen, fmt.Sprintf("HTTP status %d", p.HTTPStatus))
	}
	seen = append(seen, "error_type "+p.Type)
	fmt.Fprintf(&b, "\nPrograms see: %s\n", strings.Join(seen, ", "))
	return b.String()
}

// Similar is the code that was probably meant, or empty.
func Similar(code string) string {
	code = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(code)), "-", "_")
	for _, known := range Codes() {
		if page := pages[known].Page; strings.EqualFold(page.Type, code) || strings.TrimSuffix(code, "error") == strings.ReplaceAll(known, "_", "") {
			return known
		}
	}
	return spelling.Nearest(code, Codes())
}
