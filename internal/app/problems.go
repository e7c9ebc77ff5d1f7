package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/core/recovery"
	"github.com/upkeephub/upkeep/internal/instance"
)

// portConflict is the problem of an address that somebody else listens on, with
// the name of that somebody where it can be found out in 2 s.
func (a *App) portConflict(host, addr string, port int, err error, admin bool) error {
	c := problem.Port{Host: host, Port: port, Addr: addr, Admin: admin, Err: err}
	c.Holders, err = instance.Listeners(context.Background(), port)
	switch {
	case errors.Is(err, instance.ErrUnseen), errors.Is(err, instance.ErrSlow):
		c.Unseen = err.Error()
	case err != nil:
		c.Unseen = "the system does not tell: " + err.Error()
	}
	if other, ok := instance.Sibling(a.instance.Dir(), c.Holders); ok {
		c.StateDir = other.StateDir
	}
	return problem.NewPortConflict(problem.Here(), c)
}

// emergencyProblem is what host ends with after emergency_stop: an
// ErrEmergencyStop that says what was tried and how health was.
func (a *App) emergencyProblem(reason string) error {
	r := problem.Recovery{Action: string(recovery.EmergencyStop), Reason: reason, Err: ErrEmergencyStop}
	s := a.monitor.Snapshot()
	r.Health = map[string]any{"status": s.Report.Status.String()}
	for _, result := range s.Report.Results {
		r.Health[result.Check] = result.Status.String()
	}
	if s.Recovery.Incident != nil {
		r.Attempts = len(s.Recovery.Incident.Attempts)
	}
	for _, e := range s.Recovery.Events { // newest first
		if e.Success && e.Action != recovery.LogWarning {
			r.LastSuccess = e.Time
			break
		}
	}
	return problem.NewRecoveryFailed(problem.Here(), r)
}

// failedCheck is the problem of the check that is worst, the first of several;
// nil when none is ill or unknown.
func failedCheck(v monitor.View) *problem.Error {
	var worst *monitor.CheckView
	for i, c := range v.Checks {
		if c.Status != health.Healthy && (worst == nil || c.Status == health.Critical && worst.Status != health.Critical) {
			worst = &v.Checks[i]
		}
	}
	if worst == nil {
		return nil
	}
	c := problem.Check{Name: worst.Name, Status: worst.Status.String(), Details: map[string]any{}, Exceeded: map[string]problem.Threshold{}}
	if worst.Result.Message != "" {
		c.Details["message"] = worst.Result.Message
	}
	if len(worst.Result.Errors) > 0 {
		c.Details["errors"] = strings.Join(worst.Result.Errors, "; ")
	}
	if worst.Stale {
		c.Details["overdue_since"] = worst.Result.Time.UTC().Format(time.RFC3339)
		return problem.NewHealthCheckFailed(problem.Here(), c) // what it measured is not so any more
	}
	for _, m := range worst.Result.Metrics {
		value, isNumber := m.Value.AsNumber()
		if isNumber && m.Threshold != nil && value > *m.Threshold && (m.Status == health.Warning || m.Status == health.Critical) {
			c.Exceeded[m.Name] = problem.Threshold{Value: value, Threshold: *m.Threshold}
		}
	}
	return problem.NewHealthCheckFailed(problem.Here(), c)
}
