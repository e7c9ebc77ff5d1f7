package httpapi

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/recovery"
)

func TestMetricsSatisfyTheLinter(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(collector{moment: w.handler().(*api).moment(), goVersion: "go1.26"})
		problems, err := testutil.GatherAndLint(registry)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		if n, err := testutil.GatherAndCount(registry, "upkeep_metric"); err != nil || n != 6 {
			t.Errorf("%d series of upkeep_metric (%v), want 6: texts are no numbers", n, err)
		}
	})
}

func TestTheProcessItselfIsMeasuredToo(t *testing.T) {
	body := ask(still(Snapshot{}, Options{}), "GET", "/metrics").Body.String()
	for _, want := range []string{"go_goroutines ", "process_start_time_seconds ", "socketio_health_status 0\n"} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("%q is missing in /metrics", want)
		}
	}
}

func TestTheNumberOfHealthFollowsTheMoment(t *testing.T) {
	for status, want := range map[health.Status]string{
		health.Healthy: "socketio_health_status 1\n", health.Warning: "socketio_health_status 2\n", health.Critical: "socketio_health_status 3\n",
	} {
		inWorld(t, func(t *testing.T, w *world) {
			w.status = status
			w.monitor.Wake()
			synctest.Wait()
			if body := w.get("/metrics").Body.String(); !strings.Contains(body, want) {
				t.Errorf("%s: %q is missing", status, want)
			}
		})
	}
}

// hostile is a host whose plugins, checks and clients choose the worst names.
func hostile() *world {
	w := newWorld()
	opts := monitor.DefaultOptions()
	opts.Checks = func() []monitor.Check {
		return []monitor.Check{{Name: "bad\xff\n\"check\"", Checker: says(func() (health.Result, error) {
			res := health.Result{Status: health.Healthy}
			add := func(name string, labels map[string]string) {
				res.Metrics = append(res.Metrics, health.Metric{Name: name, Labels: labels, Value: health.Number(1), Status: health.Healthy})
			}
			add("twin", nil)
			add("twin", nil)
			add("a\xffb\n", map[string]string{"check": "mine", "metric": "mine", "__name__": "x", "9 lives": "y", "": "z", "ü": "u"})
			add("same", map[string]string{"a-b": "1", "a.b": "2", "label_a_b": "3"})
			add("long", map[string]string{"text": strings.Repeat("ü", 10_000)})
			many := map[string]string{}
			for i := range 100 {
				many[fmt.Sprintf("l%02d", i)] = "v"
			}
			add("many", many)
			for i := range 3 * maxSeries {
				add("flood", map[string]string{"i": fmt.Sprint(i)})
			}
			return res, nil
		})}}
	}
	w.monitor = monitor.New(opts)
	w.snapshot.Plugins = []Plugin{{Name: "p\xff", State: "odd\xff", Kind: "k\xff", Version: "v\xff"}, {Name: "p\xff"}}
	w.snapshot.Hub.Statistics.ClientVersions = map[string]string{"sid": "client-chosen-text"}
	w.snapshot.Recovery.Counts = map[ActionOutcome]uint64{{recovery.Action("own\xff"), recovery.Cured}: 2}
	return w
}

func TestNoNameThatAPluginChoosesBreaksTheScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := hostile()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.monitor.Run(ctx) }()
		synctest.Wait()
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(collector{moment: w.handler().(*api).moment(), goVersion: "go1.26"})
		if n, err := testutil.GatherAndCount(registry, "upkeep_metric"); err != nil || n != maxSeries {
			t.Errorf("%d series of upkeep_metric (%v), want the bound of %d", n, err, maxSeries)
		}
		rec := w.get("/metrics")
		body := rec.Body.String()
		if rec.Code != 200 || strings.Contains(body, "client-chosen-text") || strings.Contains(body, "\xff") {
			t.Errorf("code %d; a client's text is a label: %v", rec.Code, strings.Contains(body, "client-chosen-text"))
		}
		for _, want := range []string{
			`upkeep_metric{check="bad?\n\"check\"",metric="twin"} 1`,
			`label_check="mine"`, `label_metric="mine"`, `name__="x"`, `label_9_lives="y"`,
			`upkeep_plugin_state{plugin="p?",state="odd?"} 1`,
			`upkeep_recoveries_total{action="own?",outcome="cured"} 2`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s is missing", want)
			}
		}
		for line := range strings.Lines(body) {
			if len(line) > 2000 {
				t.Errorf("a line of %d bytes: %.200s", len(line), line)
			}
		}
		if rec := w.get("/diagnostics"); rec.Code != 200 || decode(t, rec)["schema_version"] != 1.0 {
			t.Errorf("/diagnostics gives %d", rec.Code)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStaleMeasurementsAreNotShown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		synctest.Wait()
		if !strings.Contains(w.get("/metrics").Body.String(), "upkeep_metric{") {
			t.Fatal("nothing is measured while the results are fresh")
		}
		time.Sleep(40 * time.Second) // in the bubble
		body := w.get("/metrics").Body.String()
		if strings.Contains(body, "upkeep_metric{") || !strings.Contains(body, "upkeep_monitor_stale 1\n") ||
			!strings.Contains(body, `upkeep_check_status{check="process_resources",status="unknown"} 1`) {
			t.Errorf("stale results are shown as fresh:\n%s", body)
		}
	})
}
