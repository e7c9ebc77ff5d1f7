package main

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upkeephub/upkeep/sdk"
	"github.com/upkeephub/upkeep/sdk/checkertest"
)

func TestTheCheckerKeepsTheContract(t *testing.T) {
	checkertest.Run(t, newChecker(), checkertest.Info(info), checkertest.Settings(map[string]any{
		"thresholds": map[string]any{"max_clients": 5, "error_rate": 0.5},
	}))
}

var now = time.Unix(1_700_000_000, 0)

// at is a sample from a while ago.
func at(age time.Duration, processed, failed float64) sdk.Sample {
	return sdk.Sample{Counters: map[string]float64{
		counterProcessed: processed, counterFailed: failed, counterTaken: seconds(now.Add(-age)),
	}}
}

func look(t testing.TB, s sdk.Statistics, samples ...sdk.Sample) map[string]sdk.Metric {
	t.Helper()
	if s.TakenAt.IsZero() {
		s.TakenAt = now
	}
	result, err := newChecker().Check(t.Context(), sdk.Request{Now: now, Statistics: &s, Samples: samples})
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]sdk.Metric{}
	for _, m := range result.Metrics {
		metrics[m.Name] = m
	}
	return metrics
}

func TestClientsAreJudgedByTheirMaximum(t *testing.T) {
	for _, c := range []struct {
		clients int64
		want    sdk.Status
		why     string
	}{
		{0, sdk.Healthy, "nobody is there"},
		{800, sdk.Healthy, "0.8 times the maximum"},
		{801, sdk.Warning, "over 0.8 times the maximum"},
		{1000, sdk.Warning, "the maximum itself"},
		{1001, sdk.Critical, "over the maximum"},
	} {
		if m := look(t, sdk.Statistics{ConnectedClients: c.clients})[metricClients]; m.Status != c.want || *m.Threshold != 800 {
			t.Errorf("%d clients are %v (threshold %v), want %v (800): %s", c.clients, m.Status, *m.Threshold, c.want, c.why)
		}
	}
}

func TestTheErrorRateCountsWhatFailedWithinTheWindow(t *testing.T) {
	for _, c := range []struct {
		processed, failed uint64
		samples           []sdk.Sample
		rate              float64
		want              sdk.Status
		why               string
	}{
		{100, 20, []sdk.Sample{at(60*time.Second, 0, 0)}, 20.0 / 120, sdk.Critical, "20 failures beside 100 events are over 0.1"},
		{90, 10, []sdk.Sample{at(60*time.Second, 0, 0)}, 0.1, sdk.Warning, "0.1 itself is a warning"},
		{95, 5, []sdk.Sample{at(60*time.Second, 0, 0)}, 0.05, sdk.Healthy, "half of it is healthy"},
		{94, 6, []sdk.Sample{at(60*time.Second, 0, 0)}, 0.06, sdk.Warning, "over half of it is a warning"},
		{0, 0, []sdk.Sample{at(60*time.Second, 0, 0)}, 0, sdk.Healthy, "without events nothing failed"},
		{100, 20, []sdk.Sample{at(60*time.Second, 100, 20)}, 0, sdk.Healthy, "old errors are over"},
		{100, 20, []sdk.Sample{at(301*time.Second, 0, 0), at(30*time.Second, 100, 20)}, 0, sdk.Healthy, "what is older than 300 s is out of the window"},
		{100, 20, []sdk.Sample{at(300*time.Second, 0, 0), at(30*time.Second, 100, 20)}, 20.0 / 120, sdk.Critical, "300 s are within it"},
		{100, 20, nil, 0, sdk.Healthy, "without a past nothing is known to be recent"},
		{100, 20, []sdk.Sample{at(60*time.Second, 500, 0), at(30*time.Second, 0, 20)}, 0, sdk.Healthy, "a counter that fell is of another history"},
		{100, 20, []sdk.Sample{at(0, 0, 0)}, 0, sdk.Healthy, "a sample of the same moment is none"},
		{100, 20, []sdk.Sample{{}}, 0, sdk.Healthy, "a sample of something else is none"},
		{0, 1, []sdk.Sample{at(60*time.Second, 0, 0)}, 1, sdk.Warning, "one failure alone is no proof"},
		{8, 1, []sdk.Sample{at(60*time.Second, 0, 0)}, 1.0 / 9, sdk.Warning, "nine events are too few to be critical"},
		{8, 2, []sdk.Sample{at(60*time.Second, 0, 0)}, 0.2, sdk.Critical, "ten are enough"},
	} {
		m := look(t, sdk.Statistics{EventsProcessed: c.processed, EventsFailed: c.failed}, c.samples...)[metricErrorRate]
		if rate, _ := m.Value.Number(); rate != c.rate || m.Status != c.want || m.Load {
			t.Errorf("error rate is %v (%v, load %v), want %v (%v): %s", rate, m.Status, m.Load, c.rate, c.want, c.why)
		}
	}
}

func TestALogThatCannotBeWrittenIsCriticalAndLeadsToNoAction(t *testing.T) {
	if m := look(t, sdk.Statistics{})[metricLog]; m.Status != sdk.Healthy || !m.Load {
		t.Errorf("a log that is written is %v (load %v)", m.Status, m.Load)
	}
	m := look(t, sdk.Statistics{LogFailure: "no space left on device"})[metricLog]
	if m.Status != sdk.Critical || !m.Load || !strings.Contains(m.Message, "no space left") {
		t.Errorf("a log that cannot be written is %v (load %v), %q; want critical, with the reason, and load", m.Status, m.Load, m.Message)
	}
}

func TestRefusedInputIsCountedAndNotJudged(t *testing.T) {
	metrics := look(t, sdk.Statistics{Errors: 1e6}, at(60*time.Second, 0, 0))
	if m := metrics[metricErrors]; m.Status != sdk.Healthy || m.Value != sdk.Number("", 1e6, 0).Value {
		t.Errorf("a million refused inputs are %v (%v), want counted and healthy", m.Value, m.Status)
	}
	if m := metrics[metricErrorRate]; m.Status != sdk.Healthy {
		t.Errorf("the error rate is %v, want healthy: the errors were not the hub's", m.Status)
	}
}

func TestTheEventRateIsTheMeanOverTheWindow(t *testing.T) {
	for _, c := range []struct {
		processed uint64
		samples   []sdk.Sample
		want      float64
		why       string
	}{
		{600, []sdk.Sample{at(60*time.Second, 0, 0)}, 10, "600 events in 60 s"},
		{600, []sdk.Sample{at(400*time.Second, 0, 0), at(200*time.Second, 200, 0), at(time.Second, 600, 0)}, 2, "from the oldest sample of the window"},
		{600, nil, 0, "without a past there is no rate"},
	} {
		m := look(t, sdk.Statistics{EventsProcessed: c.processed}, c.samples...)[metricRate]
		if rate, _ := m.Value.Number(); rate != c.want || m.Status != sdk.Healthy || !m.Load {
			t.Errorf("rate is %v (%v, load %v), want %v, healthy and load: %s", rate, m.Status, m.Load, c.want, c.why)
		}
	}
	if m := look(t, sdk.Statistics{EventsProcessed: 600})[metricEvents]; m.Value != sdk.Number("", 600, 0).Value || m.Status != sdk.Healthy {
		t.Errorf("%s is %v (%v)", metricEvents, m.Value, m.Status)
	}
}

func TestIdleIsNotIll(t *testing.T) {
	for _, idle := range []time.Duration{0, 300 * time.Second, 1800 * time.Second, 365 * 24 * time.Hour, -time.Second} {
		m := look(t, sdk.Statistics{LastActivity: now.Add(-idle)})[metricIdle]
		if n, _ := m.Value.Number(); m.Status != sdk.Healthy || !m.Load || n != max(0, idle.Seconds()) {
			t.Errorf("idle for %v: %v s are %v (load %v), want healthy and load", idle, m.Value, m.Status, m.Load)
		}
	}
	if m, there := look(t, sdk.Statistics{})[metricIdle]; there {
		t.Errorf("nobody was ever heard, yet %s is %v", metricIdle, m.Value)
	}
}

func TestStatisticsThatAreMissingOrOldAreNoAnswer(t *testing.T) {
	for _, c := range []struct {
		statistics *sdk.Statistics
		want       string
		why        string
	}{
		{nil, "has not reported yet", "there are none"},
		{&sdk.Statistics{TakenAt: now.Add(-11 * time.Second)}, "has not reported for 11 s", "they are too old"},
		{&sdk.Statistics{TakenAt: now.Add(-10 * time.Second)}, "", "10 s will do"},
		{&sdk.Statistics{TakenAt: now.Add(time.Second)}, "", "clocks of two processes may differ"},
	} {
		_, err := newChecker().Check(t.Context(), sdk.Request{Now: now, Statistics: c.statistics})
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q: %s", err, c.want, c.why)
		}
	}
}

func TestWhateverTheCountersTheMetricsAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.Uint64Range(0, 1<<53)
		counted := rapid.Float64Range(0, 1<<53) // what this checker may have written once
		s := sdk.Statistics{EventsProcessed: count.Draw(t, "processed"), EventsFailed: count.Draw(t, "failed"), TakenAt: now}
		var samples []sdk.Sample
		for range rapid.IntRange(0, 5).Draw(t, "samples") {
			samples = append(samples, at(time.Duration(rapid.Int64Range(-1e9, 4e11).Draw(t, "age")), counted.Draw(t, "p"), counted.Draw(t, "f")))
		}
		result, err := newChecker().Check(t.Context(), sdk.Request{Now: now, Statistics: &s, Samples: samples})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range result.Metrics {
			if n, ok := m.Value.Number(); !ok || n < 0 || m.Name == metricErrorRate && n > 1 {
				t.Fatalf("%s is %v", m.Name, m.Value)
			}
		}
	})
}
