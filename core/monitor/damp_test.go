package monitor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

func TestACheckThatAsksForItFallsAndRisesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		opts := DefaultOptions()
		opts.Interval = time.Second
		slow := gives("slow", func() health.Status {
			if age := time.Since(start); age > 9500*time.Millisecond && age < 19500*time.Millisecond {
				return health.Critical
			}
			return health.Healthy
		})
		slow.Rise, slow.Fall = 4, 3
		opts.Checks = checks(slow)
		s := newScene(opts)
		s.play(t, 40*time.Second)
		var ill []int
		for _, r := range s.reports {
			if r.Status == health.Critical {
				ill = append(ill, int(r.Time.Sub(start).Round(time.Second).Seconds()))
			}
		}
		if len(ill) == 0 || ill[0] != 12 || ill[len(ill)-1] != 22 {
			t.Errorf("critical at %v, want from the third critical result (12 s) until the fourth healthy one (23 s)", ill)
		}
	})
}

func TestChecksRunFastWhileTheyAreOnTheirWayToBeIll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		opts := DefaultOptions()
		opts.Damp.Fall = 3
		opts.Checks = checks(gives("a", func() health.Status {
			if time.Since(start) > 20*time.Second {
				return health.Critical
			}
			return health.Healthy
		}))
		s := newScene(opts)
		s.play(t, 40*time.Second)
		if at := s.reports[len(s.reports)-1]; at.Status != health.Critical {
			t.Errorf("10 s after the first critical result of three it is %s: nobody looked again soon", at.Status)
		}
	})
}

func TestACheckThatFlapsIsATroubleOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		opts := DefaultOptions()
		opts.Interval = time.Second
		opts.Checks = checks(gives("flaps", func() health.Status {
			if n++; n%2 == 0 {
				return health.Warning
			}
			return health.Healthy
		}))
		s := newScene(opts)
		s.play(t, time.Minute)
		last := s.reports[len(s.reports)-10:]
		for _, r := range last {
			if r.Status != health.Warning || !r.Results[0].Flapping {
				t.Errorf("every second result is a warning, and the report is %s, flapping: %t", r.Status, r.Results[0].Flapping)
			}
		}
		if s.incidents != 1 {
			t.Errorf("%d incidents, want one for all", s.incidents)
		}
	})
}

func TestAfterAnAttemptACheckIsJudgedByWhatFollowsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cured := false
		opts := withLadder(DefaultOptions())
		check := gives("a", func() health.Status {
			if cured {
				return health.Healthy
			}
			return health.Critical
		})
		check.Rise = 1000
		opts.Checks = checks(check)
		s := newScene(opts)
		s.act = func(context.Context, Order) error { cured = true; return nil }
		s.play(t, time.Minute)
		if len(s.events) != 1 || s.events[0].Outcome != recovery.Cured {
			t.Errorf("events %+v, want a cure: what was before the attempt does not count after it", s.events)
		}
	})
}

func TestASymptomWaitsForItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		symptom := always("latency", health.Critical)
		symptom.DependsOn = []string{"memory"}
		opts.Checks = checks(always("memory", health.Warning), symptom)
		s := newScene(opts)
		s.play(t, 30*time.Second)
		last := s.reports[len(s.reports)-1]
		if last.Status != health.Critical || last.WithoutLoad != health.Warning || last.Results[1].SymptomOf != "memory" {
			t.Errorf("people see %s, recovery %s, want critical and a warning; %+v", last.Status, last.WithoutLoad, last.Results[1])
		}
		if i := s.Snapshot().Recovery.Incident; i == nil || len(i.Causes) != 1 || i.Causes[0] != "memory" {
			t.Errorf("the incident is %+v, want memory as its only cause", i)
		}
		alone := newScene(opts)
		alone.opts.Checks = checks(always("memory", health.Healthy), symptom)
		alone.rounds.source = alone.opts.Checks
		alone.play(t, 5*time.Second)
		if r := alone.reports[0]; r.WithoutLoad != health.Critical {
			t.Errorf("with the cause well it is %s, want critical", r.WithoutLoad)
		}
	})
}

func TestWhatACheckerSaysUnaskedStandsForItsNextLookOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		opts := DefaultOptions()
		opts.Subject = &hub{generation: 7}
		opts.Checks = checks(gives("watches", func() health.Status { looks++; return health.Healthy }))
		s := newScene(opts)
		time.AfterFunc(10*time.Second, func() {
			s.Watched("watches", Outcome{Result: health.Result{Status: health.Critical, Message: "now"}}, 7)
		})
		time.AfterFunc(20*time.Second, func() {
			s.Watched("watches", Outcome{Result: health.Result{Status: health.Critical, Message: "of the hub before"}}, 6)
			s.Watched("nobody", Outcome{}, 7)
		})
		s.play(t, 21500*time.Millisecond)
		var taken []time.Duration
		for i, r := range s.reports {
			if r.Status == health.Critical {
				taken = append(taken, s.times[i].Sub(s.start))
				if res := r.Results[0]; res.Message != "now" || res.Check != "watches" || res.Generation != 7 {
					t.Errorf("taken over: %+v", res)
				}
			}
		}
		if len(taken) != 1 || taken[0] != 10*time.Second {
			t.Errorf("taken over after %v, want once, after 10 s", taken)
		}
		if looks != len(s.reports)-1 {
			t.Errorf("%d looks in %d reports, want all but the one that was taken over", looks, len(s.reports))
		}
	})
}
