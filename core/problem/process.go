package problem

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Process is what is known of a process that stands in the way. Fields that
// could not be found out are zero. Texts of strangers are shown cleaned and cut.
type Process struct {
	PID         int       `json:"pid"`
	Name        string    `json:"name,omitempty"`
	Status      string    `json:"status,omitempty"`
	CommandLine string    `json:"command_line,omitempty"`
	User        string    `json:"user,omitempty"`
	Started     time.Time `json:"start_time,omitzero"`
	CPUPercent  float64   `json:"cpu_percent,omitempty"`
	MemoryMB    float64   `json:"memory_mb,omitempty"`
}

// cleaned is the process with texts that may be shown on a terminal.
func (p Process) cleaned() Process {
	p.Name, p.Status, p.User = clean(p.Name, 64), clean(p.Status, 32), clean(p.User, 64)
	p.CommandLine = clean(p.CommandLine, 160)
	return p
}

// Lines of facts about the process, those that are known.
func (p Process) lines(now time.Time) []string {
	lines := []string{fmt.Sprintf("PID: %d%s", p.PID, inBrackets(p.Name, p.Status, p.User))}
	if p.CommandLine != "" {
		lines = append(lines, "Command line: "+p.CommandLine)
	}
	if !p.Started.IsZero() {
		lines = append(lines, started(p.Started, now))
	}
	if p.MemoryMB > 0 {
		lines = append(lines, fmt.Sprintf("Memory: %.1f MB", p.MemoryMB))
	}
	return lines
}

func inBrackets(parts ...string) string {
	var known []string
	for _, part := range parts {
		if part != "" {
			known = append(known, part)
		}
	}
	if len(known) == 0 {
		return ""
	}
	return " (" + strings.Join(known, ", ") + ")"
}

func started(at, now time.Time) string {
	return fmt.Sprintf("Started: %s, up %s", at.UTC().Format(time.RFC3339), Age(now.Sub(at)))
}

// Age shows a duration as people say it, in its two largest units: "15m 2s".
// Less than a second, and what is negative, is "0s".
func Age(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s >= 86400:
		return fmt.Sprintf("%dd %dh", s/86400, s%86400/3600)
	case s >= 3600:
		return fmt.Sprintf("%dh %dm", s/3600, s%3600/60)
	case s >= 60:
		return fmt.Sprintf("%dm %ds", s/60, s%60)
	}
	return fmt.Sprintf("%ds", s)
}

// clean makes foreign text fit for one line of a terminal: control characters
// and line ends become spaces, and it has at most limit characters.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > limit {
		text = string([]rune(text)[:limit-3]) + "..."
	}
	return text
}
