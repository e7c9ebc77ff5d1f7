package problem

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check is what is known of a check that found something ill.
type Check struct {
	Name string
	// Status is one of the words warning, critical, unknown.
	Status string
	// Details by name, e.g. "host": "localhost".
	Details map[string]any
	// Exceeded thresholds by the name of the metric, e.g. "cpu".
	Exceeded map[string]Threshold
	// At is now; zero: the present.
	At  time.Time
	Err error
}

// Threshold is a value and the limit that it exceeds.
type Threshold struct {
	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold"`
}

// NewHealthCheckFailed is the problem of a check that found something ill. Its
// context has check_name, check_status, check_details and threshold_exceeded.
func NewHealthCheckFailed(p Platform, c Check) *Error {
	name := clean(c.Name, 80)
	lines := []string{"Check: " + name, "Status: " + strings.ToUpper(clean(c.Status, 20))}
	e := &Error{
		Code: HealthCheckFailed, What: fmt.Sprintf("health check %s is %s", name, strings.ToUpper(clean(c.Status, 20))),
		Details: []Section{{"CHECK DETAILS", cut(append(lines, facts(c.Details)...), 8, "details")}},
		Steps:   recommended(p, c), At: present(c.At), Err: c.Err,
		Context: map[string]any{
			"check_name": c.Name, "check_status": c.Status, "check_details": c.Details, "threshold_exceeded": c.Exceeded,
		},
	}
	var exceeded []string
	for _, metric := range slices.Sorted(maps.Keys(c.Exceeded)) {
		t := c.Exceeded[metric]
		exceeded = append(exceeded, fmt.Sprintf("%s: %s (threshold: %s)", title(metric), decimal(t.Value), decimal(t.Threshold)))
	}
	if len(exceeded) > 0 {
		e.Why = clean("over its threshold: "+strings.Join(slices.Sorted(maps.Keys(c.Exceeded)), ", "), 240)
		e.Details = append(e.Details, Section{"THRESHOLDS EXCEEDED", cut(exceeded, 6, "metrics")})
	}
	return e
}

// recommended are actions by what the names of the check and of its metrics speak of.
func recommended(p Platform, c Check) []string {
	about := strings.ToLower(c.Name)
	for _, key := range slices.Sorted(maps.Keys(c.Exceeded)) {
		about += " " + strings.ToLower(key)
	}
	steps := []string{"see all checks: host status"}
	speaks := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(about, w) })
	}
	if speaks("cpu") {
		steps = append(steps, "CPU: see what uses it: "+p.load()+"\nfewer clients or a machine with more cores help; the threshold is health_monitoring.thresholds.cpu_percent")
	}
	if speaks("memory") {
		steps = append(steps, "memory: see how much is left: "+p.memory()+"\nraise health_monitoring.thresholds.memory_mb if the use is stable; if it only grows, report it")
	}
	if speaks("network", "port", "connect") {
		steps = append(steps, "network: ask the hub as clients do: curl -s http://localhost:8765/health\nsee the connections: "+p.network())
	}
	if speaks("disk", "space") {
		steps = append(steps, "disk: see what is full: "+p.disk()+"\nfree some space, or move the state directory: --state-dir DIR")
	}
	if speaks("descriptor", "fd") {
		steps = append(steps, "descriptors: see the limit and its use: host doctor")
	}
	if len(steps) == 1 {
		steps = append(steps, "see what the checker and its plugin say: host plugins")
	}
	return append(steps, "check configuration, plugins, ports and limits: host doctor")
}

// facts are lines like "Events Processed: 1000", sorted.
func facts(values map[string]any) []string {
	var lines []string
	for _, key := range slices.SortedFunc(maps.Keys(values), cmp.Compare) {
		value := values[key]
		if f, ok := value.(float64); ok && f == float64(int64(f)) {
			value = int64(f)
		}
		lines = append(lines, title(key)+": "+clean(fmt.Sprint(value), 200))
	}
	return lines
}

// decimal shows a number with at least one decimal.
func decimal(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.ContainsAny(text, ".IN") {
		text += ".0"
	}
	return text
}
