package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// connectsPerSecond of the load under which the hub is hit.
const connectsPerSecond = 100

// start: from the execution of host until clients are served, and until the
// first complete health report.
func (b *bench) start(ctx context.Context) ([]figure, error) {
	var serving, reported []time.Duration
	for range b.starts {
		state, err := os.MkdirTemp(b.tmp, "state-")
		if err != nil {
			return nil, err
		}
		h, err := rig.Start(rig.Options{Root: b.root, StateDir: state})
		if err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		s, err := h.WaitServing(limited)
		var r time.Duration
		if err == nil {
			r, err = h.WaitReported(limited, bundledChecks...)
		}
		cancel()
		end(h)
		if err != nil {
			return nil, err
		}
		serving, reported = append(serving, s), append(reported, r)
	}
	note := fmt.Sprintf("%d starts", b.starts)
	figures := []figure{
		atMost("start_listening_median", "exec until HTTP answers", ms(rig.Median(serving)), 1000, "ms"),
		atMost("start_listening_max", "exec until HTTP answers", ms(slices.Max(serving)), 1000, "ms"),
		atMost("start_report_median", "exec until the first complete health report", ms(rig.Median(reported)), 1000, "ms"),
		atMost("start_report_max", "exec until the first complete health report", ms(slices.Max(reported)), 1000, "ms"),
	}
	for i := range figures {
		figures[i].Note = note
	}
	return figures, nil
}

// hubKill: kill -9 of the hub, again and again, under a steady load of connects.
func (b *bench) hubKill(ctx context.Context) ([]figure, error) {
	h, err := b.host(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer end(h)
	load := rig.StartLoad(h.Port, connectsPerSecond)
	defer load.Stop()
	var took []time.Duration
	for range b.kills {
		if err := pause(ctx, b.gap); err != nil {
			return nil, err
		}
		_, answered, err := hit(ctx, h, syscall.SIGKILL)
		if err != nil {
			return nil, err
		}
		took = append(took, answered)
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	c := load.Stop()
	d, err := h.Diagnostics(ctx)
	if err != nil {
		return nil, err
	}
	rate := float64(c.Started) / (float64(b.kills)*b.gap.Seconds() + 2)
	return []figure{
		atMost("hub_kill_median", fmt.Sprintf("kill -9 until HTTP answers, %d kills %s apart", b.kills, b.gap), ms(rig.Median(took)), 100, "ms"),
		atMost("hub_kill_max", "the slowest of them", ms(slices.Max(took)), 500, "ms"),
		atMost("hub_kill_refused", fmt.Sprintf("connects refused, of %d at %.0f/s", c.Started, rate), float64(c.Refused), 0, ""),
		atMost("hub_kill_timed_out", "connects without an answer within 10 s, or with a wrong one", float64(c.TimedOut+c.Other), 0, ""),
		told("hub_kill_reset", "connects that broke because the hub died under them", float64(c.Reset), ""),
		told("hub_kill_slowest_connect", "slowest connect that succeeded", ms(c.Slowest), "ms"),
		atMost("hub_kill_recoveries", "recovery actions meanwhile: supervision alone must do", float64(len(d.Attempts())), 0, ""),
	}, nil
}

// hubFreeze: SIGSTOP of the hub, under load.
func (b *bench) hubFreeze(ctx context.Context) ([]figure, error) {
	h, err := b.host(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer end(h)
	load := rig.StartLoad(h.Port, connectsPerSecond)
	defer load.Stop()
	var noticed, took []time.Duration
	for range max(2, b.kills/4) {
		if err := pause(ctx, b.gap); err != nil {
			return nil, err
		}
		gone, answered, err := hit(ctx, h, syscall.SIGSTOP)
		if err != nil {
			return nil, err
		}
		noticed, took = append(noticed, gone), append(took, answered)
	}
	c := load.Stop()
	d, err := h.Diagnostics(ctx)
	if err != nil {
		return nil, err
	}
	return []figure{
		atMost("hub_freeze_noticed_max", fmt.Sprintf("SIGSTOP until the hub is killed, slowest of %d", len(took)), ms(slices.Max(noticed)), 2000, "ms"),
		atMost("hub_freeze_median", "SIGSTOP until HTTP answers", ms(rig.Median(took)), 2500, "ms"),
		atMost("hub_freeze_max", "the slowest of them", ms(slices.Max(took)), 2500, "ms"),
		atMost("hub_freeze_refused", fmt.Sprintf("connects refused, of %d", c.Started), float64(c.Refused), 0, ""),
		atMost("hub_freeze_recoveries", "recovery actions meanwhile", float64(len(d.Attempts())), 0, ""),
	}, nil
}

// pluginKill: kill -9 of each plugin.
func (b *bench) pluginKill(ctx context.Context) ([]figure, error) {
	var noticed, replaced []time.Duration
	for range b.pluginRuns {
		h, err := b.host(ctx, nil)
		if err != nil {
			return nil, err
		}
		for _, name := range rig.BundledPlugins {
			old, err := h.Plugin(name)
			if err != nil {
				end(h)
				return nil, err
			}
			since := time.Now()
			err = old.Signal(syscall.SIGKILL)
			limited, cancel := context.WithTimeout(ctx, 20*time.Second)
			var n, r time.Duration
			if err == nil {
				n, r, err = h.WaitPluginReplaced(limited, name, old, since)
			}
			cancel()
			if err != nil {
				end(h)
				return nil, err
			}
			noticed, replaced = append(noticed, n), append(replaced, r)
		}
		end(h)
	}
	what := fmt.Sprintf("kill -9 of a plugin, %d times", len(noticed))
	return []figure{
		atMost("plugin_kill_noticed_max", what+", until host shows it", ms(slices.Max(noticed)), 20, "ms"),
		atMost("plugin_kill_noticed_median", what+", until host shows it", ms(rig.Median(noticed)), 10, "ms"),
		atMost("plugin_kill_replaced_median", what+", until the next one works", ms(rig.Median(replaced)), 300, "ms"),
		atMost("plugin_kill_replaced_max", what+", until the next one works", ms(slices.Max(replaced)), 300, "ms"),
	}, nil
}

// clientsBack: 100 stock clients after kill -9 of the hub.
func (b *bench) clientsBack(ctx context.Context) ([]figure, error) {
	if err := rig.Require(ctx, b.root); err != nil {
		return nil, err
	}
	h, err := b.host(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer end(h)
	d, err := rig.DriveNode(b.root)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	const clients = 100
	connect := func(n rig.Note) bool { return n.What == "connect" }
	for i := range clients {
		if err := d.Open(ctx, rig.Open{Client: fmt.Sprint("c", i), URL: h.Base(), Transport: "websocket"}); err != nil {
			return nil, err
		}
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := d.WaitNotes(limited, 0, clients, connect); err != nil {
		return nil, err
	}
	var took []time.Duration
	for range b.returns {
		if err := pause(ctx, b.gap); err != nil {
			return nil, err
		}
		mark := d.Mark()
		hub, err := h.Hub()
		if err != nil {
			return nil, err
		}
		since := time.Now()
		if err := hub.Signal(syscall.SIGKILL); err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		back, err := d.WaitNotes(limited, mark, clients, connect)
		cancel()
		if err != nil {
			return nil, err
		}
		took = append(took, back[len(back)-1].At().Sub(since))
	}
	return []figure{
		atMost("clients_back_max", fmt.Sprintf("kill -9 until the last of 100 stock clients is back, slowest of %d; they wait 0.5–1.5 s themselves", b.returns), ms(slices.Max(took)), 2500, "ms"),
	}, nil
}

// cost: what watching costs while nothing happens.
func (b *bench) cost(ctx context.Context) ([]figure, error) {
	h, err := b.host(ctx, nil)
	if err != nil {
		return nil, err
	}
	idle, _, err := b.use(ctx, h, b.idle)
	if err != nil {
		end(h)
		return nil, err
	}
	var rss [3]float64 // of host, hub, plugins
	for i, s := range h.Family() {
		rss[min(i, 2)] += float64(s.RSS) / (1 << 20)
	}
	end(h)
	// The cost of a round: many rounds, less what is used without any.
	interval := time.Second
	h, err = b.host(ctx, map[string]any{"health_monitoring": map[string]any{"check_interval": interval.Seconds()}})
	if err != nil {
		return nil, err
	}
	defer end(h)
	before, err := h.Diagnostics(ctx)
	if err != nil {
		return nil, err
	}
	busy, elapsed, err := b.use(ctx, h, b.checkRounds)
	if err != nil {
		return nil, err
	}
	after, err := h.Diagnostics(ctx)
	if err != nil {
		return nil, err
	}
	sequence := []string{"health", "current_status", "sequence"} // one report a round
	rounds := after.Number(sequence...) - before.Number(sequence...)
	if rounds < 1 {
		return nil, fmt.Errorf("no round of checks was seen in %s", elapsed)
	}
	// perRound is what one round costs those processes, in ms.
	perRound := func(who ...int) float64 {
		var spent float64
		for _, i := range who {
			spent += busy[i].Seconds() - idle[i].Seconds()*elapsed.Seconds()/b.idle.Seconds()
		}
		return math.Round(max(0, spent*1000/rounds)*100) / 100
	}
	percent := func(d time.Duration) float64 { return math.Round(d.Seconds()/b.idle.Seconds()*10000) / 100 }
	figures := []figure{
		atMost("check_round_cpu", fmt.Sprintf("CPU of one round of all checks, host and plugins, mean of %.0f", rounds), perRound(0, 2), 10, "ms"),
		told("check_round_hub_cpu", "what the round costs the hub besides", perRound(1), "ms"),
		atMost("idle_host_cpu", "host, of one core, default settings, no clients", percent(idle[0]), 0.5, "%"),
		told("idle_hub_cpu", "hub, of one core", percent(idle[1]), "%"),
		told("idle_plugins_cpu", "all plugins, of one core", percent(idle[2]), "%"),
		atMost("idle_host_rss", "resident memory of host", math.Round(rss[0]*10)/10, 40, "MB"),
		told("idle_hub_rss", "resident memory of the hub", math.Round(rss[1]*10)/10, "MB"),
		told("idle_plugins_rss", fmt.Sprintf("resident memory of %d plugins", len(rig.BundledPlugins)), math.Round(rss[2]*10)/10, "MB"),
	}
	return figures, nil
}

// use measures the CPU that host, hub and plugins take over a while.
func (b *bench) use(ctx context.Context, h *rig.Host, over time.Duration) (cpu [3]time.Duration, elapsed time.Duration, err error) {
	family := h.Family()
	if len(family) != 2+len(rig.BundledPlugins) {
		return cpu, 0, fmt.Errorf("host has %d processes, want itself, the hub and %d plugins", len(family), len(rig.BundledPlugins))
	}
	began := time.Now()
	if err := pause(ctx, over); err != nil {
		return cpu, 0, err
	}
	elapsed = time.Since(began)
	for i, before := range family {
		after, err := rig.ReadStat(before.PID)
		if err != nil || after.Start != before.Start {
			return cpu, elapsed, fmt.Errorf("process %d ended while it was measured", before.PID)
		}
		cpu[min(i, 2)] += after.CPU - before.CPU
	}
	return cpu, elapsed, nil
}

// falseAlarm: all cores are kept busy by others; nothing may be killed or
// recovered, since nothing is ill.
func (b *bench) falseAlarm(ctx context.Context) ([]figure, error) {
	h, err := b.host(ctx, map[string]any{"health_monitoring": map[string]any{"check_interval": 5}})
	if err != nil {
		return nil, err
	}
	defer end(h)
	var burners []*exec.Cmd
	defer func() {
		for _, c := range burners {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}()
	for range runtime.NumCPU() {
		c := exec.CommandContext(ctx, "sh", "-c", "while :; do :; done")
		if err := c.Start(); err != nil {
			return nil, err
		}
		burners = append(burners, c)
	}
	before := h.Started()
	load := rig.StartLoad(h.Port, 20)
	defer load.Stop()
	if err := pause(ctx, b.falseAlarms); err != nil {
		return nil, err
	}
	c := load.Stop()
	replaced := 0
	for _, s := range before {
		if !s.Alive() {
			replaced++
		}
	}
	d, err := h.Diagnostics(ctx)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("in %s with %d busy cores and 20 connects/s", b.falseAlarms, runtime.NumCPU())
	return []figure{
		atMost("false_hub_kills", "hubs replaced "+what, d.Number("hub", "restarts"), 0, ""),
		atMost("false_recoveries", "recovery actions "+what, float64(len(d.Attempts())), 0, ""),
		atMost("false_replacements", "processes of host's replaced "+what, float64(replaced), 0, ""),
		atMost("busy_refused", fmt.Sprintf("connects without success, of %d", c.Started), float64(c.Started-c.Connected), 0, ""),
		told("busy_slowest_connect", "slowest connect meanwhile", ms(c.Slowest), "ms"),
	}, nil
}

// sameBytes: what a stranger builds elsewhere, with nothing of ours in any
// cache, is byte for byte what is here.
func (b *bench) sameBytes(ctx context.Context) ([]figure, error) {
	copied := filepath.Join(b.tmp, "elsewhere", "of another name")
	if err := os.MkdirAll(copied, 0o755); err != nil {
		return nil, err
	}
	tar := exec.CommandContext(ctx, "sh", "-c", `git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -cf - | tar -C "$1" -xf -`, "sh", copied)
	tar.Dir = b.root
	if out, err := tar.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy the sources: %w: %s", err, out)
	}
	if err := rig.Build(ctx, b.root); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "make", "build")
	build.Dir = copied
	build.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "GOCACHE="+filepath.Join(b.tmp, "cache"))
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make build elsewhere: %w: %s", err, out)
	}
	differ := 0
	binaries := []string{"bin/host"}
	for _, p := range rig.BundledPlugins {
		binaries = append(binaries, filepath.Join("plugins", p, p))
	}
	for _, path := range binaries {
		here, err := os.ReadFile(filepath.Join(b.root, path))
		if err != nil {
			return nil, err
		}
		there, err := os.ReadFile(filepath.Join(copied, path))
		if err != nil {
			return nil, err
		}
		if !slices.Equal(here, there) {
			differ++
		}
	}
	return []figure{
		atMost("builds_differ", fmt.Sprintf("of %d binaries built twice, in folders of other names, once without any cache", len(binaries)), float64(differ), 0, ""),
	}, nil
}
