package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// connectsPerSecond of the load under which faults happen.
const connectsPerSecond = 100

// watchOver is how long after a fault recovery must have kept still: longer
// than any check, and than supervision's longest judgement (5 s).
const watchOver = 6 * time.Second

// restarts of the hub since host started, as host tells.
func restarts(t testing.TB, h *rig.Host) float64 {
	t.Helper()
	return diagnostics(t, h).Number("hub", "restarts")
}

// outliveFirstPause waits until the hub has lived for long enough that its
// successor is started at once: one that dies within 10 s of its start is
// replaced after a pause, since it may be in a crash loop.
func outliveFirstPause(t testing.TB, h *rig.Host) {
	t.Helper()
	pass(t, time.Until(h.Began.Add(11*time.Second)))
}

// checkLoad checks that clients were never turned away: whoever came while the
// hub was down waited.
func checkLoad(t testing.TB, c rig.LoadCounts) {
	t.Helper()
	measured(t, "connects", c)
	if c.Refused > 0 || c.TimedOut > 0 || c.Other > 0 {
		t.Errorf("clients were turned away: %s", c)
	}
	if c.Connected < c.Started/2 {
		t.Errorf("most connects did not succeed: %s", c)
	}
}

func TestHubKilledUnderLoadIsReplacedAndNobodyIsRefused(t *testing.T) {
	h := serve(t, rig.Options{})
	d := node(t)
	open(t, d, rig.Open{Client: "a", URL: h.Base(), Transport: "websocket"})
	if err := d.Burst(within(t, 5*time.Second), "a", 50, "claude_event", map[string]any{"type": "x"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the hub's own numbers reach host", func() error {
		if n := number(object(t, h, "/stats"), "events", "total_processed"); n < 50 {
			return fmt.Errorf("%v events are processed", n)
		}
		return nil
	})
	load := rig.StartLoad(h.Port, connectsPerSecond)
	for i := range 2 {
		pass(t, 11*time.Second) // see outliveFirstPause
		before := object(t, h, "/stats")
		old := hubOf(t, h)
		killed := signal(t, old, syscall.SIGKILL)
		took := anotherHub(t, h, old, killed, 5*time.Second)
		measured(t, fmt.Sprintf("kill_%d_until_http", i+1), took)
		if took > 2*time.Second {
			t.Errorf("after kill %d it took %s until HTTP answered", i+1, took)
		}
		eventually(t, 5*time.Second, "counters do not fall", func() error {
			after := object(t, h, "/stats")
			for _, keys := range [][]string{{"connections", "total_served"}, {"events", "total_processed"}} {
				// Host knows the dead hub's numbers as of its last heartbeat.
				if was, is := number(before, keys...), number(after, keys...); is < was-connectsPerSecond {
					return fmt.Errorf("%v fell from %v to %v", keys, was, is)
				}
			}
			return nil
		})
	}
	pass(t, time.Second)
	checkLoad(t, load.Stop())
	eventually(t, watchOver, "host counts two restarts", func() error {
		if n := restarts(t, h); n != 2 {
			return fmt.Errorf("it counts %v", n)
		}
		return nil
	})
	noRecovery(t, h)
}

func TestFrozenHubIsReplacedBySupervisionAlone(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		h := serve(t, rig.Options{})
		outliveFirstPause(t, h)
		frozenIsReplaced(t, h, "idle")
	})
	t.Run("under load", func(t *testing.T) {
		h := serve(t, rig.Options{})
		load := rig.StartLoad(h.Port, connectsPerSecond)
		outliveFirstPause(t, h)
		frozenIsReplaced(t, h, "under_load")
		pass(t, time.Second)
		checkLoad(t, load.Stop())
	})
	t.Run("exactly while a check looks at it", func(t *testing.T) {
		h := serve(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{
			"health_monitoring": map[string]any{"check_interval": 2},
		})}})
		outliveFirstPause(t, h) // and recovery's grace
		duringCheck(t, h)
		frozenIsReplaced(t, h, "during_check")
	})
}

// duringCheck returns while the network checker has its connection to the hub open.
func duringCheck(t testing.TB, h *rig.Host) {
	t.Helper()
	checker := pluginOf(t, h, "network")
	least := sockets(t, checker)
	if err := rig.Poll(within(t, 10*time.Second), time.Millisecond, func() error {
		n := sockets(t, checker)
		least = min(least, n)
		if n <= least {
			return fmt.Errorf("the network checker has %d sockets", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// sockets counts the open sockets of a process.
func sockets(t testing.TB, s rig.Stat) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", s.PID, e.Name())); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

func frozenIsReplaced(t *testing.T, h *rig.Host, name string) {
	t.Helper()
	old := hubOf(t, h)
	stopped := signal(t, old, syscall.SIGSTOP)
	if _, err := rig.WaitGone(within(t, 10*time.Second), old); err != nil {
		t.Fatalf("the frozen hub lives on: %v", err)
	}
	noticed := time.Since(stopped)
	measured(t, "frozen_"+name+"_noticed", noticed)
	took := anotherHub(t, h, old, stopped, 10*time.Second)
	measured(t, "frozen_"+name+"_until_http", took)
	if noticed > 2*time.Second {
		t.Errorf("the frozen hub was noticed after %s, want within 2 s", noticed)
	}
	if took > 2500*time.Millisecond {
		t.Errorf("it took %s until HTTP answered, want within 2.5 s", took)
	}
	pass(t, watchOver)
	if n := restarts(t, h); n != 1 {
		t.Errorf("host counts %v restarts of the hub, want 1", n)
	}
	noRecovery(t, h)
	eventually(t, 30*time.Second, "all is well", func() error {
		if word := at(object(t, h, "/health"), "status"); word != "healthy" {
			return fmt.Errorf("the status is %v", word)
		}
		return nil
	})
}

// A hub that gets 100 of every 700 ms answers its heartbeats, a little late,
// and is of no use to anybody: only a check that measures what clients feel
// can see that, and recovery must act.
func TestHubThatIsSlowForClientsEndsInARecovery(t *testing.T) {
	t.Parallel()
	h := serve(t, rig.Options{})
	d := node(t)
	open(t, d, rig.Open{Client: "a", URL: h.Base(), Transport: "websocket"})
	began := time.Now()
	done := make(chan struct{})
	slowed := make(chan struct{})
	go func() {
		defer close(slowed)
		for phase, sig := 0, syscall.SIGSTOP; ; phase++ {
			wait := 600 * time.Millisecond
			if phase%2 == 1 {
				sig, wait = syscall.SIGCONT, 100*time.Millisecond
			} else {
				sig = syscall.SIGSTOP
			}
			if hub, err := h.Hub(); err == nil {
				_ = hub.Signal(sig)
			}
			select {
			case <-done:
				if hub, err := h.Hub(); err == nil {
					_ = hub.Signal(syscall.SIGCONT)
				}
				return
			case <-time.After(wait):
			}
		}
	}()
	defer func() { close(done); <-slowed }()
	var attempts []string
	err := rig.Poll(within(t, 120*time.Second), 100*time.Millisecond, func() error {
		d, err := h.Diagnostics(within(t, 5*time.Second))
		if err != nil {
			return err
		}
		if attempts = d.Attempts(); len(attempts) == 0 {
			return fmt.Errorf("no attempt yet: %v", d.At("recovery", "recent_decisions"))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("nobody did anything about a hub that gets a seventh of its time: %v", err)
	}
	measured(t, "slow_hub_until_recovery", time.Since(began))
	measured(t, "slow_hub_actions", attempts)
}

func TestHundredStockClientsAreBackSoonAfterTheHubIsReplaced(t *testing.T) {
	h := serve(t, rig.Options{})
	d := node(t)
	const clients = 100
	ctx := within(t, 60*time.Second)
	for i := range clients {
		if err := d.Open(ctx, rig.Open{Client: fmt.Sprint("c", i), URL: h.Base(), Transport: "websocket"}); err != nil {
			t.Fatal(err)
		}
	}
	connect := func(n rig.Note) bool { return n.What == "connect" }
	if _, err := d.WaitNotes(ctx, 0, clients, connect); err != nil {
		t.Fatalf("clients did not connect: %v", err)
	}
	outliveFirstPause(t, h)
	mark := d.Mark()
	old := hubOf(t, h)
	killed := signal(t, old, syscall.SIGKILL)
	back, err := d.WaitNotes(within(t, 20*time.Second), mark, clients, connect)
	if err != nil {
		t.Fatalf("clients came not back: %v", err)
	}
	last := back[len(back)-1].At().Sub(killed)
	measured(t, "last_of_100_clients_back", last)
	// By default a client waits 1 s ± 50 % before it reconnects.
	if limit := 1500*time.Millisecond + time.Second; last > limit {
		t.Errorf("the last of %d clients was back after %s, want %s", clients, last, limit)
	}
	for _, n := range d.Notes(mark) {
		if n.What == "disconnect" && n.Reason != "transport close" && n.Reason != "transport error" {
			t.Errorf("a client would not come back by itself: %s", n)
		}
		if n.What == "connect_error" {
			t.Errorf("a client was turned away: %s", n)
		}
	}
	eventually(t, 5*time.Second, "the hub counts each once", func() error {
		if n := number(object(t, h, "/stats"), "connections", "current_clients"); n != clients {
			return fmt.Errorf("it counts %v", n)
		}
		return nil
	})
}
