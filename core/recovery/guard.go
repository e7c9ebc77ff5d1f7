package recovery

import (
	"fmt"
	"slices"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// weigh makes the decision on a proposal. It changes nothing. Approved says that
// somebody has said yes to it.
func (m *Manager) weigh(now time.Time, p Proposal, report health.Report, actions []ActionState, approved bool) Decision {
	if p.Action == "" {
		p.Action = None
	}
	d := Decision{Time: now, Proposal: p, Inputs: inputsOf(report, p.Request)}
	if m.incident != nil {
		d.Incident = m.incident.ID
	}
	d.Verdict, d.Rule, d.Reason = m.judge(now, p, report, actions, approved)
	d.DryRun = p.Action != None && m.cfg.DryRun.covers(p)
	for _, a := range actions {
		if a.Action == p.Action || a.Action == None {
			continue
		}
		other := p
		other.Action, other.Rule = a.Action, RuleNotProposed
		verdict, rule, reason := m.judge(now, other, report, actions, false)
		if verdict == Run || verdict == Waiting {
			rule, reason = RuleNotProposed, "it was not what was proposed"
		}
		d.Alternatives = append(d.Alternatives, Alternative{a.Action, rule, reason})
	}
	if d.Verdict == Run && p.Action.IsAttempt() {
		d.Deadline = m.cfg.Deadline(p.Action)
	}
	return d
}

// judge decides whether a proposal may run now. It changes nothing.
func (m *Manager) judge(now time.Time, p Proposal, report health.Report, actions []ActionState, approved bool) (Verdict, string, string) {
	byHand := p.By != ""
	switch {
	case m.away:
		return Suppressed, RuleMonitoringOff, "health monitoring is switched off"
	case !m.enabled && !byHand:
		return Suppressed, RuleDisabled, "recovery is switched off"
	case m.incident == nil && !byHand:
		return Suppressed, RuleHealthy, "the incident closed before the proposal came"
	case p.Action == None:
		return Nothing, p.Rule, p.Reason
	}
	state := slices.IndexFunc(actions, func(a ActionState) bool { return a.Action == p.Action })
	if state < 0 && p.Action != LogWarning {
		return Refused, RuleUnknownAction, fmt.Sprintf("%q is no action of the host or of a strategy's own", p.Action)
	}
	if report.Status == health.Healthy && !byHand {
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
	case p.Action == EmergencyStop && !(byHand && p.Force) && (report.WithoutLoad != health.Critical || report.AllUnknown()):
		return Suppressed, RuleNeedsCritical, "emergency_stop needs a critical report"
	case !actions[state].Applicable:
		return Suppressed, RuleNotApplicable, actions[state].Reason
	case byHand:
		if rule, reason := m.limits(now); rule != "" && !p.Force {
			return Suppressed, rule, reason
		}
		return Run, p.Rule, p.Reason
	}
	if rule, reason := m.evidence(now, p, report); rule != "" {
		return Suppressed, rule, reason
	}
	if rule, reason := m.limits(now); rule != "" {
		return Suppressed, rule, reason
	}
	if m.cfg.Approval.Actions[p.Action] && !approved {
		return Waiting, RuleNeedsApproval, fmt.Sprintf("%s waits for a yes, for %.0f s at most", p.Action, m.cfg.Approval.Timeout.Seconds())
	}
	return Run, p.Rule, p.Reason
}

// evidence is the rule by which what is known speaks against an attempt of this
// action, or empty.
func (m *Manager) evidence(now time.Time, p Proposal, report health.Report) (rule, reason string) {
	switch a := m.pending(); {
	case now.Before(m.settled):
		return RuleSettling, fmt.Sprintf("the hub is given %.0f s more to settle", m.settled.Sub(now).Seconds())
	case report.AllUnknown():
		return RuleNothingKnown, "no checker could look, and what nobody saw is no reason to interrupt clients"
	case report.WithoutLoad != health.Warning && report.WithoutLoad != health.Critical:
		return RuleOnlyLoad, "only load is high or a checker cannot look: a hub that answers is not ill"
	case m.incident.tried(p.Action):
		return RuleAlreadyTried, fmt.Sprintf("%s did not help in this incident", p.Action)
	case slices.Contains(m.incident.Denied, p.Action):
		return RuleDenied, fmt.Sprintf("%s was asked for in this incident, and the answer was no", p.Action)
	case len(m.incident.Attempts) >= m.cfg.MaxAttempts:
		return RuleAttemptsUsed, fmt.Sprintf("%d attempts of this incident are used up; a person must look", m.cfg.MaxAttempts)
	case a != nil:
		return RuleApproving, fmt.Sprintf("%s (%s) is not answered yet", a.ID, a.Proposal.Action)
	}
	return "", ""
}

// limits is the rule by which no attempt may begin now, whatever it is, or empty.
func (m *Manager) limits(now time.Time) (rule, reason string) {
	var causes []string
	if m.incident != nil { // a person may want something done to a healthy hub
		causes = m.incident.Causes
	}
	hour, most, cause := m.seen.used(now, causes)
	wait := m.seen.last.Add(m.seen.pause(m.cfg, m.seed)).Sub(now)
	switch {
	case m.safe != nil:
		return RuleSafeMode, "host is in safe mode: " + m.safe.Reason
	case m.pause.Active(now):
		return RulePaused, fmt.Sprintf("%s has paused recovery for %.0f s more: %s", m.pause.By, m.pause.Remaining(now).Seconds(), m.pause.Reason)
	case !m.seen.last.IsZero() && wait > 0:
		return RuleCooldown, fmt.Sprintf("%.0f s of the pause after the last attempt are left; %d in a row did not help", wait.Seconds(), m.seen.failures)
	case m.cfg.Budget.PerHour > 0 && hour >= m.cfg.Budget.PerHour:
		return RuleBudgetHour, fmt.Sprintf("%d attempts of the last hour are all that an hour may have; a person must look", hour)
	case m.cfg.Budget.PerCause > 0 && most >= m.cfg.Budget.PerCause:
		return RuleBudgetCause, fmt.Sprintf("%d attempts of the last hour against %s are all that a cause may have; a person must look", most, cause)
	case !m.seen.breaker.CanProceed(now):
		s := m.seen.breaker.Status(now)
		switch {
		case s.State == HalfOpen:
			return RuleBreaker, "the breaker is half-open and its one trial is under way"
		case s.Hand != nil:
			return RuleBreaker, fmt.Sprintf("%s has opened the breaker: %s", s.Hand.By, s.Hand.Reason)
		}
		return RuleBreaker, fmt.Sprintf("the breaker is open for %.0f s more", s.Remaining.Seconds())
	}
	return "", ""
}
