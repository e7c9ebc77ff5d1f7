package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

func TestAHungCheckerIsUnknownAndStopsNobodyAndNeverOverlapsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		running, most := 0, 0
		hung := Check{Name: "hung", Checker: CheckerFunc(func(context.Context, Request) (Outcome, error) {
			running++
			most = max(most, running)
			<-release
			running--
			return Outcome{}, errors.New("too late")
		})}
		opts := DefaultOptions()
		opts.Checks = checks(always("a", health.Healthy), hung)
		s := newScene(opts)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		time.AfterFunc(21*time.Second, func() { close(release) })
		if err := s.Run(ctx); err != nil {
			t.Errorf("a checker that ends within 2 s of the stop: %v", err)
		}
		if len(s.reports) < 10 {
			t.Errorf("%d reports in 20 s: the hung checker stopped the others", len(s.reports))
		}
		if most != 1 {
			t.Errorf("the check ran %d times at once", most)
		}
		for _, r := range s.reports {
			if r.Results[0].Status != health.Healthy || r.Results[1].Status != health.Unknown || r.Status != health.Warning {
				t.Fatalf("got %+v", r)
			}
		}
	})
}

func TestACheckerThatUsesUpItsTimeDelaysTheOthersOnceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frozen atomic.Bool
		frozen.Store(true)
		running, most := 0, 0
		slow := Check{Name: "slow", Checker: CheckerFunc(func(ctx context.Context, _ Request) (Outcome, error) {
			running++
			most = max(most, running)
			defer func() { running-- }()
			if frozen.Load() {
				<-ctx.Done()
				return Outcome{}, fmt.Errorf("frozen: %w", ctx.Err())
			}
			return Outcome{Result: health.Result{Status: health.Healthy}}, nil
		})}
		opts := DefaultOptions()
		opts.Checks = checks(always("a", health.Healthy), slow)
		s := newScene(opts)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		time.AfterFunc(20*time.Second, func() { frozen.Store(false) })
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		if most != 1 {
			t.Errorf("the check ran %d times at once", most)
		}
		var last health.Report
		for n, r := range s.reports {
			if n > 0 && r.Time.Sub(last.Time) > 1100*time.Millisecond && last.Status != health.Healthy {
				t.Errorf("report %d came %v after the one before, want a second: the slow check held up the others", n, r.Time.Sub(last.Time))
			}
			if frozenThen := n > 0 && r.Time.Sub(s.reports[0].Time) < 17*time.Second; frozenThen && (r.Results[1].Status != health.Unknown || !strings.Contains(r.Results[1].Message+strings.Join(r.Results[1].Errors, ""), "frozen")) {
				t.Errorf("report %d has the slow check as %+v, want unknown and why", n, r.Results[1])
			}
			last = r
		}
		back := slices.IndexFunc(s.reports, func(r health.Report) bool { return r.Status == health.Healthy })
		if back < 0 || last.Status != health.Healthy || s.reports[back].Time.Sub(s.reports[0].Time) > 25*time.Second {
			t.Errorf("the check answers again after 20 s, but the last report is %v and the first healthy one number %d", last.Status, back)
		}
	})
}

func TestACheckThatHangsCostsTheOthersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frozen atomic.Bool
		hung := Check{Name: "hung", Checker: CheckerFunc(func(ctx context.Context, _ Request) (Outcome, error) {
			if frozen.Load() {
				<-ctx.Done()
				return Outcome{}, fmt.Errorf("frozen: %w", ctx.Err())
			}
			return Outcome{Result: health.Result{Status: health.Healthy}}, nil
		})}
		opts := DefaultOptions()
		opts.Interval = time.Second
		opts.Checks = checks(always("a", health.Healthy), hung)
		s := newScene(opts)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		time.AfterFunc(4500*time.Millisecond, func() { frozen.Store(true) })
		time.AfterFunc(12500*time.Millisecond, func() { frozen.Store(false) })
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		unknown := time.Duration(0)
		for n, r := range s.reports[1:] {
			if late := r.Time.Sub(s.reports[n].Time); late > 1500*time.Millisecond {
				t.Errorf("a report came %v after the one before, want a second and the courtesy for the check that hangs", late)
			}
			res := r.Results[1]
			if res.Carried && res.Status != health.Healthy || !r.Carried() && res.Carried {
				t.Errorf("carried: %+v", res)
			}
			if res.Status == health.Unknown && unknown == 0 {
				unknown = r.Time.Sub(s.reports[0].Time)
			}
		}
		if want := 5*time.Second + 2*time.Second + 2*time.Second; unknown == 0 || unknown > want {
			t.Errorf("the check is unknown %v after the start, want within %v: when its time is used up and the next report comes", unknown, want)
		}
		if last := s.reports[len(s.reports)-1]; last.Status != health.Healthy || last.Carried() {
			t.Errorf("it answers again, but the last report is %+v", last)
		}
	})
}

func TestACheckThatGrowsSlowIsBelievedWhenItAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		grows := Check{Name: "grows", Checker: CheckerFunc(func(context.Context, Request) (Outcome, error) {
			if slow.Load() {
				time.Sleep(1500 * time.Millisecond)
				return Outcome{Result: health.Result{Status: health.Critical, Message: "slow"}}, nil
			}
			return Outcome{Result: health.Result{Status: health.Healthy}}, nil
		})}
		opts := DefaultOptions()
		opts.Interval = time.Second
		opts.Checks = checks(always("a", health.Healthy), grows)
		s := newScene(opts)
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		time.AfterFunc(2500*time.Millisecond, func() { slow.Store(true) })
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		last := s.reports[len(s.reports)-1]
		if last.Results[1].Status != health.Critical || last.Results[1].Carried {
			t.Errorf("the check answers within its time, but the report says %+v", last.Results[1])
		}
	})
}
