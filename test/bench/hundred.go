package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// manyPlugins is how many plugins hundred runs.
const manyPlugins = 100

// hundred: many plugins on one host, each asked once a second.
func (b *bench) hundred(ctx context.Context) ([]figure, error) {
	dir, names, err := b.manyPlugins(ctx)
	if err != nil {
		return nil, err
	}
	var started, reported []time.Duration
	var h *rig.Host
	for range max(1, b.starts/4) {
		if h != nil {
			end(h)
		}
		state, err := os.MkdirTemp(b.tmp, "state-")
		if err != nil {
			return nil, err
		}
		config := filepath.Join(state, "..", filepath.Base(state)+".json")
		if err := os.WriteFile(config, []byte(`{"health_monitoring": {"check_interval": 1, "fast_check_interval": 1}, "recovery": {"enabled": false}}`), 0o600); err != nil {
			return nil, err
		}
		if h, err = rig.Start(rig.Options{Root: b.root, StateDir: state, Plugins: dir, Args: []string{"--config", config}}); err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		took, err := h.WaitReported(limited, names...)
		cancel()
		if err != nil {
			text := h.Output.Text()
			end(h)
			return nil, fmt.Errorf("%w\n%s", err, text[:min(len(text), 4000)])
		}
		d, err := h.Diagnostics(ctx)
		if err != nil {
			end(h)
			return nil, err
		}
		last, err := lastStart(d)
		if err != nil {
			end(h)
			return nil, err
		}
		started, reported = append(started, last.Sub(h.Began)), append(reported, took)
	}
	defer end(h)

	family := h.Family()
	if len(family) != 2+manyPlugins {
		return nil, fmt.Errorf("host has %d processes, want itself, the hub and %d plugins", len(family), manyPlugins)
	}
	began := time.Now()
	if err := pause(ctx, b.checkRounds); err != nil {
		return nil, err
	}
	elapsed := time.Since(began)
	var cpu [3]time.Duration // of host, hub and plugins
	for i, before := range family {
		after, err := rig.ReadStat(before.PID)
		if err != nil || after.Start != before.Start {
			return nil, fmt.Errorf("process %d ended while it was measured", before.PID)
		}
		cpu[min(i, 2)] += after.CPU - before.CPU
	}
	self, err := rig.ReadStat(h.PID())
	if err != nil {
		return nil, err
	}
	cores := func(d time.Duration) float64 { return math.Round(d.Seconds()/elapsed.Seconds()*1000) / 1000 }

	healthy, err := b.latest(ctx, h, 10*time.Second, "", time.Time{})
	if err != nil {
		return nil, err
	}
	frozen, err := h.Plugin(names[0])
	if err != nil {
		return nil, err
	}
	since := time.Now()
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	late, err := b.latest(ctx, h, 15*time.Second, names[0], since)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%d plugins, %d starts", manyPlugins, len(started))
	return []figure{
		atMost("plugins_100_start_median", "exec until the last of "+what+" runs", ms(rig.Median(started)), 2000, "ms"),
		told("plugins_100_start_max", "the slowest of them", ms(slices.Max(started)), "ms"),
		told("plugins_100_report_median", "exec until the first report of all of them", ms(rig.Median(reported)), "ms"),
		atMost("plugins_100_host_rss", "resident memory of host with them", math.Round(float64(self.RSS)/(1<<20)*10)/10, 60, "MB"),
		atMost("plugins_100_host_cpu", "host, of one core, at one check a second each", cores(cpu[0]), 0.1, "core"),
		told("plugins_100_plugins_cpu", "all plugins, of one core", cores(cpu[2]), "core"),
		told("plugins_100_age", "oldest result that /health showed of any check, all well", ms(healthy), "ms"),
		told("plugin_frozen_others_age", "oldest result of the other 99 while one is frozen, until it is replaced and after", ms(late), "ms"),
		atMost("plugin_frozen_others_late", "how much later than that the frozen one makes them, once: the courtesy of a round", ms(max(0, late-healthy)), 750, "ms"),
	}, nil
}

// manyPlugins builds one checker and puts it under many names into a plugin folder.
func (b *bench) manyPlugins(ctx context.Context) (dir string, names []string, err error) {
	dir = filepath.Join(b.tmp, "hundred")
	binary := filepath.Join(b.tmp, "look")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./test/bench/testdata/look")
	build.Dir = b.root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("build the checker: %w: %s", err, out)
	}
	for n := range manyPlugins {
		name := fmt.Sprintf("look%03d", n)
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return "", nil, err
		}
		if err := os.Link(binary, filepath.Join(dir, name, name)); err != nil {
			return "", nil, err
		}
		names = append(names, name)
	}
	return dir, names, nil
}

// lastStart is when the last plugin began to run.
func lastStart(d rig.Diagnostics) (last time.Time, err error) {
	plugins, _ := d.At("plugins").([]any)
	for _, p := range plugins {
		o, _ := p.(map[string]any)
		text, _ := o["started_at"].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return last, fmt.Errorf("plugin %v: %w", o["name"], err)
		}
		if at.After(last) {
			last = at
		}
	}
	return last, nil
}

// latest is the oldest result that /health showed over a while, of all checks
// but one. With since, that one must have been unknown meanwhile, and no other.
func (b *bench) latest(ctx context.Context, h *rig.Host, over time.Duration, but string, since time.Time) (oldest time.Duration, err error) {
	seen := false
	for end := time.Now().Add(over); time.Now().Before(end); {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
		r, err := rig.Get(ctx, h.URL("/health"))
		if err != nil {
			return 0, err
		}
		var health struct {
			Details map[string]struct {
				Status string  `json:"status"`
				Age    float64 `json:"age_seconds"`
			} `json:"check_details"`
		}
		if err := json.Unmarshal(r.Body, &health); err != nil {
			return 0, err
		}
		for name, check := range health.Details {
			switch {
			case name == but:
				seen = seen || check.Status == "unknown"
			case check.Status != "healthy":
				return 0, fmt.Errorf("%s is %s", name, check.Status)
			default:
				oldest = max(oldest, time.Duration(check.Age*float64(time.Second)))
			}
		}
	}
	if !since.IsZero() && !seen {
		return 0, fmt.Errorf("the frozen plugin %s was never unknown in %s", but, time.Since(since))
	}
	return oldest, nil
}
