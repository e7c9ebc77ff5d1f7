package adminapi

import (
	"reflect"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/recovery"
)

func TestChecksKeepWhatTheViewSays(t *testing.T) {
	threshold := 80.0
	view := monitor.View{Checks: []monitor.CheckView{{
		CheckState: monitor.CheckState{Name: "process_resources", Optional: true, Result: health.Result{
			Status: health.Healthy, Message: "quiet", Duration: 3 * time.Millisecond, Errors: []string{"one"},
			Metrics: []health.Metric{
				{Name: "cpu", Labels: map[string]string{"process": "host"}, Value: health.Number(15.2), Status: health.Warning, Threshold: &threshold, Unit: "%", Message: "m"},
				{Name: "state", Value: health.Text("sleeping")}, {Name: "open", Value: health.Flag(true)}, {Name: "empty"},
			},
		}},
		Status: health.Unknown, Age: 4 * time.Second, Stale: true,
	}}}
	want := []CheckState{{
		Name: "process_resources", Status: "unknown", AgeSeconds: 4, Stale: true, DurationMS: 3, Message: "quiet", Errors: []string{"one"},
		Metrics: []Metric{
			{Name: "cpu", Labels: map[string]string{"process": "host"}, Value: 15.2, Status: "warning", Threshold: &threshold, Unit: "%", Message: "m"},
			{Name: "state", Value: "sleeping", Status: "unknown"}, {Name: "open", Value: true, Status: "unknown"}, {Name: "empty", Status: "unknown"},
		},
	}}
	if got := Checks(view); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRecoveryTellsBreakerIncidentAndTheLastAttempt(t *testing.T) {
	breaker := recovery.NewBreaker(recovery.BreakerConfig{FailureThreshold: 1, Timeout: 5 * time.Minute, SuccessThreshold: 3}, moment)
	breaker.Record(moment, breaker.Begin(moment), false)
	got := RecoveryOf(recovery.Snapshot{
		Enabled: true, InProgress: true, Breaker: breaker, Stats: recovery.Stats{Total: 2},
		Incident: &recovery.Incident{ID: "inc-1", Opened: moment, Causes: []string{"a"}, Attempts: make([]recovery.Attempt, 2)},
		Events:   []recovery.Event{{Time: moment, Incident: "inc-1", Action: recovery.RestartService, Outcome: recovery.NotCured, Health: health.Critical, Duration: time.Second, Err: "e", Reason: "r"}, {}},
	}, moment.Add(time.Minute))
	want := Recovery{
		Enabled: true, InProgress: true, Attempts: 2, Breaker: Breaker{State: "open", Failures: 1, FailureThreshold: 1, RemainingSeconds: 240},
		Incident: &Incident{ID: "inc-1", Opened: moment, Causes: []string{"a"}, Attempts: 2},
		Last:     &RecoveryEvent{Time: moment, Incident: "inc-1", Action: "restart_service", Outcome: "not_cured", Health: "critical", DurationMS: 1000, Error: "e", Reason: "r"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestHistoryIsNewestFirstWithinWindowAndLimit(t *testing.T) {
	h := health.NewHistory(10)
	for i, s := range []health.Status{health.Healthy, health.Critical, health.Healthy, health.Warning} {
		h.Add(health.Report{
			Sequence: uint64(i + 1), Time: moment.Add(time.Duration(i) * time.Minute), Status: s,
			Results: []health.Result{{Check: "a", Status: s, Errors: []string{"broken"}}, {Check: "b", Status: health.Healthy}},
		})
	}
	now := moment.Add(3 * time.Minute)
	events := []recovery.Event{{Time: now, Action: recovery.RestartService}, {Time: moment, Action: recovery.ClearConnections}}
	got := HistoryOf(h, events, 150*time.Second, 2, now)
	if len(got.Reports) != 2 || got.Reports[0].Sequence != 4 || got.Reports[0].Checks["b"] != "healthy" || got.Reports[0].Reason != "a warning: broken" {
		t.Errorf("reports: %+v", got.Reports)
	}
	if len(got.Transitions) != 2 || got.Transitions[0].To != "warning" || got.Transitions[1].From != "critical" {
		t.Errorf("transitions: %+v", got.Transitions)
	}
	if len(got.Recoveries) != 1 || got.Recoveries[0].Action != "restart_service" {
		t.Errorf("recoveries: %+v", got.Recoveries)
	}
	if empty := HistoryOf(nil, nil, time.Hour, 5, now); empty.Reports == nil || empty.Transitions == nil || empty.Recoveries == nil {
		t.Errorf("without monitoring a list is null: %+v", empty)
	}
}
