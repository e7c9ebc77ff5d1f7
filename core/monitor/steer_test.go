package monitor

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

func TestWhatIsRememberedIsToldBeforeTheActionOfAnAttemptBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		opts.Checks = checks(always("service_health", health.Critical))
		s := newScene(opts)
		var last recovery.State
		told := 0
		s.opts.Hooks.State = func(state recovery.State) {
			time.Sleep(time.Millisecond) // a slow disk
			last = state
		}
		s.act = func(_ context.Context, o Order) error {
			if last.Running == nil || last.Running.Attempt != o.Attempt || len(last.Spent) != 1 {
				t.Errorf("when %s began, what was remembered last was %+v", o.Attempt, last)
			}
			return nil
		}
		s.play(t, 20*time.Second)
		if len(s.orders) != 1 {
			t.Fatalf("orders %v", s.orders)
		}
		calm := newScene(DefaultOptions())
		s, told = calm, 0
		s.opts.Checks = checks(always("a", health.Healthy))
		s.opts.Hooks.State = func(recovery.State) { told++ }
		s.play(t, time.Hour)
		if told > 1 {
			t.Errorf("in an hour of health the state is told %d times", told)
		}
	})
}

func TestAMonitorGoesOnWhereTheOneBeforeItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		opts.Recovery.Budget.Jitter = 0
		opts.Checks = checks(always("service_health", health.Critical))
		first := newScene(opts)
		var kept recovery.State
		first.opts.Hooks.State = func(state recovery.State) { kept = state }
		first.play(t, 55*time.Second)
		next := newScene(opts)
		safe, err := next.Restore(kept, true)
		if safe != nil || err != nil {
			t.Fatal(safe, err)
		}
		next.play(t, 60*time.Second)
		if len(first.orders) != 1 || len(next.orders) != 1 || next.orders[0].Action != recovery.RestartService || next.orders[0].Incident != first.orders[0].Incident {
			t.Errorf("the first took %+v, the next %+v; want the next rung of the same incident", first.orders, next.orders)
		}
		if between := next.acted[0].Sub(first.acted[0]); between < 60*time.Second {
			t.Errorf("%v between the attempts of two hosts", between)
		}
		if _, err := next.Restore(recovery.State{Version: 99}, true); err == nil {
			t.Error("a state of another version is taken")
		}
	})
}

func TestADryRunTakesNoActionAndSaysWhatItWouldDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		opts.Recovery.DryRun.All, opts.Recovery.Budget.Jitter = true, 0
		opts.Checks = checks(always("service_health", health.Critical))
		s := newScene(opts)
		s.play(t, 10*time.Minute)
		if len(s.orders) != 0 {
			t.Errorf("orders in a dry run: %+v", s.orders)
		}
		var would []string
		for _, d := range s.decisions {
			if d.Verdict == recovery.Run {
				would = append(would, fmt.Sprintf("%s@%.0f", d.Proposal.Action, d.Time.Sub(s.start).Seconds()))
				if !d.DryRun {
					t.Errorf("not said to be a dry run: %+v", d)
				}
			}
		}
		if want := "[clear_connections@10 restart_service@70 emergency_stop@190]"; fmt.Sprint(would) != want {
			t.Errorf("it would %v, want %s, as the live run does", would, want)
		}
	})
}

func TestAnAttemptThatNeedsAYesBeginsWithItOrAtItsDeadline(t *testing.T) {
	for _, byDeadline := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			opts := withLadder(DefaultOptions())
			opts.FastInterval = 25 * time.Second
			opts.Recovery.Approval = recovery.ApprovalConfig{Actions: map[recovery.Action]bool{recovery.ClearConnections: true}, Timeout: 20 * time.Second, Default: true}
			opts.Checks = checks(always("service_health", health.Critical))
			s := newScene(opts)
			if !byDeadline {
				time.AfterFunc(30*time.Second, func() {
					asked := s.Snapshot().Recovery.Approvals
					if len(asked) != 1 || asked[0].Answer != recovery.Unanswered {
						t.Errorf("asked: %+v", asked)
						return
					}
					d, err := s.Answer(t.Context(), asked[0].ID, true, "ada")
					if err != nil || d.Verdict != recovery.Run {
						t.Errorf("the yes gives %+v, %v", d, err)
					}
					if _, err := s.Answer(t.Context(), asked[0].ID, false, "bob"); err == nil {
						t.Error("a second answer is taken")
					}
				})
			}
			s.play(t, 47*time.Second)
			want := 30 * time.Second
			if byDeadline {
				want = 45 * time.Second
			}
			if len(s.orders) != 1 || s.acted[0].Sub(s.start).Round(time.Second) != want {
				t.Errorf("orders %v after %v, want one after %v", s.orders, s.acted, want)
			}
		})
	}
}

func TestRecoveryIsSteeredThroughTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := withLadder(DefaultOptions())
		opts.Checks = checks(always("service_health", health.Healthy))
		s := newScene(opts)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait()

		p, err := s.Pause(t.Context(), time.Hour, "ada", "deploy")
		if err != nil || !s.Snapshot().Recovery.Pause.Active(time.Now()) || p.By != "ada" {
			t.Errorf("a pause: %+v, %v", p, err)
		}
		if _, err := s.Pause(t.Context(), 0, "ada", "deploy"); !errors.Is(err, recovery.ErrBadPause) {
			t.Errorf("a pause of no time: %v", err)
		}
		if was, err := s.Unpause(t.Context()); !was || err != nil {
			t.Errorf("its end: %t, %v", was, err)
		}
		if err := s.OpenBreaker(t.Context(), "ada", "deploy"); err != nil || s.Snapshot().Recovery.Breaker.State(time.Now()) != recovery.Open {
			t.Errorf("the breaker is not open: %v", err)
		}
		if err := s.CloseBreaker(t.Context(), "ada", "done"); err != nil || s.Snapshot().Recovery.Breaker.State(time.Now()) != recovery.Closed {
			t.Errorf("the breaker is not closed: %v", err)
		}
		if err := s.EnterSafeMode(t.Context(), "test", time.Hour); err != nil || s.Snapshot().Recovery.SafeMode == nil {
			t.Errorf("no safe mode: %v", err)
		}
		if was, err := s.LeaveSafeMode(t.Context()); !was || err != nil {
			t.Errorf("its end: %t, %v", was, err)
		}
		if d, err := s.Preview(t.Context(), recovery.Proposal{Action: recovery.RestartService, By: "ada", Reason: "try"}); err != nil || d.Verdict != recovery.Run || len(s.orders) != 0 {
			t.Errorf("a preview: %+v, %v, orders %v", d, err, s.orders)
		}
		d, err := s.Recover(t.Context(), recovery.Proposal{Action: recovery.RestartService, By: "ada", Reason: "because"})
		if err != nil || d.Verdict != recovery.Run || d.Proposal.By != "ada" {
			t.Errorf("by hand: %+v, %v", d, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.orders) != 1 || s.orders[0].Action != recovery.RestartService || len(s.events) != 1 || s.events[0].Outcome != recovery.Cured {
			t.Errorf("orders %+v, events %+v", s.orders, s.events)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := s.Recover(t.Context(), recovery.Proposal{Action: recovery.RestartService, By: "ada", Reason: "because"}); !errors.Is(err, ErrEnded) {
			t.Errorf("after its end: %v", err)
		}
	})
}
