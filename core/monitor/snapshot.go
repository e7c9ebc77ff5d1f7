package monitor

import (
	"slices"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

// CheckState is a check's latest result.
type CheckState struct {
	Name     string
	Optional bool
	Timeout  time.Duration
	Result   health.Result
}

// Snapshot is the loop's state at one moment; nothing in it is shared. What
// depends on the time of reading (ages, staleness) is asked of it with a time.
type Snapshot struct {
	// Enabled: the checkers are asked. Else there are no checks and no report,
	// and nothing is said about health.
	Enabled   bool
	Started   time.Time // of the monitor, or when the status was last known
	Checks    []CheckState
	Report    health.Report // zero Sequence: none yet
	Recovery  recovery.Snapshot
	Decisions []recovery.Decision // newest first, at most 100; what was decided again and again stands there once

	interval    time.Duration // normal pace
	pace        time.Duration // present pace
	aggregation health.Aggregation
	knownAt     time.Time
}

// publish makes the present state readable.
func (m *Monitor) publish() {
	m.snapshot.Store(&Snapshot{
		Enabled: m.opts.Enabled, Started: m.knownAt, Checks: slices.Clone(m.checks), Report: m.report, Recovery: m.manager.Snapshot(),
		Decisions: slices.Clone(m.decisions), interval: m.opts.Interval, pace: m.pace(), aggregation: m.opts.Aggregation, knownAt: m.knownAt,
	})
}

// Snapshot returns the newest state. It never blocks.
func (m *Monitor) Snapshot() Snapshot { return *m.snapshot.Load() }

// CheckView is a check as it stands at a moment.
type CheckView struct {
	CheckState
	// Status is the result's status, or Unknown when the result is stale.
	Status health.Status
	Age    time.Duration
	// Stale: the next result is overdue, so this one proves nothing any more.
	Stale bool
}

// View is health as it stands at a moment.
type View struct {
	Status health.Status
	Checks []CheckView
	// Stale: the monitor itself is overdue.
	Stale bool
	// Serving says whether the answer to "is it well?" is yes or at least not
	// no: false for critical, and for a status that has been unknown or stale
	// for more than three intervals.
	Serving bool
}

// View judges the snapshot at the given time.
func (s Snapshot) View(now time.Time) View {
	var v View
	verdicts := make([]health.Verdict, len(s.Checks))
	stale := 0
	for i, c := range s.Checks {
		cv := CheckView{CheckState: c, Status: c.Result.Status, Age: max(0, now.Sub(c.Result.Time))}
		cv.Stale = now.Sub(s.Report.Time) > s.pace+c.Timeout+settleTimeout
		if cv.Stale {
			cv.Status = health.Unknown
			stale++
		}
		v.Checks = append(v.Checks, cv)
		verdicts[i] = c.Result.Verdict(c.Optional)
		if cv.Stale {
			verdicts[i].Status, verdicts[i].Metrics = health.Unknown, nil
		}
	}
	v.Stale = stale > 0
	v.Status = health.Join(s.aggregation, verdicts)
	switch v.Status {
	case health.Critical:
	case health.Unknown:
		v.Serving = now.Sub(s.knownAt) <= 3*s.interval
	default:
		v.Serving = true
	}
	return v
}

// CheckNames lists the checks in order.
func (s Snapshot) CheckNames() []string {
	names := make([]string, len(s.Checks))
	for i, c := range s.Checks {
		names[i] = c.Name
	}
	return names
}
