package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/sdk"
	"github.com/upkeephub/upkeep/sdk/checkertest"
)

func TestTheCheckerKeepsTheContract(t *testing.T) {
	checkertest.Run(t, newChecker(), checkertest.Info(info), checkertest.Settings(map[string]any{
		"thresholds": map[string]any{"cpu_percent": 50, "memory_mb": 1e6, "file_descriptors": 10},
	}))
}

const hub, host = 100, 50

var start = time.Unix(1_700_000_000, 0)

// fine is a process with nothing remarkable about it.
func fine() process {
	ok := func(n float64) reading { return reading{value: n} }
	return process{
		state: "sleep", cpu: ok(10), memory: ok(100 * megabyte), virtual: ok(1000 * megabyte), descriptors: ok(20), threads: ok(8),
		start: ok(seconds(start)), at: start.Add(time.Hour),
	}
}

// rig is a checker of a table of processes, with 2 CPUs.
func rig(processes map[int]process) *checker {
	c := newChecker()
	c.cpus = func() float64 { return 2 }
	c.pause = func(context.Context, time.Duration) error { return nil }
	c.look = func(_ context.Context, pid int) (process, error) {
		p, ok := processes[pid]
		if !ok {
			return process{}, errNoProcess
		}
		return p, nil
	}
	return c
}

func request() sdk.Request {
	return sdk.Request{
		Target:     sdk.Target{HubPID: hub, HostPID: host},
		Statistics: &sdk.Statistics{ClientDescriptors: 15},
		// A sample from 30 s ago, so that nothing is measured within the check.
		Samples: []sdk.Sample{sample(30*time.Second, 10)},
	}
}

// sample of both processes, taken a while before the check.
func sample(age time.Duration, cpu float64) sdk.Sample {
	counters := map[string]float64{}
	for role, pid := range map[string]int{"hub": hub, "host": host} {
		p := fine()
		p.cpu.value, p.at = cpu, p.at.Add(-age)
		(&subject{role: role, pid: pid, process: p}).count(counters)
	}
	return sdk.Sample{Counters: counters}
}

func check(t testing.TB, c *checker, r sdk.Request) map[string]sdk.Metric {
	t.Helper()
	result, err := c.Check(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]sdk.Metric{"message": {Message: result.Message}}
	for _, m := range result.Metrics {
		name := m.Name
		if p := m.Labels["process"]; p != "" {
			name = p + " " + name
		}
		if _, twice := metrics[name]; twice {
			t.Errorf("metric %s is there twice", name)
		}
		metrics[name] = m
	}
	return metrics
}

func TestEachMetricIsJudgedByItsThreshold(t *testing.T) {
	for _, c := range []struct {
		change func(hub *process)
		metric string
		value  string
		want   sdk.Status
		why    string
	}{
		{func(p *process) {}, metricStatus, "sleep", sdk.Healthy, "a sleeping process is ready to work"},
		{func(p *process) { p.state, p.stopped = "stop", true }, metricStatus, "stop", sdk.Critical, "a stopped process does nothing"},
		{func(p *process) { p.memory.value = 500 * megabyte }, metricMemory, "500", sdk.Healthy, "equal to the threshold"},
		{func(p *process) { p.memory.value = 501 * megabyte }, metricMemory, "501", sdk.Warning, "over 500 MB"},
		{func(p *process) { p.memory.value = 600 * megabyte }, metricMemory, "600", sdk.Critical, "1.2 times 500 MB"},
		{func(p *process) { p.descriptors.value = 1015 }, metricDescriptors, "1000", sdk.Healthy, "the sockets of 15 clients do not count"},
		{func(p *process) { p.descriptors.value = 1016 }, metricDescriptors, "1001", sdk.Warning, "over 1000 without them"},
		{func(p *process) { p.descriptors.value = 1215 }, metricDescriptors, "1200", sdk.Critical, "1.2 times 1000 without them"},
		{func(p *process) { p.descriptors.value = 5 }, metricDescriptors, "0", sdk.Healthy, "never below 0"},
		{func(p *process) { p.cpu.value = 10 + 48 }, metricCPU, "80", sdk.Healthy, "48 s of 2 CPUs in 30 s are 80 %"},
		{func(p *process) { p.cpu.value = 10 + 57 }, metricCPU, "95", sdk.Warning, "95 % is over 80 % and below 96 %"},
		{func(p *process) { p.cpu.value = 10 + 57.6 }, metricCPU, "96", sdk.Critical, "1.2 times 80 %"},
		{func(p *process) { p.cpu.value = 10 + 90 }, metricCPU, "100", sdk.Critical, "clocks of different grain cannot make more than all"},
		{func(p *process) { p.virtual.value = 1e6 * megabyte }, metricVirtual, "1e+06", sdk.Healthy, "virtual memory has no threshold"},
		{func(p *process) { p.threads.value = 1e4 }, metricThreads, "10000", sdk.Healthy, "threads have no threshold"},
		{func(p *process) {}, metricStart, "1.7e+09", sdk.Healthy, "the start is a fact"},
		{func(p *process) { p.memory.err = errors.New("no access") }, metricMemory, "", sdk.Unknown, "what cannot be read is unknown"},
		{func(p *process) { p.descriptors.err = errors.New("no access") }, metricDescriptors, "", sdk.Unknown, "what cannot be read is unknown"},
		{func(p *process) { p.cpu.err = errors.New("no access") }, metricCPU, "", sdk.Unknown, "what cannot be read is unknown"},
		{func(p *process) { p.stateErr = errors.New("no access") }, metricStatus, "", sdk.Unknown, "what cannot be read is unknown"},
		{func(p *process) { *p = unreadable(errors.New("no access")) }, metricThreads, "", sdk.Unknown, "nothing can be read"},
	} {
		p := fine()
		c.change(&p)
		got := check(t, rig(map[int]process{hub: p, host: fine()}), request())
		m := got[c.metric]
		if m.Status != c.want || roughly(m.Value) != c.value {
			t.Errorf("%s is %v (%v), want %s (%v): %s", c.metric, m.Value, m.Status, c.value, c.want, c.why)
		}
		if m.Status == sdk.Unknown && !strings.Contains(m.Message, "no access") {
			t.Errorf("%s is unknown and says %q: want the reason", c.metric, m.Message)
		}
		for name, other := range got {
			if strings.HasPrefix(name, "host ") && other.Status != sdk.Healthy {
				t.Errorf("%s is %v when only the hub changed: %s", name, other.Status, c.why)
			}
		}
	}
}

func roughly(v sdk.Value) string {
	if n, ok := v.Number(); ok {
		return fmt.Sprintf("%.6g", n)
	}
	return v.String()
}

func TestTheHostIsJudgedUnderItsOwnLabel(t *testing.T) {
	p := fine()
	p.memory.value = 600 * megabyte
	got := check(t, rig(map[int]process{hub: fine(), host: p}), request())
	if m := got["host "+metricMemory]; m.Status != sdk.Critical {
		t.Errorf("memory of the host is %v, want critical", m.Status)
	}
	if m := got[metricMemory]; m.Status != sdk.Healthy {
		t.Errorf("memory of the hub is %v, want healthy", m.Status)
	}
	if _, there := got["host "+metricDescriptors]; there {
		t.Error("file descriptors of the host are counted: they are the hub's matter")
	}
}

func TestOnlyCPUIsLoad(t *testing.T) {
	for name, m := range check(t, rig(map[int]process{hub: fine(), host: fine()}), request()) {
		if want := m.Name == metricCPU; m.Load != want {
			t.Errorf("%s: load is %v, want %v", name, m.Load, want)
		}
	}
}

func TestAHubThatIsNotThereIsCritical(t *testing.T) {
	zombie := fine()
	zombie.zombie, zombie.state = true, "zombie"
	for _, c := range []struct {
		processes map[int]process
		pid       int
		message   string
		why       string
	}{
		{map[int]process{host: fine()}, 0, "no hub is running", "host says so"},
		{map[int]process{host: fine()}, hub, "process 100, is gone", "its process has ended"},
		{map[int]process{host: fine(), hub: zombie}, hub, "waits to be reaped", "a zombie is no process any more"},
	} {
		r := request()
		r.Target.HubPID = c.pid
		got := check(t, rig(c.processes), r)
		m := got[metricExists]
		if flag, ok := m.Value.Flag(); !ok || flag || m.Status != sdk.Critical || m.Message == "" {
			t.Errorf("%s is %v (%v, %q), want false and critical: %s", metricExists, m.Value, m.Status, m.Message, c.why)
		}
		if !strings.Contains(got["message"].Message, c.message) {
			t.Errorf("the message is %q, want %q: %s", got["message"].Message, c.message, c.why)
		}
		if _, there := got[metricMemory]; there {
			t.Errorf("a hub that is not there has memory: %s", c.why)
		}
		if m := got["host "+metricMemory]; m.Status != sdk.Healthy {
			t.Errorf("the host's memory is %v, want healthy: %s", m.Status, c.why)
		}
	}
	if _, there := check(t, rig(map[int]process{hub: fine(), host: fine()}), request())[metricExists]; there {
		t.Errorf("%s is there although the hub runs", metricExists)
	}
}

func TestAnEarlierUsageIsChosenForTheMean(t *testing.T) {
	now := usage{pid: hub, start: seconds(start), cpu: 100, at: seconds(fine().at)}
	for _, c := range []struct {
		samples []sdk.Sample
		age     float64 // seconds; 0: none
		why     string
	}{
		{nil, 0, "there is no sample"},
		{[]sdk.Sample{sample(500*time.Millisecond, 1)}, 0, "half a second is too short"},
		{[]sdk.Sample{sample(time.Second, 1)}, 1, "a second will do when there is nothing longer"},
		{[]sdk.Sample{sample(20*time.Second, 1), sample(2*time.Second, 1)}, 20, "the oldest of those below 30 s"},
		{[]sdk.Sample{sample(200*time.Second, 1), sample(31*time.Second, 1), sample(2*time.Second, 1)}, 31, "the newest of those from 30 s on"},
		{[]sdk.Sample{sample(30*time.Second, 1)}, 30, "30 s exactly"},
		{[]sdk.Sample{sample(30*time.Second, 101)}, 0, "CPU time never falls: another process"},
		{[]sdk.Sample{other(hub+1, start), other(hub, start.Add(time.Minute))}, 0, "another pid, and the same pid started later"},
		{[]sdk.Sample{other(hub, start.Add(time.Second))}, 30, "a second is the grain of the start time"},
		{[]sdk.Sample{{Counters: map[string]float64{"x": 1}}, {}}, 0, "counters of something else"},
		{[]sdk.Sample{sample(-10*time.Second, 1)}, 0, "a sample from the future"},
	} {
		got, ok := baseline("hub", now, c.samples)
		if ok != (c.age > 0) || ok && math.Abs(now.at-got.at-c.age) > 1e-3 {
			t.Errorf("baseline is %.3f s old (%v), want %v s: %s", now.at-got.at, ok, c.age, c.why)
		}
	}
}

// other is a sample, 30 s old, of another process in the hub's place.
func other(pid int, started time.Time) sdk.Sample {
	p := fine()
	p.at = p.at.Add(-30 * time.Second)
	p.start.value = seconds(started)
	counters := map[string]float64{}
	(&subject{role: "hub", pid: pid, process: p}).count(counters)
	return sdk.Sample{Counters: counters}
}

func TestWithoutAPastTheCPUIsMeasuredWithinTheCheck(t *testing.T) {
	c := rig(nil)
	looks := map[int]int{}
	c.look = func(_ context.Context, pid int) (process, error) {
		p := fine()
		if looks[pid]++; looks[pid] == 2 { // 0.1 s of 2 CPUs in 0.1 s
			p.cpu.value += 0.1
			p.at = p.at.Add(within)
		}
		return p, nil
	}
	var paused time.Duration
	c.pause = func(_ context.Context, d time.Duration) error { paused += d; return nil }
	r := request()
	r.Samples = nil
	got := check(t, c, r)
	for _, name := range []string{metricCPU, "host " + metricCPU} {
		if n, _ := got[name].Value.Number(); math.Abs(n-50) > 0.1 {
			t.Errorf("%s is %v, want 50", name, got[name].Value)
		}
	}
	if paused != within {
		t.Errorf("paused for %v, want %v once for both processes", paused, within)
	}
}

func TestAProcessThatEndsWithinTheCheckHasNoCPU(t *testing.T) {
	c := rig(nil)
	looks := 0
	c.look = func(_ context.Context, pid int) (process, error) {
		if looks++; looks > 2 {
			return process{}, errNoProcess
		}
		return fine(), nil
	}
	r := request()
	r.Samples = nil
	if m := check(t, c, r)[metricCPU]; m.Status != sdk.Unknown || !m.Value.Empty() {
		t.Errorf("CPU is %v (%v), want unknown", m.Value, m.Status)
	}
}

func TestTheRealProcessIsRead(t *testing.T) {
	self := os.Getpid()
	result, err := newChecker().Check(t.Context(), sdk.Request{Target: sdk.Target{HubPID: self, HostPID: self}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range result.Metrics {
		if m.Value.Empty() {
			t.Errorf("%s of this process is unknown: %s", m.Name, m.Message)
		}
		if n, ok := m.Value.Number(); ok && n <= 0 && m.Name != metricCPU {
			t.Errorf("%s of this process is %v, want more than 0", m.Name, n)
		}
	}
	p, err := lookAt(t.Context(), self)
	if err != nil {
		t.Fatal(err)
	}
	if began := time.Unix(int64(p.start.value), 0); time.Since(began) > time.Hour || time.Until(began) > 5*time.Second {
		t.Errorf("this process started at %v, want within the last hour", began)
	}
	for _, pid := range []int{math.MaxInt32, math.MaxInt32 + 1} {
		if _, err := lookAt(t.Context(), pid); err != errNoProcess {
			t.Errorf("process %d: %v, want %v", pid, err, errNoProcess)
		}
	}
}

func TestTheQuotaOfAControlGroupLimitsTheCPUs(t *testing.T) {
	for _, c := range []struct {
		membership string
		files      map[string]string
		want       float64
		why        string
	}{
		{"0::/\n", nil, math.Inf(1), "no limit is set"},
		{"0::/app\n", map[string]string{"app/cpu.max": "150000 100000\n"}, 1.5, "version 2"},
		{"0::/app\n", map[string]string{"app/cpu.max": "max 100000\n"}, math.Inf(1), "version 2 without limit"},
		{"4:cpu,cpuacct:/app\n", map[string]string{"cpu,cpuacct/app/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/app/cpu.cfs_period_us": "100000\n"}, 0.5, "version 1"},
		{"1:cpu:/\n", map[string]string{"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.Inf(1), "version 1 without limit"},
		{"2:cpuset:/\n", map[string]string{"cpuset/cpu.cfs_quota_us": "1\n"}, math.Inf(1), "another controller"},
		{"0::/\n", map[string]string{"cpu.max": "a b c"}, math.Inf(1), "garbage"},
		{"garbage", nil, math.Inf(1), "garbage"},
	} {
		root := t.TempDir()
		files := map[string]string{"membership": c.membership}
		maps.Copy(files, c.files)
		for name, text := range files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := cpuQuota(filepath.Join(root, "membership"), root); got != c.want {
			t.Errorf("%q allows %v CPUs, want %v: %s", c.membership, got, c.want, c.why)
		}
	}
	if got := cpuQuota(filepath.Join(t.TempDir(), "none"), ""); !math.IsInf(got, 1) {
		t.Errorf("without control groups %v CPUs, want no limit", got)
	}
	if got := usableCPUs(); got <= 0 || math.IsInf(got, 0) {
		t.Errorf("%v CPUs are usable here", got)
	}
}
