package recovery

import (
	"fmt"
	"slices"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// Verdict of the guard on a proposal.
type Verdict string

const (
	// Run: the action is taken.
	Run Verdict = "run"
	// Nothing: the strategy proposed to do nothing.
	Nothing Verdict = "nothing"
	// Suppressed: the action is not taken now; Rule and Reason say why.
	Suppressed Verdict = "suppressed"
	// Refused: the proposal itself is wrong and counts against the strategy.
	Refused Verdict = "refused"
)

// Rules of the guard, by which a decision was made.
const (
	RuleUnknownAction   = "unknown_action"
	RuleHealthy         = "healthy_again"
	RuleInProgress      = "attempt_in_progress"
	RuleSettling        = "settling"
	RuleNotApplicable   = "not_applicable"
	RuleNothingKnown    = "nothing_known"
	RuleOnlyLoad        = "only_load"
	RuleNeedsCritical   = "needs_critical"
	RuleAlreadyTried    = "already_tried"
	RuleAttemptsUsed    = "attempts_used_up"
	RuleCooldown        = "cooldown"
	RuleBreaker         = "breaker"
	RuleActionDisabled  = "action_disabled"
	RuleDisabled        = "recovery_disabled"
	RuleMonitoringOff   = "monitoring_off"
	RuleStrategyFailed  = "strategy_failed"
	RuleWarningRepeated = "warning_already_logged"
)

// Decision is what became of a proposal. Every proposal ends in exactly one.
type Decision struct {
	Time     time.Time
	Incident string
	Report   uint64 // sequence of the report that was decided on
	Health   health.Status
	Action   Action // as proposed
	Verdict  Verdict
	Rule     string
	Reason   string
	Attempt  string // id, when an attempt begins
}

// judge decides whether a proposal may run now. It changes nothing.
func (m *Manager) judge(now time.Time, p Proposal, report health.Report, actions []ActionState) (Verdict, string, string) {
	if p.Action == "" || p.Action == None {
		return Nothing, p.Rule, p.Reason
	}
	state := slices.IndexFunc(actions, func(a ActionState) bool { return a.Action == p.Action })
	if state < 0 && p.Action != LogWarning {
		return Refused, RuleUnknownAction, fmt.Sprintf("the strategy proposed %q, which is no action of the host or of its own", p.Action)
	}
	if report.Status == health.Healthy {
		return Suppressed, RuleHealthy, "the trouble was over before the proposal came"
	}
	if m.cfg.Disabled[p.Action] {
		return Suppressed, RuleActionDisabled, fmt.Sprintf("%s is switched off in the configuration", p.Action)
	}
	if p.Action == LogWarning {
		if m.incident != nil && !m.incident.WarningLogged.IsZero() {
			return Suppressed, RuleWarningRepeated, "this incident's warning is already in the log"
		}
		return Run, p.Rule, p.Reason
	}
	switch {
	case m.attempt != nil:
		return Suppressed, RuleInProgress, fmt.Sprintf("attempt %s (%s) is not judged yet", m.attempt.ID, m.attempt.Action)
	case now.Before(m.settled):
		return Suppressed, RuleSettling, fmt.Sprintf("the hub is given %.0f s more to settle", m.settled.Sub(now).Seconds())
	case report.AllUnknown():
		return Suppressed, RuleNothingKnown, "no checker could look, and what nobody saw is no reason to interrupt clients"
	case report.WithoutLoad != health.Warning && report.WithoutLoad != health.Critical:
		return Suppressed, RuleOnlyLoad, "only load is high or a checker cannot look: a hub that answers is not ill"
	case p.Action == EmergencyStop && report.WithoutLoad != health.Critical:
		return Suppressed, RuleNeedsCritical, "emergency_stop needs a critical report"
	case !actions[state].Applicable:
		return Suppressed, RuleNotApplicable, actions[state].Reason
	case m.incident.tried(p.Action):
		return Suppressed, RuleAlreadyTried, fmt.Sprintf("%s did not help in this incident", p.Action)
	case len(m.incident.Attempts) >= m.cfg.MaxAttempts:
		return Suppressed, RuleAttemptsUsed, fmt.Sprintf("%d attempts of this incident are used up; a person must look", m.cfg.MaxAttempts)
	case !m.lastAttempt.IsZero() && now.Sub(m.lastAttempt) < m.cfg.MinInterval:
		return Suppressed, RuleCooldown, fmt.Sprintf("%.0f s of the %.0f s between two attempts are left", (m.cfg.MinInterval - now.Sub(m.lastAttempt)).Seconds(), m.cfg.MinInterval.Seconds())
	case !m.breaker.CanProceed(now):
		if left := m.breaker.Remaining(now); left > 0 {
			return Suppressed, RuleBreaker, fmt.Sprintf("the breaker is open for %.0f s more", left.Seconds())
		}
		return Suppressed, RuleBreaker, "the breaker is half-open and its one trial is under way"
	}
	return Run, p.Rule, p.Reason
}
