package hubproc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/upkeephub/upkeep/internal/child"
)

func TestRestartHandsOverAndNobodyIsRefused(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	c := h.call(4)
	for n := 1; n <= 3; n++ {
		began := time.Now()
		if err := h.Restart(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		t.Logf("handover took %v", time.Since(began))
		s := h.Snapshot()
		if s.State != Running || s.Generation != uint64(n+1) || s.Handovers != n || s.Restarts != 0 {
			t.Errorf("snapshot is %+v, want generation %d by handover", s, n+1)
		}
		if body := h.tell("/"); !strings.HasPrefix(body, fmt.Sprint(n+1, " ")) {
			t.Errorf("after the handover %q answers", body)
		}
	}
	c.end(t)
	if got, want := h.kinds(), "launched serving"+strings.Repeat(" launched serving handed_over", 3); got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
}

func TestRestartLeavesTheOldHubIfTheNewOneCannotLoad(t *testing.T) {
	h := keep(t, "bad-second", nil)
	first := h.await(Serving, 1)
	c := h.call(2)
	err := h.Restart(t.Context(), "test")
	if err == nil || !strings.Contains(err.Error(), "the log is damaged") {
		t.Errorf("Restart: %v, want why the new hub did not load", err)
	}
	if s := h.Snapshot(); s.State != Running || s.PID != first.PID || s.Generation != 1 {
		t.Errorf("snapshot is %+v, want the first hub in service", s)
	}
	beat := h.Snapshot().LastHeartbeat
	h.awaitSnapshot("the old hub is watched on", func(s Snapshot) bool { return s.LastHeartbeat.After(beat) && s.PID == first.PID })
	c.end(t)
	if err := h.Restart(t.Context(), "test"); err != nil { // the third loads
		t.Errorf("the next Restart: %v", err)
	}
}

func TestRestartThatFailsAfterTheOldHubEndedIsSupervised(t *testing.T) {
	h := keep(t, "die-on-accept", nil)
	h.await(Serving, 1)
	err := h.Restart(t.Context(), "test")
	if err == nil || !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("Restart: %v, want how the new hub ended", err)
	}
	h.await(Restart, 1)
	if e := h.await(Serving, 2); e.Generation != 3 {
		t.Errorf("generation %d serves, want the third", e.Generation)
	}
}

func TestRestartOfAStoppedHubKillsItFirst(t *testing.T) {
	var first Event
	h := keep(t, "good", func(o *Options) {
		add := o.Events
		o.Events = func(e Event) {
			if e.Kind == Launched && e.Generation == 2 {
				if stat, err := child.ReadStat(first.PID); err == nil {
					t.Errorf("the second hub is launched while the first is %+v", stat)
				}
			}
			add(e)
		}
	})
	first = h.await(Serving, 1)
	kill(t, first.PID, syscall.SIGSTOP)
	if err := unix.Waitid(unix.P_PID, first.PID, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := h.Restart(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v: the stopped hub was waited for", took)
	}
	if s := h.Snapshot(); s.Generation != 2 || s.State != Running {
		t.Errorf("snapshot is %+v", s)
	}
}

func TestRestartsThatMeetBecomeOne(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	errs := make(chan error, 3)
	for range 3 {
		go func() { errs <- h.Restart(t.Context(), "test") }()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := h.Snapshot().Handovers; n < 1 || n > 3 {
		t.Errorf("%d handovers for three requests", n)
	}
}

func TestGivesUpBeyondTheBudgetAndRestartLeadsOut(t *testing.T) {
	h := keep(t, "good", func(o *Options) { o.Restarts.Limit = 2 })
	for n := 1; n <= 3; n++ {
		kill(t, h.await(Serving, n).PID, syscall.SIGKILL)
	}
	e := h.await(GaveUp, 1)
	s := h.Snapshot()
	if s.State != GivenUp || s.PID != 0 || s.Restarts != 2 || !strings.Contains(e.Cause, "2 restarts within 1m0s") {
		t.Errorf("snapshot is %+v, event %+v; want given up after two restarts", s, e)
	}
	if _, err := h.ClearConnections(t.Context(), "test"); !errors.Is(err, ErrNoHub) {
		t.Errorf("ClearConnections without a hub: %v", err)
	}
	if err := h.Restart(t.Context(), "by hand"); err != nil {
		t.Fatal(err)
	}
	if s := h.Snapshot(); s.State != Running || s.Restarts != 2 {
		t.Errorf("snapshot is %+v, want running and no further restart counted", s)
	}
}

func TestCrashLoopIsPacedExplainedAndGivenUp(t *testing.T) {
	h := keep(t, "exit", func(o *Options) {
		o.Restarts = RestartPolicy{Limit: 3, Window: time.Minute, Quick: 10 * time.Second, FirstPause: 20 * time.Millisecond, MaxPause: 40 * time.Millisecond}
	})
	h.await(GaveUp, 1)
	var pauses []time.Duration
	for _, e := range h.all() {
		switch e.Kind {
		case Restart:
			pauses = append(pauses, e.Pause)
		case StartFailed:
			if !strings.Contains(e.Cause, "exit status 3") || !strings.HasSuffix(e.Cause, "no disk left") || len(e.Output) != 2 {
				t.Errorf("a failed start is explained by %+v", e)
			}
		}
	}
	if want := []time.Duration{20 * time.Millisecond, 40 * time.Millisecond, 40 * time.Millisecond}; !slices.Equal(pauses, want) {
		t.Errorf("pauses are %v, want %v", pauses, want)
	}
	if s := h.Snapshot(); s.State != GivenUp || !strings.Contains(s.LastExit, "no disk left") {
		t.Errorf("snapshot is %+v", s)
	}
	if err := h.Restart(t.Context(), "by hand"); err == nil || !strings.Contains(err.Error(), "no disk left") {
		t.Errorf("Restart: %v, want why", err)
	}
	h.await(GaveUp, 2)
}

func TestRestartEndsAPause(t *testing.T) {
	h := keep(t, "good", func(o *Options) {
		o.Restarts.Quick, o.Restarts.FirstPause, o.Restarts.MaxPause = time.Hour, time.Hour, time.Hour
	})
	kill(t, h.await(Serving, 1).PID, syscall.SIGKILL)
	h.await(Restart, 1)
	if s := h.Snapshot(); s.State != Restarting || time.Until(s.NextStart) < 50*time.Minute {
		t.Errorf("snapshot is %+v, want a pause of nearly an hour", s)
	}
	if err := h.Restart(t.Context(), "now"); err != nil {
		t.Fatal(err)
	}
	if s := h.Snapshot(); s.State != Running || !s.NextStart.IsZero() {
		t.Errorf("snapshot is %+v", s)
	}
}

func TestEarlierRestartsSpendTheBudget(t *testing.T) {
	now := time.Now()
	h := keep(t, "good", func(o *Options) {
		o.Restarts.Limit = 2
		o.RecentRestarts = []time.Time{now.Add(-time.Hour), now.Add(-2 * time.Second), now.Add(-time.Second)}
	})
	kill(t, h.await(Serving, 1).PID, syscall.SIGKILL)
	h.await(GaveUp, 1)
	if s := h.Snapshot(); s.Restarts != 0 || len(s.RecentRestarts) != 2 {
		t.Errorf("snapshot is %+v, want the two of an earlier keeper", s)
	}
}
