package monitor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

func TestMonitoringSwitchedOffSaysNothingAndSwitchedOnBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.Checks = checks(always("a", health.Healthy))
		s := newScene(opts)
		off := opts.Settings
		off.Enabled = false
		time.AfterFunc(45*time.Second, func() {
			s.apply(t, off)
			snap := s.Snapshot()
			if v := snap.View(time.Now()); snap.Enabled || len(snap.Checks) != 0 || snap.Report.Sequence != 0 || v.Status != health.Unknown || v.Stale {
				t.Errorf("switched off: %+v, %+v", snap, v)
			}
		})
		time.AfterFunc(100*time.Second, s.Wake) // nobody looks all the same
		time.AfterFunc(200*time.Second, func() {
			if age := time.Since(s.Beat()); age > time.Second {
				t.Errorf("while off, the loop last turned %v ago", age)
			}
		})
		time.AfterFunc(45*time.Second+time.Hour, func() {
			s.apply(t, opts.Settings)
			if v := s.Snapshot().View(time.Now()); !s.Snapshot().Enabled || !v.Serving {
				t.Errorf("switched on again: %+v; an hour without a look is no failure", v)
			}
		})
		s.play(t, 2*time.Hour)
		var early, late int
		for i, at := range s.times {
			switch since := at.Sub(s.start); {
			case since <= 45*time.Second:
				early++
			case since < 45*time.Second+time.Hour:
				t.Errorf("a report after %v, while switched off", since)
			default:
				late++
			}
			if s.reports[i].Sequence != uint64(i+1) {
				t.Errorf("report %d has sequence %d", i, s.reports[i].Sequence)
			}
		}
		if early != 2 || late < 100 || s.times[2].Sub(s.start) != 45*time.Second+time.Hour {
			t.Errorf("%d reports before, %d after, the first of them after %v", early, late, s.times[2].Sub(s.start))
		}
		if got := s.History().Len(); got != 100 {
			t.Errorf("the history has %d reports, want the newest 100", got)
		}
	})
}

func TestWhatARoundFoundIsDroppedWhenMonitoringWasSwitchedOffUnderIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		calls := 0
		opts.Checks = checks(Check{Name: "slow", Checker: CheckerFunc(func(context.Context, Request) (Outcome, error) {
			calls++
			time.Sleep(time.Second)
			return Outcome{Result: health.Result{Status: health.Critical, Metrics: []health.Metric{{Name: "m", Status: health.Critical}}}}, nil
		})})
		s := newScene(opts)
		off := opts.Settings
		off.Enabled = false
		time.AfterFunc(100*time.Millisecond, func() { s.apply(t, off) })
		time.AfterFunc(500*time.Millisecond, func() { s.apply(t, opts.Settings) })
		s.play(t, 1500*time.Millisecond)
		if calls != 2 || len(s.reports) != 0 {
			t.Errorf("%d looks, reports %+v; want the first one dropped and a second begun at once", calls, s.reports)
		}
	})
}

func TestNewIntervalsAndTimeoutsHoldFromTheNextRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		var deadlines []time.Duration
		opts.Checks = checks(Check{Name: "a", Checker: CheckerFunc(func(ctx context.Context, _ Request) (Outcome, error) {
			at, _ := ctx.Deadline()
			deadlines = append(deadlines, time.Until(at))
			return Outcome{Result: health.Result{Status: health.Healthy, Metrics: []health.Metric{{Name: "m", Status: health.Healthy}}}}, nil
		})})
		s := newScene(opts)
		quick := opts.Settings
		quick.Interval, quick.CheckTimeout, quick.HistorySize = 5*time.Second, time.Second, 3
		time.AfterFunc(31*time.Second, func() { s.apply(t, quick) })
		s.play(t, 42*time.Second)
		want := []time.Duration{0, 30 * time.Second, 31 * time.Second, 36 * time.Second, 41 * time.Second}
		if len(s.times) != len(want) {
			t.Fatalf("%d rounds, want %d: %v", len(s.times), len(want), s.times)
		}
		for i, at := range s.times {
			if at.Sub(s.start) != want[i] {
				t.Errorf("round %d after %v, want %v", i, at.Sub(s.start), want[i])
			}
		}
		if deadlines[1] != 2*time.Second || deadlines[2] != time.Second {
			t.Errorf("checks were given %v", deadlines)
		}
		if h := s.History(); h.Size() != 3 || h.Len() != 3 || h.Newest(3)[0].Sequence != 5 {
			t.Errorf("the history has %d of %d reports", h.Len(), h.Size())
		}
	})
}

func TestSettingsAreInForceBeforeTheFirstRoundMayBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		begin := make(chan struct{})
		opts.Begin = begin
		opts.Checks = checks(always("a", health.Healthy))
		s := newScene(opts)
		fast := opts.Settings
		fast.Interval = 7 * time.Second
		time.AfterFunc(time.Second, func() { s.apply(t, fast) })
		time.AfterFunc(2*time.Second, s.Wake)
		time.AfterFunc(10*time.Second, func() { close(begin) })
		s.play(t, 18*time.Second)
		if len(s.times) != 2 || s.times[0].Sub(s.start) != 10*time.Second || s.times[1].Sub(s.start) != 17*time.Second {
			t.Errorf("rounds at %v", s.times)
		}
	})
}

// An attempt whose judgement nobody could see must not count as one that failed.
func TestAnAttemptIsJudgedByTheHealthAfterMonitoringCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		ill := true
		opts.Checks = checks(gives("a", func() health.Status {
			if ill {
				return health.Critical
			}
			return health.Healthy
		}))
		s := newScene(opts)
		s.act = func(context.Context, Order) error { ill = false; return nil }
		off := opts.Settings
		off.Enabled = false
		time.AfterFunc(15*time.Second, func() { s.apply(t, off) }) // the action was taken after the grace of 10 s
		time.AfterFunc(10*time.Minute, func() {
			if snap := s.Snapshot().Recovery; snap.Incident == nil || !snap.InProgress {
				t.Errorf("while off, the incident is %+v: nobody saw its end", snap.Incident)
			}
			s.apply(t, opts.Settings)
		})
		s.play(t, 12*time.Minute)
		if len(s.orders) != 1 || len(s.events) != 1 || s.events[0].Outcome != recovery.Cured || s.incidents != 1 {
			t.Errorf("orders %+v, events %+v, %d incidents", s.orders, s.events, s.incidents)
		}
	})
}

func TestAnAnswerOfTheStrategyThatComesWhenMonitoringIsOffLeadsToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.AskTimeout = 5 * time.Second
		asked := make(chan struct{}, 1)
		opts.Strategy = func() Strategy {
			return strategyFunc(func(context.Context, recovery.Request) (recovery.Proposal, error) {
				asked <- struct{}{}
				time.Sleep(time.Second)
				return recovery.Proposal{Action: recovery.RestartService}, nil
			})
		}
		opts.Checks = checks(always("a", health.Critical))
		s := newScene(opts)
		off := opts.Settings
		off.Enabled = false
		go func() { <-asked; s.apply(t, off) }()
		s.play(t, time.Minute)
		if len(s.orders) != 0 || len(s.decisions) != 1 || s.decisions[0].Rule != recovery.RuleMonitoringOff {
			t.Errorf("orders %+v, decisions %+v", s.orders, s.decisions)
		}
	})
}

type strategyFunc func(context.Context, recovery.Request) (recovery.Proposal, error)

func (f strategyFunc) Decide(ctx context.Context, req recovery.Request) (recovery.Proposal, error) {
	return f(ctx, req)
}

func TestALoopThatDoesNotTurnIsNotWaitedForWithoutEnd(t *testing.T) {
	m := New(DefaultOptions()) // never run
	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("gave up")
	cancel(gaveUp)
	if err := m.Apply(ctx, DefaultOptions().Settings); !errors.Is(err, gaveUp) {
		t.Errorf("got %v", err)
	}
}
