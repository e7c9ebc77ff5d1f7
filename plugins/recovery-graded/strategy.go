package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

// The rules that decide, by the names that programs read.
const (
	ruleHealthy         = "healthy"            // there is nothing to do
	rulePending         = "attempt_pending"    // the last attempt is not judged yet
	ruleTooFew          = "too_few_reports"    // not ill for long enough
	ruleLogWarning      = "warning_reached"    // enough warnings: log one
	ruleJustLogged      = "warning_logged"     // the next report may escalate
	ruleUnknown         = "all_unknown"        // no action on a guess
	ruleLoad            = "load_only"          // busy is not ill
	ruleWarning         = "warning_escalated"  // warnings go on after the log
	ruleWarningAtEnd    = "warning_exhausted"  // they go on, and justify no more than was tried
	ruleCritical        = "critical_escalated" // the next rung
	ruleRemembered      = "memory_passed_over" // the next rung that memory does not speak against
	ruleLadderExhausted = "ladder_exhausted"   // critical, and no rung is left
)

// ladder are the rungs that are attempts, lowest first. When few clients cause most
// of the trouble they go before anything is done that everybody feels: the first rung
// can run only then.
var ladder = []sdk.Action{sdk.QuarantineOffender, sdk.ClearConnections, sdk.RestartService, sdk.EmergencyStop}

// mild is how many of the rungs warnings may take.
const mild = 2

// settings is the strategy's configuration.
type settings struct {
	WarningThreshold  int         `json:"warning_threshold" jsonschema:"minimum=1" jsonschema_description:"From how many reports that are not healthy, within the window, the warning is logged."`
	CriticalThreshold int         `json:"critical_threshold" jsonschema:"minimum=1" jsonschema_description:"From how many critical reports, within the window, the next rung is taken."`
	FailureWindow     sdk.Seconds `json:"failure_window_seconds" jsonschema:"exclusiveMinimum=0" jsonschema_description:"How many seconds back reports count."`
}

// strategy is the ladder.
type strategy struct {
	*sdk.Config[settings]
}

func newStrategy() strategy {
	return strategy{sdk.NewConfig(settings{WarningThreshold: 2, CriticalThreshold: 1, FailureWindow: 300})}
}

// Decide proposes at most one rung.
func (s strategy) Decide(_ context.Context, situation sdk.Situation) (sdk.Proposal, error) {
	return decide(s.Current(), situation), nil
}

func decide(limits settings, s sdk.Situation) sdk.Proposal {
	if s.Report.Status == sdk.Healthy {
		return none(ruleHealthy, "The report is healthy.")
	}
	for _, a := range s.Incident.Attempts {
		if a.Outcome == sdk.OutcomePending {
			return none(rulePending, "The outcome of %s is not known yet.", a.Action)
		}
	}
	seen := tallyOf(s, limits.FailureWindow.Duration())
	if seen.now == sdk.Critical && seen.critical >= limits.CriticalThreshold {
		return critical(limits, s, seen)
	}
	return warning(limits, s, seen)
}

// critical takes the next rung of the ladder.
func critical(limits settings, s sdk.Situation, seen tally) sdk.Proposal {
	next, passed := nextRung(s)
	if next != sdk.None {
		p := sdk.Proposal{Action: next, Rule: ruleCritical, Reason: fmt.Sprintf(
			"%d critical reports within %v, at least %d needed, after %d attempts in this incident: %s is the next rung that can run.",
			seen.critical, limits.FailureWindow.Duration(), limits.CriticalThreshold, len(s.Incident.Attempts), next)}
		if len(passed) > 0 {
			p.Rule = ruleRemembered
			p.Reason = fmt.Sprintf("%d critical reports within %v, at least %d needed, and lately %v did not help against %v: %s is the next rung that may.",
				seen.critical, limits.FailureWindow.Duration(), limits.CriticalThreshold, passed, s.Incident.Causes, next)
		}
		return p
	}
	return none(ruleLadderExhausted, "%d critical reports, but every rung above those attempted (%d attempts) cannot run or is used up.",
		seen.critical, len(s.Incident.Attempts))
}

// nextRung is the lowest rung that can run above those attempted. Rungs that
// lately did not help against these causes are passed over for one that may, but
// never for the emergency stop: when memory speaks against all others, the ladder
// is climbed as if there were no memory.
func nextRung(s sdk.Situation) (next sdk.Action, passed []sdk.Action) {
	for _, rung := range ladder[firstUntried(s.Incident):] {
		switch {
		case !applicable(s, rung):
		case rung == sdk.EmergencyStop && len(passed) > 0:
			return passed[0], nil
		case rung != sdk.EmergencyStop && remembered(s, rung):
			passed = append(passed, rung)
		default:
			return rung, passed
		}
	}
	if len(passed) > 0 {
		return passed[0], nil
	}
	return sdk.None, nil
}

// warning logs once, and then clears connections at most. A critical report
// below its own threshold is at least a warning.
func warning(limits settings, s sdk.Situation, seen tally) sdk.Proposal {
	window := limits.FailureWindow.Duration()
	if seen.ill < limits.WarningThreshold {
		return none(ruleTooFew, "%d of the %d reports that are needed within %v are not healthy.", seen.ill, limits.WarningThreshold, window)
	}
	logged := s.Incident.WarningLoggedAt
	if logged.IsZero() && applicable(s, sdk.LogWarning) {
		return sdk.Proposal{Action: sdk.LogWarning, Rule: ruleLogWarning, Reason: fmt.Sprintf(
			"%d reports within %v are not healthy, at least %d needed, and this incident's warning is not logged yet.",
			seen.ill, window, limits.WarningThreshold)}
	}
	switch {
	case seen.now == sdk.Unknown:
		return none(ruleUnknown, "No check knows how the hub is, in %d reports: nothing is done on a guess.", seen.ill)
	case seen.now == sdk.Healthy:
		return none(ruleLoad, "The hub is busy and not ill: only load metrics are not healthy.")
	case !s.Report.Time.After(logged):
		return none(ruleJustLogged, "This incident's warning was logged with this report; the next one may escalate.")
	case seen.warned < limits.WarningThreshold || seen.ill <= limits.WarningThreshold && logged.IsZero():
		return none(ruleTooFew, "%d reports within %v warn of more than load: at least %d are needed to act, after the one that would be logged.",
			seen.warned, window, limits.WarningThreshold)
	}
	passed := false
	for _, rung := range ladder[min(firstUntried(s.Incident), mild):mild] {
		switch {
		case !applicable(s, rung):
		case remembered(s, rung):
			passed = true
		default:
			return sdk.Proposal{Action: rung, Rule: ruleWarning, Reason: fmt.Sprintf(
				"%d warnings within %v, at least %d needed, and it goes on after this incident's warning.", seen.warned, window, limits.WarningThreshold)}
		}
	}
	if passed {
		return none(ruleWarningAtEnd, "%d warnings within %v, but lately clear_connections did not help against %v, and warnings justify no more.", seen.warned, window, s.Incident.Causes)
	}
	return none(ruleWarningAtEnd, "%d warnings within %v, but clear_connections was tried or cannot run, and warnings justify no more.", seen.warned, window)
}

// firstUntried is the index of the rung above the highest that was attempted in
// this incident: a rung that did not help is not tried again, and nobody climbs down.
func firstUntried(i sdk.Incident) int {
	first := 0
	for _, a := range i.Attempts {
		for n, rung := range ladder {
			if a.Action == rung {
				first = max(first, n+1)
			}
		}
	}
	return first
}

// doubt is the weight from which failures of a rung speak against it: half a
// failure more than there were cures, which one failure weighs for one half-life.
const doubt = 0.5

// remembered says whether memory speaks against a rung for a cause of this incident.
func remembered(s sdk.Situation, rung sdk.Action) bool {
	for _, e := range s.Effects {
		if e.Action == rung && e.NotCuredWeight-e.CuredWeight >= doubt && slices.Contains(s.Incident.Causes, e.Cause) {
			return true
		}
	}
	return false
}

// applicable says whether the host can run the action now.
func applicable(s sdk.Situation, action sdk.Action) bool {
	for _, a := range s.Actions {
		if a.Action == action {
			return a.Applicable
		}
	}
	return false
}

func none(rule, reason string, args ...any) sdk.Proposal {
	return sdk.Proposal{Action: sdk.None, Rule: rule, Reason: fmt.Sprintf(reason, args...)}
}

// tally is what the reports of the window say.
type tally struct {
	now      sdk.Status // of the current report: without load, and without guesses
	ill      int        // reports that are not healthy, for whatever reason
	warned   int        // reports that are a warning or worse for more than load
	critical int        // reports that are critical for more than load
}

// tallyOf counts the history, which includes the current report.
func tallyOf(s sdk.Situation, window time.Duration) tally {
	history := s.History
	if len(history) == 0 {
		history = []sdk.Report{s.Report}
	}
	t := tally{now: known(s.Report)}
	for _, r := range history {
		if r.Status == sdk.Healthy || s.Now.Sub(r.Time) > window {
			continue
		}
		t.ill++
		switch known(r) {
		case sdk.Critical:
			t.critical++
			t.warned++
		case sdk.Warning:
			t.warned++
		}
	}
	return t
}

// known is how the hub is, load left out, as far as anybody could look. The
// host's word counts, except where it rests on guesses: a required checker that
// could not look makes the whole a warning, and is no evidence of an illness.
func known(r sdk.Report) sdk.Status {
	guesses, ill := 0, 0
	for _, c := range r.Checks {
		switch withoutLoad(c) {
		case sdk.Warning, sdk.Critical:
			ill++
		case sdk.Healthy:
		default:
			guesses++
		}
	}
	status := r.StatusWithoutLoad
	switch {
	case status == sdk.Critical && len(r.Checks) > 0 && guesses == len(r.Checks):
		return sdk.Unknown
	case status == sdk.Warning && guesses > 0 && ill == 0:
		return sdk.Unknown
	}
	return status
}

// withoutLoad is a check's status with its load metrics left out. A status that
// no load metric explains stands.
func withoutLoad(c sdk.CheckResult) sdk.Status {
	if c.Status != sdk.Warning && c.Status != sdk.Critical {
		return c.Status
	}
	load, rest := sdk.Healthy, sdk.Healthy
	for _, m := range c.Metrics {
		if m.Load {
			load = sdk.Worst(load, m.Status)
		} else if m.Status != sdk.Unknown {
			rest = sdk.Worst(rest, m.Status)
		}
	}
	if c.Status.Worse(load) {
		return c.Status
	}
	return rest
}
