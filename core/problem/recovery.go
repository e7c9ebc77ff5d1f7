package problem

import (
	"fmt"
	"strings"
	"time"
)

// Recovery is what is known of an attempt at recovery that did not help.
type Recovery struct {
	// Action is one of quarantine_offender, clear_connections, restart_service, emergency_stop,
	// log_warning, or an action of a plugin.
	Action string
	Reason string
	// Attempts in this incident so far.
	Attempts int
	// Health is what health said, by name, e.g. "events_processed": 1000.
	Health map[string]any
	// LastSuccess is when an attempt last helped; zero: never.
	LastSuccess time.Time
	// At is now; zero: the present.
	At  time.Time
	Err error
}

// NewRecoveryFailed is the problem of a recovery that did not bring health
// back. Its context has recovery_action, failure_reason, attempt_count,
// health_status and last_successful_recovery (RFC 3339, or null).
func NewRecoveryFailed(p Platform, r Recovery) *Error {
	at := present(r.At)
	action := clean(r.Action, 80)
	lines := []string{"Failed Action: " + action, "Reason: " + clean(r.Reason, 240), fmt.Sprintf("Attempt Count: %d", r.Attempts)}
	context := map[string]any{
		"recovery_action": r.Action, "failure_reason": r.Reason, "attempt_count": r.Attempts,
		"health_status": r.Health, "last_successful_recovery": nil,
	}
	last := "Last Successful Recovery: none"
	if !r.LastSuccess.IsZero() {
		context["last_successful_recovery"] = r.LastSuccess.UTC().Format(time.RFC3339)
		last = fmt.Sprintf("Last Successful Recovery: %s, %s ago", r.LastSuccess.UTC().Format(time.RFC3339), Age(at.Sub(r.LastSuccess)))
	}
	current := facts(r.Health)
	if len(current) == 0 {
		current = []string{"unknown"}
	}
	return &Error{
		Code: RecoveryFailed, What: fmt.Sprintf("recovery failed: %s did not bring health back", action),
		Why: clean(r.Reason, 240), At: at, Err: r.Err, Context: context,
		Details: []Section{{"RECOVERY DETAILS", append(lines, last)}, {"CURRENT HEALTH STATUS", cut(current, 8, "values")}},
		Steps:   append(recoverySteps(p, r.Action), "collect what a bug report needs: host doctor --bundle upkeep-report.tar.gz"),
	}
}

// recoverySteps are what a person can do after an action that failed.
func recoverySteps(p Platform, action string) []string {
	switch action {
	case "quarantine_offender":
		return []string{
			"see who is kept out, and lift it for whom it was wrong: host quarantine list",
			"see which check is ill, and who causes most: host status",
			"Manually restart the hub, which keeps the port: host restart",
		}
	case "clear_connections":
		return []string{
			"see which check is ill, and why: host status",
			"see how many connections there are: " + p.network(),
			"Manually restart the hub, which keeps the port: host restart",
		}
	case "restart_service":
		return []string{
			"see what the hub said last, and which check is ill: host status",
			"look for want of memory or CPU: " + p.memory() + "\nand: " + p.load(),
			"Manually stop host, then start it: host stop, then host start",
		}
	case "emergency_stop":
		return []string{
			"find the cause before you start again: host explain --guide",
			"check configuration, plugins, ports and limits: host doctor",
			"Manually start host when the cause is gone: host start",
		}
	}
	return []string{
		"see which check is ill, and why: host status",
		"see what recovery did: host history",
		"check configuration, plugins, ports and limits: host doctor",
	}
}

// title makes "events_processed" "Events Processed".
func title(key string) string {
	words := strings.FieldsFunc(key, func(r rune) bool { return r == '_' || r == ' ' })
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return clean(strings.Join(words, " "), 60)
}

func camel(code string) string { return strings.ReplaceAll(title(code), " ", "") }
