package httpapi

import (
	"math"
	"net/http"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
)

// View is health at one moment.
type View struct {
	monitor.View
	// Status is the monitor's word, and critical once the hub is held down.
	Status health.Status
	// Serving decides between 200 and 503.
	Serving bool
	// Message says why Status or Serving is not what the checks say.
	Message string
}

// Judge puts the monitor's view and the phase of host together.
func Judge(s Snapshot, now time.Time) View {
	v := View{View: s.Monitoring.Current.View(now)}
	v.Status, v.Serving = v.View.Status, v.View.Serving
	if !s.Monitoring.Current.Enabled {
		// Nobody looks, so nobody knows; whether clients are served is all there is.
		v.View = monitor.View{}
		v.Status, v.Serving = health.Unknown, s.Hub.Accepting || s.Phase == Starting
		v.Message = "health monitoring is switched off"
	}
	switch {
	case s.Phase == Held:
		v.Status, v.Serving, v.Message = health.Critical, false, "the hub was stopped by emergency_stop and is held down"
	case s.Phase == Stopping:
		v.Serving, v.Message = false, "host is stopping"
	case v.Message != "":
	case v.Stale:
		v.Message = "results are overdue: the monitor does not look any more"
	case s.Monitoring.Current.Report.Sequence == 0:
		v.Message = "no check has ended yet"
	case len(v.Checks) == 0:
		v.Message = "no checker plugin is running"
	}
	return v
}

// healthBody is what /health and /status have in common: the documented fields
// first, then what clients of the reference read besides, then ours.
type healthBody struct {
	Timestamp     string            `json:"timestamp"`
	UptimeSeconds float64           `json:"uptime_seconds"`
	Version       string            `json:"version"`
	PID           int               `json:"pid"`
	Checks        map[string]string `json:"checks"`
	Metrics       healthMetrics     `json:"metrics"`

	ServerVersion    string            `json:"server_version"`
	ServerID         string            `json:"server_id"`
	Host             string            `json:"host"`
	Port             int               `json:"port"`
	StartTime        string            `json:"start_time"`
	ClientsConnected int64             `json:"clients_connected"`
	ClientVersions   map[string]string `json:"client_versions"`
	HealthStats      healthStats       `json:"health_stats"`
	Dependencies     map[string]string `json:"dependencies"`

	Phase        Phase                  `json:"phase"`
	Monitoring   string                 `json:"monitoring"`
	Stale        bool                   `json:"stale"`
	Message      string                 `json:"message,omitempty"`
	CheckDetails map[string]checkDetail `json:"check_details"`
	Recovery     string                 `json:"recovery"`
	Why          string                 `json:"recovery_unavailable_because,omitempty"`
	Hub          hubBody                `json:"hub"`
}

type healthMetrics struct {
	// Null when the process checker does not say at this moment.
	CPUPercent       *float64 `json:"cpu_percent"`
	MemoryMB         *float64 `json:"memory_mb"`
	ClientsConnected int64    `json:"clients_connected"`
	EventsProcessed  uint64   `json:"events_processed"`
}

type healthStats struct {
	EventsProcessed uint64  `json:"events_processed"`
	ClientsServed   uint64  `json:"clients_served"`
	Errors          uint64  `json:"errors"`
	LastActivity    *string `json:"last_activity"`
}

type checkDetail struct {
	Status     string  `json:"status"`
	AgeSeconds float64 `json:"age_seconds"`
	Stale      bool    `json:"stale"`
	DurationMS float64 `json:"duration_ms"`
	Required   bool    `json:"required"`
	Message    string  `json:"message"`
}

type hubBody struct {
	State            string  `json:"state"`
	Accepting        bool    `json:"accepting"`
	PID              *int    `json:"pid"`
	Generation       uint64  `json:"generation"`
	Restarts         uint64  `json:"restarts"`
	MissedHeartbeats int     `json:"missed_heartbeats"`
	LastExit         *string `json:"last_exit"`
}

func (m moment) healthBody(goVersion string) healthBody {
	st := m.Hub.Statistics
	b := healthBody{
		Timestamp: stamp(m.now), UptimeSeconds: m.uptime, Version: m.Server.Version, PID: m.Server.PID,
		Checks: map[string]string{},
		Metrics: healthMetrics{
			CPUPercent: m.reading("cpu_usage_percent"), MemoryMB: m.reading("memory_usage_mb"),
			ClientsConnected: st.ConnectedClients, EventsProcessed: st.EventsProcessed,
		},
		ServerVersion: m.Server.Version, ServerID: m.Server.ServerID, Host: m.Server.Host, Port: m.Server.Port, StartTime: m.started,
		ClientsConnected: st.ConnectedClients, ClientVersions: notNil(st.ClientVersions),
		HealthStats: healthStats{
			EventsProcessed: st.EventsProcessed, ClientsServed: st.ClientsServed, Errors: st.Errors, LastActivity: optionalStamp(st.LastActivity),
		},
		Dependencies: map[string]string{"socketio_version": m.Server.SocketIOVersion, "go_version": goVersion},
		Phase:        m.Phase, Stale: m.view.Stale, Message: m.view.Message, CheckDetails: map[string]checkDetail{},
		Monitoring: "on", Recovery: "available", Hub: m.hubBody(),
	}
	if !m.Monitoring.Current.Enabled {
		b.Monitoring = "off"
	}
	switch {
	case !m.Monitoring.Current.Recovery.Enabled:
		b.Recovery = "off"
	case !m.Recovery.Available:
		b.Recovery, b.Why = "unavailable", m.Recovery.Why
	}
	for _, c := range m.view.Checks {
		b.Checks[c.Name] = c.Status.String()
		b.CheckDetails[c.Name] = checkDetail{
			Status: c.Status.String(), AgeSeconds: round3(c.Age.Seconds()), Stale: c.Stale,
			DurationMS: health.Milliseconds(c.Result.Duration), Required: !c.Optional, Message: c.Result.Message,
		}
	}
	return b
}

func (m moment) hubBody() hubBody {
	return hubBody{
		State: m.Hub.State, Accepting: m.Hub.Accepting, PID: optional(m.Hub.PID), Generation: m.Hub.Generation,
		Restarts: m.Hub.Restarts, MissedHeartbeats: m.Hub.Missed, LastExit: optional(m.Hub.LastExit),
	}
}

// processCheck is the check that measures the hub's process.
const processCheck = "process_resources"

// reading is a number that the process check measured of the hub, unless it is stale.
func (m moment) reading(name string) *float64 {
	for _, c := range m.view.Checks {
		if c.Name != processCheck || c.Stale {
			continue
		}
		for _, metric := range c.Result.Metrics {
			if metric.Name == name && len(metric.Labels) == 0 {
				if n, ok := metric.Value.AsNumber(); ok {
					return &n
				}
			}
		}
	}
	return nil
}

// health answers /health.
func (a *api) health(w http.ResponseWriter, r *http.Request) {
	m := a.moment()
	a.out.JSON(w, r, m.code(), struct {
		Status string `json:"status"`
		healthBody
	}{m.view.Status.String(), m.healthBody(a.opts.GoVersion)})
}

func (m moment) code() int {
	if m.view.Serving {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// status answers /status: what host is doing, always with 200.
func (a *api) status(w http.ResponseWriter, r *http.Request) {
	m := a.moment()
	a.out.JSON(w, r, http.StatusOK, struct {
		Status  Phase   `json:"status"`
		Health  string  `json:"health"`
		Uptime  float64 `json:"uptime"`
		Clients int64   `json:"clients"`
		healthBody
	}{m.Phase, m.view.Status.String(), m.uptime, m.Hub.Statistics.ConnectedClients, m.healthBody(a.opts.GoVersion)})
}

// stamp is a time as HTTP answers have it; empty when there is none.
func stamp(t time.Time) string { return health.ISO(t) }

func optionalStamp(t time.Time) *string { return optional(stamp(t)) }

// optional makes the zero value a null.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func notNil[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// round3 leaves three decimals.
func round3(f float64) float64 { return math.Round(f*1000) / 1000 }
