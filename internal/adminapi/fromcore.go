package adminapi

import (
	"math"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/recovery"
)

// Checks are the checks of a view, in its order.
func Checks(v monitor.View) []CheckState {
	checks := make([]CheckState, len(v.Checks))
	for i, c := range v.Checks {
		checks[i] = CheckState{
			Name: c.Name, Status: c.Status.String(), AgeSeconds: round3(c.Age.Seconds()), Stale: c.Stale,
			DurationMS: health.Milliseconds(c.Result.Duration), Required: !c.Optional, Message: c.Result.Message,
			Metrics: make([]Metric, len(c.Result.Metrics)), Errors: append([]string{}, c.Result.Errors...),
		}
		for j, m := range c.Result.Metrics {
			checks[i].Metrics[j] = Metric{
				Name: m.Name, Labels: m.Labels, Value: plain(m.Value), Status: m.Status.String(), Threshold: m.Threshold, Unit: m.Unit, Message: m.Message,
			}
		}
	}
	return checks
}

// plain is a metric's value as JSON has it.
func plain(v health.Value) any {
	if n, ok := v.AsNumber(); ok {
		return n
	}
	if t, ok := v.AsText(); ok {
		return t
	}
	if f, ok := v.AsFlag(); ok {
		return f
	}
	return nil
}

// RecoveryOf is recovery as it stands at the given time. Whether a strategy is
// available, and which, is the caller's to fill in.
func RecoveryOf(s recovery.Snapshot, now time.Time) Recovery {
	r := Recovery{Enabled: s.Enabled, InProgress: s.InProgress, Attempts: s.Stats.Total, Breaker: BreakerOf(s.Breaker, now)}
	if s.Pause.Active(now) {
		p := PauseOf(*s.Pause)
		r.Pause = &p
	}
	if len(s.Approvals) > 0 && s.Approvals[0].Answer == recovery.Unanswered {
		a := ApprovalOf(s.Approvals[0])
		r.Approval = &a
	}
	if s.Incident != nil {
		r.Incident = &Incident{
			ID: s.Incident.ID, Opened: s.Incident.Opened.UTC(), Causes: append([]string{}, s.Incident.Causes...), Attempts: len(s.Incident.Attempts),
		}
	}
	if len(s.Events) > 0 {
		last := recoveryEvent(s.Events[0])
		r.Last = &last
	}
	return r
}

func recoveryEvent(e recovery.Event) RecoveryEvent {
	return RecoveryEvent{
		Time: e.Time.UTC(), Incident: e.Incident, Action: string(e.Action), Outcome: string(e.Outcome), Health: e.Health.String(),
		DurationMS: health.Milliseconds(e.Duration), Error: e.Err, Reason: e.Reason,
	}
}

// HistoryOf is what happened within the window that ends at now, newest first,
// at most limit of each kind. reports may be nil.
func HistoryOf(reports *health.History, events []recovery.Event, window time.Duration, limit int, now time.Time) History {
	h := History{
		SchemaVersion: SchemaVersion, WindowSeconds: window.Seconds(), Limit: limit,
		Reports: []Report{}, Transitions: []Transition{}, Recoveries: []RecoveryEvent{},
	}
	since := now.Add(-window)
	for _, e := range events {
		if len(h.Recoveries) < limit && !e.Time.Before(since) {
			h.Recoveries = append(h.Recoveries, recoveryEvent(e))
		}
	}
	if reports == nil {
		return h
	}
	for _, r := range reports.Newest(limit) {
		if !r.Time.Before(since) {
			h.Reports = append(h.Reports, report(r))
		}
	}
	transitions := reports.Transitions(since)
	for i := len(transitions) - 1; i >= 0 && len(h.Transitions) < limit; i-- {
		t := transitions[i]
		h.Transitions = append(h.Transitions, Transition{Time: t.Time.UTC(), From: t.From.String(), To: t.To.String()})
	}
	return h
}

func report(r health.Report) Report {
	out := Report{Sequence: r.Sequence, Time: r.Time.UTC(), Status: r.Status.String(), DurationMS: health.Milliseconds(r.Duration), Checks: map[string]string{}}
	var reasons []string
	for _, res := range r.Results {
		out.Checks[res.Check] = res.Status.String()
		if res.Status == health.Healthy {
			continue
		}
		reason := res.Message
		if reason == "" {
			reason = strings.Join(res.Errors, "; ")
		}
		reasons = append(reasons, strings.TrimSuffix(res.Check+" "+res.Status.String()+": "+reason, ": "))
	}
	out.Reason = strings.Join(reasons, " · ")
	return out
}

func round3(f float64) float64 { return math.Round(f*1000) / 1000 }
