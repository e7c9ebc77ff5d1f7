package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

const (
	metricClients   = "connected_clients"
	metricRate      = "event_processing_rate"
	metricEvents    = "total_events_processed"
	metricErrorRate = "error_rate"
	metricErrors    = "total_errors"
	metricIdle      = "time_since_last_activity"
	metricLog       = "event_log_failed"

	counterProcessed = "events_processed"
	counterFailed    = "events_failed"
	counterTaken     = "taken_seconds" // since 1970

	// window is how far back rates look.
	window = 300 * time.Second
	// stale is the age from which statistics say nothing about now.
	stale = 10 * time.Second
	// enough is the number of events from which an error rate may be critical:
	// one failure of two is a rate of 50 % and proves little.
	enough = 10
	// The shares of their limits above which clients and errors are a warning.
	clientsWarn, errorsWarn = 0.8, 0.5
)

// settings is the plugin's configuration.
type settings struct {
	Thresholds thresholds `json:"thresholds"`
}

type thresholds struct {
	MaxClients float64 `json:"max_clients" jsonschema:"minimum=1" jsonschema_description:"Connected clients above which the metric is critical; a warning from above 0.8 times that."`
	ErrorRate  float64 `json:"error_rate" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"Share of events failed by the hub above which the metric is critical; a warning from above 0.5 times that."`
}

// checker judges statistics.
type checker struct {
	*sdk.Config[settings]
}

func newChecker() checker {
	return checker{sdk.NewConfig(settings{thresholds{MaxClients: 1000, ErrorRate: 0.1}})}
}

// Check is an error when the statistics are missing or too old: that the hub
// does not report is for the heartbeat and the other checkers to judge.
func (c checker) Check(_ context.Context, req sdk.Request) (sdk.Result, error) {
	s := req.Statistics
	if s == nil {
		return sdk.Result{}, errors.New("the hub has not reported yet")
	}
	if age := req.Now.Sub(s.TakenAt); age > stale {
		return sdk.Result{}, fmt.Errorf("the hub has not reported for %.0f s", age.Seconds())
	}
	limits := c.Current().Thresholds
	recent := since(s, req.Samples)
	result := sdk.Result{
		Metrics: []sdk.Metric{
			rising(metricClients, float64(s.ConnectedClients), clientsWarn*limits.MaxClients, limits.MaxClients).AsLoad(),
			sdk.Number(metricRate, recent.rate(), sdk.Healthy).WithUnit("events/s").WithMessage(recent.String()).AsLoad(),
			sdk.Number(metricEvents, float64(s.EventsProcessed), sdk.Healthy),
			recent.errorRate(limits.ErrorRate),
			sdk.Number(metricErrors, float64(s.Errors), sdk.Healthy),
			eventLog(s.LogFailure),
		},
		Counters: map[string]float64{
			counterProcessed: float64(s.EventsProcessed),
			counterFailed:    float64(s.EventsFailed),
			counterTaken:     seconds(s.TakenAt),
		},
	}
	if !s.LastActivity.IsZero() {
		idle := max(0, req.Now.Sub(s.LastActivity).Seconds())
		result.Metrics = append(result.Metrics, sdk.Number(metricIdle, idle, sdk.Healthy).WithUnit("s").AsLoad())
	}
	return result, nil
}

// eventLog is critical while events are kept in memory only: the next end of the hub
// loses them. It counts as load, because no action of host makes room on a disk.
func eventLog(failure string) sdk.Metric {
	if failure == "" {
		return sdk.Number(metricLog, 0, sdk.Healthy).AsLoad()
	}
	return sdk.Number(metricLog, 1, sdk.Critical).WithMessage("events are kept in memory only: " + failure).AsLoad()
}

// rising is a metric with a limit of its own for each status.
func rising(name string, value, warn, critical float64) sdk.Metric {
	status := sdk.Healthy
	switch {
	case value > critical:
		status = sdk.Critical
	case value > warn:
		status = sdk.Warning
	}
	return sdk.Number(name, value, status).WithThreshold(warn)
}

// stretch is what happened between an earlier sample and now.
type stretch struct {
	processed, failed, seconds float64
}

// since compares with the oldest sample of the window. Without one there is no
// past, and counters since the start of the process are none: old errors would
// weigh for ever.
func since(s *sdk.Statistics, samples []sdk.Sample) stretch {
	for _, then := range samples { // oldest first
		taken, ok := then.Counters[counterTaken]
		recent := stretch{
			processed: float64(s.EventsProcessed) - then.Counters[counterProcessed],
			failed:    float64(s.EventsFailed) - then.Counters[counterFailed],
			seconds:   seconds(s.TakenAt) - taken,
		}
		// Counters that fell are those of another history: the host began anew.
		if ok && recent.seconds > 0 && recent.seconds <= window.Seconds() && recent.processed >= 0 && recent.failed >= 0 {
			return recent
		}
	}
	return stretch{}
}

func (s stretch) String() string {
	if s.seconds == 0 {
		return "no earlier sample to compare with"
	}
	return fmt.Sprintf("%.0f events and %.0f failures in %.0f s", s.processed, s.failed, s.seconds)
}

func (s stretch) rate() float64 {
	if s.seconds == 0 {
		return 0
	}
	return s.processed / s.seconds
}

func (s stretch) errorRate(limit float64) sdk.Metric {
	rate, events := 0.0, s.processed+s.failed
	if events > 0 {
		rate = s.failed / events
	}
	m := rising(metricErrorRate, rate, errorsWarn*limit, limit).WithMessage(s.String())
	if events < enough && m.Status == sdk.Critical {
		m.Status = sdk.Warning
	}
	return m
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
