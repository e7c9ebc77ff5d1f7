package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
)

// decode reads an answer as any client would.
func decode(t *testing.T, rec *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		t.Fatalf("%v in\n%s", err, rec.Body)
	}
	return body
}

func TestTheAnswersOfAHealthyHostHaveTheDocumentedShape(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		golden(t, "health.json", w.get("/health"), 200)
		golden(t, "status.json", w.get("/status"), 200)
		golden(t, "diagnostics.json", w.get("/diagnostics"), 200)
		golden(t, "metrics.txt", w.get("/metrics"), 200)
	})
}

func TestTheAnswersOfASickHostTellWhatIsDone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.status = health.Critical
		w.monitor.Wake()
		time.Sleep(time.Minute) // in the bubble: the recovery takes its course
		synctest.Wait()
		golden(t, "health_critical.json", w.get("/health"), 503)
		body := decode(t, w.get("/diagnostics"))
		rec := body["recovery"].(map[string]any)
		incident := rec["incident"].(map[string]any)
		attempt := incident["attempts"].([]any)[0].(map[string]any)
		event := rec["recent_recoveries"].([]any)[0].(map[string]any)
		decision := rec["recent_decisions"].([]any)[0].(map[string]any)
		if attempt["action"] != "clear_connections" || attempt["outcome"] != "failed" || event["success"] != false ||
			event["trigger"] != "health_check" || event["error_message"] != "the hub does not answer" || decision["verdict"] != "suppressed" {
			t.Errorf("attempt %v\nevent %v\ndecision %v", attempt, event, decision)
		}
		if body["recovery_manager"].(map[string]any)["failed_recoveries"] != 1.0 {
			t.Errorf("recovery_manager is %v, want one failed recovery", body["recovery_manager"])
		}
		golden(t, "recovery_critical.json", jsonOf(t, rec), 200)
	})
}

func jsonOf(t *testing.T, v any) *httptest.ResponseRecorder {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	rec.Body.Write(append(data, '\n'))
	return rec
}

func TestBeforeTheFirstReportHealthIsUnknownAndServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld() // its monitor does not run yet
		w.snapshot.Phase, w.snapshot.Hub, w.snapshot.Plugins = Starting, Hub{State: "starting"}, nil
		w.snapshot.Recovery = Recovery{Strategy: "graded", Why: "it has not started yet"}
		golden(t, "health_starting.json", w.get("/health"), 200)
		if rec := w.get("/diagnostics"); decode(t, rec)["health"].(map[string]any)["aggregated_status"].(map[string]any)["period"] != "no_data" {
			t.Errorf("the aggregate of nothing is not no_data:\n%s", rec.Body)
		}
		time.Sleep(91 * time.Second) // three intervals and a second
		if rec := w.get("/health"); rec.Code != 503 {
			t.Errorf("after three intervals without any report: code %d, want 503", rec.Code)
		}
	})
}

func TestAStuckMonitorIsNeverShownAsHealthy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop() // nobody looks any more
		synctest.Wait()
		for _, tc := range []struct {
			why    string
			wait   time.Duration
			status string
			stale  bool
			code   int
		}{
			{"the next report is due in 30 s", 30 * time.Second, "healthy", false, 200},
			{"it is overdue", 10 * time.Second, "unknown", true, 200},
			{"for more than three intervals", 51 * time.Second, "unknown", true, 503},
		} {
			time.Sleep(tc.wait)
			rec := w.get("/health")
			body := decode(t, rec)
			if rec.Code != tc.code || body["status"] != tc.status || body["stale"] != tc.stale {
				t.Errorf("%s: code %d, status %v, stale %v; want %d, %s, %v", tc.why, rec.Code, body["status"], body["stale"], tc.code, tc.status, tc.stale)
			}
			cpu := body["metrics"].(map[string]any)["cpu_percent"]
			if (cpu == nil) != tc.stale {
				t.Errorf("%s: cpu_percent is %v", tc.why, cpu)
			}
		}
		golden(t, "health_stale.json", w.get("/health"), 503)
	})
}

func TestTheCodeOfHealthFollowsTheStatus(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(*world)
		code   int
		status string
	}{
		{"healthy", func(w *world) {}, 200, "healthy"},
		{"a warning is served", func(w *world) { w.status = health.Warning }, 200, "warning"},
		{"critical is not", func(w *world) { w.status = health.Critical }, 503, "critical"},
		{"an optional check that cannot look does no harm", func(w *world) { w.failing = errors.New("blind") }, 200, "healthy"},
		{"held after emergency_stop", func(w *world) { w.snapshot.Phase = Held }, 503, "critical"},
		{"on the way out", func(w *world) { w.snapshot.Phase = Stopping }, 503, "healthy"},
		{"nobody watches, clients are served", func(w *world) {
			w.snapshot.Monitoring = Monitoring{}
			w.monitor = nil
		}, 200, "unknown"},
		{"nobody watches, clients are not served", func(w *world) {
			w.snapshot.Monitoring = Monitoring{}
			w.monitor, w.snapshot.Hub.Accepting = nil, false
		}, 503, "unknown"},
	} {
		inWorld(t, func(t *testing.T, w *world) {
			running := w.monitor
			tc.change(w)
			running.Wake()
			synctest.Wait()
			rec := w.get("/health")
			body := decode(t, rec)
			if rec.Code != tc.code || body["status"] != tc.status {
				t.Errorf("%s: %d %v, want %d %s", tc.why, rec.Code, body["status"], tc.code, tc.status)
			}
			if status := w.get("/status"); status.Code != 200 || decode(t, status)["health"] != tc.status {
				t.Errorf("%s: /status gives %d and\n%s", tc.why, status.Code, status.Body)
			}
		})
	}
}

func TestChecksAreWordsThatExistingClientsCompare(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.failing = errors.New("blind")
		w.monitor.Wake()
		synctest.Wait()
		body := decode(t, w.get("/health"))
		want := map[string]any{"process_resources": "healthy", "network_connectivity": "healthy", "service_health": "unknown"}
		for name, word := range want {
			if got := body["checks"].(map[string]any)[name]; got != word {
				t.Errorf("check %s is %v, want %v", name, got, word)
			}
		}
		detail := body["check_details"].(map[string]any)["service_health"].(map[string]any)
		if detail["message"] != "blind" || detail["required"] != false || detail["stale"] != false {
			t.Errorf("details of the failing check: %v", detail)
		}
	})
}

func TestNoAnswerMayBeKept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		h := w.handler().(*api)
		for _, path := range append(h.paths(), "/nothing") {
			if got := ask(h, http.MethodGet, path).Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("%s: Cache-Control is %q, want no-store", path, got)
			}
		}
	})
}

// Switched off, nobody looks: that is said, and is neither health nor illness.
func TestMonitoringThatIsSwitchedOffIsSaidEverywhereAndIsNoFailure(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		off := monitor.DefaultOptions().Settings
		off.Enabled, off.RecoveryEnabled = false, false
		w.snapshot.Recovery.Available, w.snapshot.Recovery.Why = false, "health monitoring is switched off"
		if err := w.monitor.Apply(t.Context(), off); err != nil {
			t.Fatal(err)
		}
		for _, age := range []time.Duration{0, time.Hour} { // also when every result would be overdue
			time.Sleep(age)
			rec := w.get("/health")
			body := decode(t, rec)
			if rec.Code != 200 || body["status"] != "unknown" || body["monitoring"] != "off" || body["recovery"] != "off" || body["stale"] != false ||
				body["message"] != "health monitoring is switched off" || len(body["checks"].(map[string]any)) != 0 {
				t.Errorf("after %v /health is %d %s", age, rec.Code, rec.Body)
			}
			status := decode(t, w.get("/status"))
			if status["health"] != "unknown" || status["monitoring"] != "off" || status["message"] != body["message"] {
				t.Errorf("after %v /status is %v", age, status)
			}
			d := decode(t, w.get("/diagnostics"))
			monitor, export := d["health_monitor"].(map[string]any), d["health"].(map[string]any)
			if monitor["enabled"] != false || monitor["overall_status"] != "unknown" || d["recovery_manager"].(map[string]any)["enabled"] != false ||
				export["current_status"] != nil || export["aggregated_status"].(map[string]any)["overall_status"] != "unknown" ||
				export["monitor_info"].(map[string]any)["monitoring_active"] != false || export["history_summary"].(map[string]any)["total_checks"] != 1.0 {
				t.Errorf("after %v /diagnostics has %v, %v", age, monitor, export)
			}
			metrics := w.get("/metrics").Body.String()
			for _, line := range []string{"upkeep_monitoring_enabled 0", "upkeep_recovery_enabled 0", "socketio_health_status 0", "upkeep_monitor_stale 0"} {
				if !strings.Contains(metrics, "\n"+line+"\n") {
					t.Errorf("after %v the metrics lack %q", age, line)
				}
			}
			if strings.Contains(metrics, "upkeep_check_status{") {
				t.Errorf("after %v there are metrics of checks", age)
			}
			if rec := w.get("/livez"); rec.Code != 200 {
				t.Errorf("after %v /livez is %d", age, rec.Code)
			}
		}
		w.snapshot.Hub.Accepting = false
		if rec := w.get("/health"); rec.Code != 503 {
			t.Errorf("without a hub /health is %d, want 503: nobody is served", rec.Code)
		}
	})
}
