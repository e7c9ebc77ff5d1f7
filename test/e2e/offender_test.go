package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// audience are clients that count the numbered events that one of them sends.
type audience struct {
	wg      sync.WaitGroup
	mu      sync.Mutex
	got     []int
	trouble []string
}

func (c *audience) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.trouble) < 10 {
		c.trouble = append(c.trouble, fmt.Sprintf(format, args...))
	}
}

// seat connects clients, which read until ctx ends.
func seat(ctx context.Context, t *testing.T, h *rig.Host, size int) *audience {
	t.Helper()
	c := &audience{got: make([]int, size)}
	for i := range size {
		r, err := rig.DialRaw(within(t, 10*time.Second), h.Port, "")
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		t.Cleanup(func() { r.Close() })
		c.wg.Go(func() {
			for {
				p, err := r.Read(ctx)
				if err != nil {
					if ctx.Err() == nil {
						c.complain("client %d lost its connection: %v", i, err)
					}
					return
				}
				var args []json.RawMessage
				var event struct{ Number *int }
				if !strings.HasPrefix(p, `42["claude_event"`) || json.Unmarshal([]byte(p[2:]), &args) != nil || json.Unmarshal(args[1], &event) != nil || event.Number == nil {
					continue
				}
				c.mu.Lock()
				want := c.got[i]
				c.got[i]++
				c.mu.Unlock()
				if *event.Number != want {
					c.complain("client %d got event %d, want %d", i, *event.Number, want)
				}
			}
		})
	}
	return c
}

// have says whether all have got so many events.
func (c *audience) have(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, got := range c.got {
		if got < n {
			return fmt.Errorf("client %d has %d of %d events", i, got, n)
		}
	}
	return nil
}

func hostCommand(t *testing.T, h *rig.Host, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(within(t, 10*time.Second), filepath.Join(root, "bin", "host"), append(args, "--state-dir", h.StateDir)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("host %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// One bad client among a thousand makes the hub ill. It goes, and stays away over a
// restart of the hub; the others lose nothing and stay connected.
func TestOneBadClientAmongAThousandGoesAndTheOthersNeverNotice(t *testing.T) {
	dir := pluginsDir(t, rig.BundledPlugins...)
	buildPlugin(t, dir, "refusals")
	h := serve(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.5, "fast_check_interval": 0.25, "thresholds": map[string]any{"max_clients": 5000}},
		"recovery":          map[string]any{"min_recovery_interval": 1, "recovery_timeout": 30, "grace": 1},
	})}})
	b := standBy(t, h)
	ctx, done := context.WithCancel(context.Background())
	defer done()
	others := seat(ctx, t, h, 994) // with the four who stand by and the one who speaks
	speaker := dialRaw(t, h)
	hub := hubOf(t, h)

	const bad = "127.0.0.2"
	storm, err := rig.DialRawFrom(within(t, 5*time.Second), bad, h.Port, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { storm.Close() })
	began := time.Now()
	stormed := make(chan time.Duration, 1)
	others.wg.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil && storm.Send(`42["claude_event",5]`) == nil {
			<-tick.C
		}
		stormed <- time.Since(began)
	})
	sent := 0
	var quarantined map[string]any
	eventually(t, 60*time.Second, "the bad client is quarantined, and the hub is cured by that", func() error {
		if err := speaker.Emit("claude_event", map[string]any{"number": sent}); err != nil {
			t.Fatalf("the speaker was cut: %v", err)
		}
		sent++
		pass(t, 100*time.Millisecond)
		d := diagnostics(t, h)
		if list, _ := d.At("hub", "quarantine").([]any); len(list) == 1 {
			quarantined, _ = list[0].(map[string]any)
		}
		if recent, _ := d.At("recovery", "recent_recoveries").([]any); len(recent) == 0 || at(recent[0].(map[string]any), "outcome") != "cured" {
			return fmt.Errorf("quarantined is %v; recovery did %v", quarantined, recent)
		}
		return nil
	})
	measured(t, "offender_until_gone", <-stormed)
	measured(t, "offender_events_meanwhile", sent)
	if attempts := diagnostics(t, h).Attempts(); len(attempts) != 1 || attempts[0] != "quarantine_offender" {
		t.Errorf("recovery did %v, want quarantine_offender alone", attempts)
	}
	if quarantined["kind"] != "address" || quarantined["name"] != bad || quarantined["measure"] != "refusals" {
		t.Errorf("quarantined is %v, want the address %s, which nobody shares", quarantined, bad)
	}
	eventually(t, 20*time.Second, "everybody has everything", func() error { return others.have(sent) })
	if now := hubOf(t, h); now.PID != hub.PID {
		t.Error("the hub was replaced")
	}
	b.unaffected(t, "offender", 2*time.Second)
	done()
	others.wg.Wait()
	for _, complaint := range others.trouble {
		t.Error(complaint)
	}

	// It stays away, also from the next hub, until an operator lets it in.
	refused := func() {
		t.Helper()
		r, err := rig.DialRawFrom(within(t, 5*time.Second), bad, h.Port, "")
		if err == nil {
			r.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("it comes back, and gets %v, want 403", err)
		}
	}
	refused()
	anotherHub(t, h, hub, signal(t, hub, syscall.SIGKILL), 10*time.Second)
	refused()
	contains(t, hostCommand(t, h, "status"), "host quarantine list")
	contains(t, hostCommand(t, h, "quarantine", "list"), "address", bad, "refusals", "inc-")
	contains(t, hostCommand(t, h, "quarantine", "release", "--all"), "released: address "+bad)
	r, err := rig.DialRawFrom(within(t, 5*time.Second), bad, h.Port, "")
	if err != nil {
		t.Fatalf("it was let in again: %v", err)
	}
	r.Close()
}
