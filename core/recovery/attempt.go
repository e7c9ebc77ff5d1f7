package recovery

import (
	"fmt"
	"slices"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// attempt is the one that is under way.
type attempt struct {
	Attempt
	trigger    health.Status
	reason     string
	seen, real Ticket // with the breakers of the two books; 0: it does not count
}

// begin begins the attempt of a decision.
func (m *Manager) begin(now time.Time, d *Decision, report health.Report) {
	if m.incident == nil { // only a person proposes something for a healthy hub
		m.open(now)
		d.Incident = m.incident.ID
	}
	m.close(now, Lapsed, "") // a question that still waits is about another action
	p := d.Proposal
	a := &attempt{trigger: report.Status, reason: p.Reason}
	a.Attempt = Attempt{ID: m.id("att", now), Action: p.Action, Started: now, Outcome: Pending, By: p.By, DryRun: d.DryRun}
	switch {
	case p.By != "": // it uses nothing up, but nothing automatic follows at its heels
		m.seen.last, m.real.last = now, now
	case d.DryRun:
		m.seen.spend(now, m.incident.Causes)
		a.seen = m.seen.breaker.Begin(now)
	default:
		m.seen.spend(now, m.incident.Causes)
		m.real.spend(now, m.incident.Causes)
		a.seen, a.real = m.seen.breaker.Begin(now), m.real.breaker.Begin(now)
	}
	m.attempt = a
	m.incident.Attempts = append(m.incident.Attempts, a.Attempt)
	d.Attempt = a.ID
}

// Finished notes that the action of an attempt ended. With an error the
// attempt is over at once; without one it waits for its judgement. An unknown
// attempt, e.g. one that already timed out, changes nothing.
func (m *Manager) Finished(now time.Time, attempt string, err error, timedOut bool) *Event {
	if m.attempt == nil || m.attempt.ID != attempt || !m.attempt.Ended.IsZero() {
		return nil
	}
	m.attempt.Ended = now
	m.healthy = 0
	m.settle(now)
	m.incident.put(m.attempt.Attempt)
	switch {
	case timedOut:
		return m.concludeAttempt(now, TimedOut, fmt.Sprintf("%s did not end within %.0f s", m.attempt.Action, m.cfg.Deadline(m.attempt.Action).Seconds()))
	case err != nil:
		return m.concludeAttempt(now, Failed, err.Error())
	}
	return nil
}

// judgeAttempt looks whether the health that followed the attempt decides it.
func (m *Manager) judgeAttempt(now time.Time, r health.Report) *Event {
	graceEnd := m.attempt.Ended.Add(m.cfg.Grace)
	if m.resumed.After(m.attempt.Ended) {
		graceEnd = m.resumed.Add(m.cfg.Grace)
	}
	if now.Before(graceEnd) {
		if r.Status == health.Healthy { // only health after the grace is proof
			m.healthy, m.healthyFrom = 0, now
		}
		return nil
	}
	if m.healthy >= m.cfg.CureReports {
		return m.concludeAttempt(now, Cured, "")
	}
	if now.Sub(graceEnd) >= m.cfg.Timeout {
		return m.concludeAttempt(now, NotCured, fmt.Sprintf("health did not come back within %.0f s", m.cfg.Timeout.Seconds()))
	}
	return nil
}

// concludeAttempt gives the attempt its outcome and books it.
func (m *Manager) concludeAttempt(now time.Time, outcome Outcome, why string) *Event {
	a := m.attempt
	m.attempt = nil
	a.Outcome, a.Judged, a.Err = outcome, now, why
	if a.Ended.IsZero() {
		a.Ended = now
	}
	m.incident.put(a.Attempt)
	m.seen.conclude(now, m.cfg, a.seen, a.Attempt, m.incident.Causes)
	if !a.DryRun {
		m.real.conclude(now, m.cfg, a.real, a.Attempt, m.incident.Causes)
	}
	return m.enter(Event{
		Time: a.Started, Incident: m.incident.ID, Attempt: a.ID, Action: a.Action, Health: a.trigger, Success: outcome == Cured,
		Outcome: outcome, Duration: a.Ended.Sub(a.Started), Judged: now, Err: why, Reason: a.reason, By: a.By, DryRun: a.DryRun,
	})
}

// conclude books the outcome of an attempt.
func (b *book) conclude(now time.Time, cfg Config, ticket Ticket, a Attempt, causes []string) {
	cured := a.Outcome == Cured
	b.breaker.Record(now, ticket, cured)
	switch {
	case cured:
		b.failures = 0
	case a.By == "":
		b.failures++
	}
	if a.Action == EmergencyStop { // the end of a service is no cure
		return
	}
	for _, cause := range causes {
		b.effects.learn(cause, a.Action, cured, now, cfg.HalfLife)
	}
}

// WarningLogged notes that the incident's warning is in the log, or in a dry
// run that it would be.
func (m *Manager) WarningLogged(now time.Time, d Decision, took time.Duration) *Event {
	if m.incident == nil {
		return nil
	}
	m.incident.WarningLogged = now
	return m.enter(Event{
		Time: now, Incident: m.incident.ID, Action: LogWarning, Health: d.Inputs.Health, Success: true,
		Outcome: Done, Duration: max(took, time.Microsecond), Judged: now, Reason: d.Reason, By: d.Proposal.By, DryRun: d.DryRun,
	})
}

// enter puts an event into the history and counts it.
func (m *Manager) enter(e Event) *Event {
	m.events = slices.Insert(m.events, 0, e)
	if len(m.events) > maxEvents {
		m.events = m.events[:maxEvents]
	}
	if e.DryRun {
		return &e
	}
	m.stats.Total++
	if e.Success {
		m.stats.Successful++
	} else {
		m.stats.Failed++
	}
	m.stats.Actions[e.Action]++
	m.stats.Duration += e.Duration
	return &e
}
