package monitor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

// scene is a monitor in a bubble of virtual time with everything that it told.
type scene struct {
	*Monitor
	mu        sync.Mutex
	reports   []health.Report
	times     []time.Time
	decisions []recovery.Decision
	events    []recovery.Event
	incidents int
	orders    []Order
	acted     []time.Time
	act       func(ctx context.Context, o Order) error
	start     time.Time
}

func (s *scene) Actions() []recovery.ActionState {
	var all []recovery.ActionState
	for _, a := range recovery.Actions() {
		all = append(all, recovery.ActionState{Action: a, Applicable: true})
	}
	return all
}

func (s *scene) Act(ctx context.Context, o Order) error {
	s.mu.Lock()
	s.orders = append(s.orders, o)
	s.acted = append(s.acted, time.Now())
	act := s.act
	s.mu.Unlock()
	if act != nil {
		return act(ctx, o)
	}
	return nil
}

func newScene(opts Options) *scene {
	s := &scene{start: time.Now()}
	opts.Actor = s
	opts.Hooks = Hooks{
		Report: func(r health.Report) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reports, s.times = append(s.reports, r), append(s.times, time.Now())
		},
		Decision: func(d recovery.Decision) { s.mu.Lock(); s.decisions = append(s.decisions, d); s.mu.Unlock() },
		Recovery: func(e recovery.Event) { s.mu.Lock(); s.events = append(s.events, e); s.mu.Unlock() },
		Incident: func(_ recovery.Incident, opened bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if opened {
				s.incidents++
			}
		},
	}
	s.Monitor = New(opts)
	return s
}

// play runs the monitor for a while of virtual time.
func (s *scene) play(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func (s *scene) apply(t *testing.T, settings Settings) {
	t.Helper()
	if err := s.Apply(t.Context(), settings); err != nil {
		t.Error(err)
	}
}

func gives(name string, status func() health.Status) Check {
	return Check{Name: name, Checker: CheckerFunc(func(context.Context, Request) (Outcome, error) {
		s := status()
		return Outcome{Result: health.Result{Status: s, Metrics: []health.Metric{{Name: "m", Status: s}}}}, nil
	})}
}

func always(name string, s health.Status) Check {
	return gives(name, func() health.Status { return s })
}

func checks(list ...Check) func() []Check { return func() []Check { return list } }

// ladder proposes the reference's rungs for a critical report.
type ladder struct{}

func (ladder) Decide(_ context.Context, req recovery.Request) (recovery.Proposal, error) {
	rungs := []recovery.Action{recovery.ClearConnections, recovery.RestartService, recovery.EmergencyStop}
	n := len(req.Incident.Attempts)
	if req.Report.Status != health.Critical || n >= len(rungs) {
		return recovery.Proposal{Action: recovery.None}, nil
	}
	return recovery.Proposal{Action: rungs[n], Rule: "ladder"}, nil
}

func withLadder(o Options) Options {
	o.Strategy = func() Strategy { return ladder{} }
	return o
}

// Row 12.
func TestMonitorKeepsItsSettingsAndHasNoReportBeforeItRuns(t *testing.T) {
	opts := DefaultOptions()
	opts.Interval, opts.HistorySize = 7*time.Second, 9
	m := New(opts)
	if m.opts.Interval != 7*time.Second || m.History().Size() != 9 || m.History().Len() != 0 || len(m.Snapshot().Checks) != 0 {
		t.Errorf("got %+v", m.opts)
	}
	if v := m.Snapshot().View(time.Now()); v.Status != health.Unknown || !v.Serving {
		t.Errorf("before the first report: %+v; want unknown, and not yet a failure", v)
	}
}

// Row 13.
func TestACheckerAddedWhileRunningIsInTheNextReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		list := []Check{always("a", health.Healthy)}
		opts := DefaultOptions()
		opts.Checks = func() []Check { mu.Lock(); defer mu.Unlock(); return list }
		s := newScene(opts)
		time.AfterFunc(10*time.Second, func() { mu.Lock(); list = append(list, always("b", health.Healthy)); mu.Unlock() })
		s.play(t, 31*time.Second)
		if len(s.reports) != 2 || len(s.reports[0].Results) != 1 || len(s.reports[1].Results) != 2 {
			t.Errorf("reports %+v", s.reports)
		}
	})
}

// Row 14.
func TestACheckGivesMetricsADurationAndAKnownStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.Checks = checks(Check{Name: "slow", Checker: CheckerFunc(func(ctx context.Context, req Request) (Outcome, error) {
			time.Sleep(30 * time.Millisecond)
			return Outcome{Result: health.Result{Status: health.Healthy, Metrics: []health.Metric{{Name: "m", Status: health.Healthy}}}}, nil
		})})
		s := newScene(opts)
		s.play(t, time.Second)
		r := s.reports[0].Results[0]
		if len(r.Metrics) < 1 || r.Duration != 30*time.Millisecond || r.Status != health.Healthy || r.Check != "slow" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestChecksRunEveryIntervalWhileWellAndEverySecondWhileNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		bad := time.Now().Add(59 * time.Second)
		opts.Checks = checks(gives("a", func() health.Status {
			if now := time.Now(); now.After(bad) && now.Before(bad.Add(10*time.Second)) {
				return health.Warning
			}
			return health.Healthy
		}))
		s := newScene(opts)
		s.play(t, 200*time.Second)
		var gaps []time.Duration
		for i := 1; i < len(s.times); i++ {
			gaps = append(gaps, s.times[i].Sub(s.times[i-1]))
		}
		if gaps[0] != 30*time.Second || gaps[1] != 30*time.Second || gaps[2] != time.Second || gaps[len(gaps)-1] != 30*time.Second {
			t.Errorf("gaps between reports: %v", gaps)
		}
	})
}

func TestRunNamesItWhenSomethingDoesNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		opts := DefaultOptions()
		opts.Checks = checks(Check{Name: "hung", Checker: CheckerFunc(func(context.Context, Request) (Outcome, error) { <-release; return Outcome{}, nil })})
		m := New(opts)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Run(ctx); !errors.Is(err, ErrNotStopped) {
			t.Errorf("got %v, want ErrNotStopped", err)
		}
		close(release)
		synctest.Wait()
	})
}

func TestAPanicInACheckerIsThatChecksFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.Checks = checks(always("a", health.Healthy), Check{Name: "b", Checker: CheckerFunc(func(context.Context, Request) (Outcome, error) { panic("boom") })})
		s := newScene(opts)
		s.play(t, time.Second)
		if r := s.reports[0]; r.Results[0].Status != health.Healthy || r.Results[1].Status != health.Unknown || len(r.Results[1].Errors) != 1 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestACheckerGetsItsOwnEarlierCountersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got [][]health.Sample
		n := 0.0
		opts := DefaultOptions()
		opts.Checks = checks(Check{Name: "a", Checker: CheckerFunc(func(_ context.Context, req Request) (Outcome, error) {
			got = append(got, req.Samples)
			n++
			return Outcome{Result: health.Result{Status: health.Healthy}, Counters: map[string]float64{"n": n}}, nil
		})}, always("b", health.Healthy))
		newScene(opts).play(t, 61*time.Second)
		if len(got) != 3 || len(got[0]) != 0 || len(got[2]) != 2 || got[2][0].Counters["n"] != 1 || got[2][1].Counters["n"] != 2 {
			t.Errorf("got %+v", got)
		}
	})
}

type hub struct {
	generation uint64
	settle     func()
}

func (h *hub) Generation() uint64 { return h.generation }
func (h *hub) Settle(context.Context, time.Time) {
	if h.settle != nil {
		h.settle()
	}
}

func TestARoundWhoseHubWasReplacedMeanwhileSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{generation: 1}
		frozen := true
		opts := withLadder(DefaultOptions())
		opts.Subject = h
		h.settle = func() { // supervision replaces the frozen hub
			time.Sleep(500 * time.Millisecond)
			if frozen {
				frozen, h.generation = false, 2
			}
		}
		opts.Checks = checks(gives("network", func() health.Status {
			if frozen {
				time.Sleep(1500 * time.Millisecond)
				return health.Critical
			}
			return health.Healthy
		}))
		s := newScene(opts)
		s.play(t, 20*time.Second)
		if len(s.reports) == 0 || s.reports[0].Status != health.Healthy || s.reports[0].Generation != 2 {
			t.Errorf("reports %+v: the old hub's illness was held against the new one", s.reports)
		}
		if s.incidents != 0 || len(s.decisions) != 0 {
			t.Errorf("%d incidents, decisions %v", s.incidents, s.decisions)
		}
	})
}

func TestAnIllHubThatLivesIsBelievedToBeIll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.Subject = &hub{generation: 1}
		opts.Checks = checks(always("network", health.Critical))
		s := newScene(opts)
		s.play(t, time.Second)
		if len(s.reports) == 0 || s.reports[0].Status != health.Critical {
			t.Errorf("got %+v", s.reports)
		}
	})
}

func TestARoundThatWasSuspendedTogetherWithHostIsDoneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		opts := DefaultOptions()
		opts.Checks = checks(Check{Name: "a", Timeout: 100 * time.Millisecond, Checker: CheckerFunc(func(ctx context.Context, _ Request) (Outcome, error) {
			return Outcome{Result: health.Result{Status: health.Healthy}}, nil
		})})
		inner := opts.Checks
		opts.Checks = func() []Check {
			if first { // the whole process stands still for 8 s in the middle of a round
				first = false
				time.Sleep(8 * time.Second)
				return []Check{always("a", health.Critical)}
			}
			return inner()
		}
		s := newScene(opts)
		s.play(t, 10*time.Second)
		for _, r := range s.reports {
			if r.Status != health.Healthy {
				t.Errorf("a suspended round was reported: %+v", r)
			}
		}
		if len(s.reports) == 0 {
			t.Error("no report at all")
		}
	})
}

// Row 41: checker, monitor and recovery together; the recovery runs.
func TestACriticalCheckerClimbsTheLadderOneRungAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		opts.Recovery.Budget.Jitter = 0
		opts.Checks = checks(always("service_health", health.Critical))
		s := newScene(opts)
		s.play(t, 10*time.Minute)
		var got []string
		for i, o := range s.orders {
			got = append(got, fmt.Sprintf("%s@%.0f", o.Action, s.acted[i].Sub(s.start).Seconds()))
		}
		want := "[clear_connections@10 restart_service@70 emergency_stop@190]"
		if fmt.Sprint(got) != want {
			t.Errorf("orders %v, want %s: grace after the start, then the interval between attempts, twice as long after two that did not help", got, want)
		}
		if s.incidents != 1 {
			t.Errorf("%d incidents, want one", s.incidents)
		}
		for _, e := range s.events {
			if e.Success {
				t.Errorf("an attempt that cured nothing counts as a success: %+v", e)
			}
		}
	})
}

func TestAnActionThatHangsIsTimedOutAndTheNextOneIsNotBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		opts.Checks = checks(always("service_health", health.Critical))
		s := newScene(opts)
		release := make(chan struct{})
		s.act = func(_ context.Context, o Order) error {
			if o.Action == recovery.ClearConnections {
				<-release // ignores its deadline
			}
			return nil
		}
		time.AfterFunc(100*time.Second, func() { close(release) })
		s.play(t, 100*time.Second)
		if len(s.events) == 0 || s.events[0].Outcome != recovery.TimedOut {
			t.Fatalf("events %+v", s.events)
		}
		if len(s.orders) != 2 || s.orders[1].Action != recovery.RestartService {
			t.Errorf("orders %+v", s.orders)
		}
	})
}

func TestWithoutAStrategyNothingIsDecidedAndTheReportsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.Checks = checks(always("a", health.Critical))
		s := newScene(opts)
		s.play(t, time.Minute)
		if len(s.orders) != 0 || len(s.decisions) != 0 || len(s.reports) < 50 {
			t.Errorf("%d orders, %d decisions, %d reports", len(s.orders), len(s.decisions), len(s.reports))
		}
	})
}

type brokenStrategy struct{}

func (brokenStrategy) Decide(ctx context.Context, _ recovery.Request) (recovery.Proposal, error) {
	<-ctx.Done()
	return recovery.Proposal{}, ctx.Err()
}

func TestAHungStrategyCostsOnlyItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.Strategy = func() Strategy { return brokenStrategy{} }
		opts.Checks = checks(always("a", health.Critical))
		s := newScene(opts)
		s.play(t, time.Minute)
		if len(s.reports) < 50 {
			t.Errorf("%d reports in a minute: the strategy held them up", len(s.reports))
		}
		if len(s.decisions) == 0 || s.decisions[0].Rule != recovery.RuleStrategyFailed || len(s.orders) != 0 {
			t.Errorf("decisions %+v", s.decisions)
		}
	})
}

func TestRecoveryDisabledAtRunTimeAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		opts.Checks = checks(always("a", health.Critical))
		s := newScene(opts)
		off := opts.Settings
		off.RecoveryEnabled = false
		time.AfterFunc(5*time.Second, func() { s.apply(t, off) })
		s.play(t, 5*time.Minute)
		if len(s.orders) != 0 {
			t.Errorf("orders %+v", s.orders)
		}
		if err := s.Apply(t.Context(), opts.Settings); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestRecoveryDuringShutdownIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		opts.Checks = checks(always("a", health.Critical))
		s := newScene(opts)
		cancelled := false
		s.act = func(ctx context.Context, _ Order) error { <-ctx.Done(); cancelled = true; return ctx.Err() }
		s.play(t, 12*time.Second)
		if len(s.orders) != 1 || !cancelled {
			t.Errorf("%d orders, cancelled %v", len(s.orders), cancelled)
		}
	})
}

func TestStaleResultsAreUnknownAndFailAfterThreeIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.Checks = checks(always("a", health.Healthy))
		s := newScene(opts)
		s.play(t, time.Second) // then the monitor stands still
		snap, last := s.Snapshot(), s.times[0]
		for _, c := range []struct {
			age     time.Duration
			status  health.Status
			stale   bool
			serving bool
			why     string
		}{
			{30 * time.Second, health.Healthy, false, true, "the next round is just due"},
			{40 * time.Second, health.Unknown, true, true, "the next round is overdue"},
			{90 * time.Second, health.Unknown, true, true, "three intervals are not over"},
			{91 * time.Second, health.Unknown, true, false, "three intervals are over"},
		} {
			v := snap.View(last.Add(c.age))
			if v.Status != c.status || v.Stale != c.stale || v.Serving != c.serving || v.Checks[0].Status != c.status {
				t.Errorf("after %v: %+v: %s", c.age, v, c.why)
			}
		}
	})
}

func TestWakeMakesARoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := DefaultOptions()
		opts.Checks = checks(always("a", health.Healthy))
		s := newScene(opts)
		time.AfterFunc(7*time.Second, s.Wake)
		s.play(t, 8*time.Second)
		if len(s.times) != 2 || s.times[1].Sub(s.start) != 7*time.Second {
			t.Errorf("reports at %v", s.times)
		}
	})
}

// A monitor with two checkers in the same process, and a callback on every report.
func Example() {
	opts := DefaultOptions()
	opts.Interval = 10 * time.Millisecond
	opts.Checks = func() []Check {
		return []Check{
			{Name: "disk", Checker: CheckerFunc(func(context.Context, Request) (Outcome, error) {
				return Outcome{Result: health.Result{Status: health.Healthy}}, nil
			})},
			{Name: "queue", Optional: true, Checker: CheckerFunc(func(context.Context, Request) (Outcome, error) {
				return Outcome{}, errors.New("the queue does not answer")
			})},
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	opts.Hooks.Report = func(r health.Report) {
		fmt.Println("overall:", r.Status)
		for _, res := range r.Results {
			fmt.Printf("%s: %s (%s)\n", res.Check, res.Status, strings.Join(res.Errors, ", "))
		}
		cancel()
	}
	_ = New(opts).Run(ctx)
	// Output:
	// overall: healthy
	// disk: healthy ()
	// queue: unknown (the queue does not answer)
}
