package httpapi

import (
	"net/http"
	"runtime"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

// schemaVersion of /diagnostics. It grows when a field changes its meaning or
// goes away, not when one is added.
const schemaVersion = 1

type diagnosticsBody struct {
	SchemaVersion   int             `json:"schema_version"`
	Timestamp       string          `json:"timestamp"`
	ServerInfo      serverInfo      `json:"server_info"`
	HealthMonitor   healthMonitor   `json:"health_monitor"`
	RecoveryManager recoveryManager `json:"recovery_manager"`
	ProcessInfo     processInfo     `json:"process_info"`
	Hub             hubDiagnostics  `json:"hub"`
	Plugins         []pluginBody    `json:"plugins"`
	SkippedPlugins  []Skipped       `json:"skipped_plugins"`
	PluginTrust     PluginTrust     `json:"plugin_trust"`
	Health          healthExport    `json:"health"`
	Recovery        recoveryExport  `json:"recovery"`
	Configuration   []Setting       `json:"configuration"`
}

type serverInfo struct {
	Version         string   `json:"version"`
	ServerID        string   `json:"server_id"`
	SocketIOVersion string   `json:"socketio_version"`
	GoVersion       string   `json:"go_version"`
	Modules         []Module `json:"modules"`
	Platform        string   `json:"platform"`
	PID             int      `json:"pid"`
	StartTime       string   `json:"start_time"`
	UptimeSeconds   float64  `json:"uptime_seconds"`
	Host            string   `json:"host"`
	Port            int      `json:"port"`
	Addresses       []string `json:"addresses"`
	Admin           *string  `json:"admin"`
	Phase           Phase    `json:"phase"`
}

type healthMonitor struct {
	Enabled         bool    `json:"enabled"`
	LastCheck       *string `json:"last_check"`
	OverallStatus   string  `json:"overall_status"`
	Stale           bool    `json:"stale"`
	ChecksPerformed uint64  `json:"checks_performed"`
	ChecksFailed    uint64  `json:"checks_failed"`
}

type recoveryManager struct {
	Enabled              bool                  `json:"enabled"`
	Available            bool                  `json:"available"`
	CircuitBreakerState  recovery.BreakerState `json:"circuit_breaker_state"`
	TotalRecoveries      int                   `json:"total_recoveries"`
	SuccessfulRecoveries int                   `json:"successful_recoveries"`
	FailedRecoveries     int                   `json:"failed_recoveries"`
	// Pause in which no attempt begins; null: none holds.
	Pause *recovery.Pause `json:"pause"`
}

// processInfo is about the hub; null is what the process checker does not say.
type processInfo struct {
	CPUPercent      *float64 `json:"cpu_percent"`
	MemoryMB        *float64 `json:"memory_mb"`
	FileDescriptors *float64 `json:"file_descriptors"`
	ThreadCount     *float64 `json:"thread_count"`
}

type hubDiagnostics struct {
	hubBody
	Statistics hubStatistics `json:"statistics"`
	// Suspects are who and what causes most, the gravest first.
	Suspects   []Suspect         `json:"suspects"`
	Quarantine []quarantinedBody `json:"quarantine"`
}

type quarantinedBody struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Measure  string `json:"measure"`
	Since    string `json:"since"`
	Until    string `json:"until"`
	Incident string `json:"incident"`
}

type hubStatistics struct {
	ConnectedClients int64   `json:"connected_clients"`
	ClientsServed    uint64  `json:"clients_served"`
	EventsProcessed  uint64  `json:"events_processed"`
	EventsFailed     uint64  `json:"events_failed"`
	Errors           uint64  `json:"errors"`
	LastActivity     *string `json:"last_activity"`
	HistorySize      int64   `json:"history_size"`
	// SessionsRecovered counts clients that came back and got what they had missed.
	SessionsRecovered uint64 `json:"sessions_recovered"`
	// LogFailure says why events are kept in memory only; empty: they are not.
	LogFailure     string            `json:"log_failure"`
	ClientVersions map[string]string `json:"client_versions"`
	TakenAt        *string           `json:"taken_at"`
}

type pluginBody struct {
	Name      string  `json:"name"`
	Kind      string  `json:"kind"`
	Check     string  `json:"check,omitempty"`
	Version   string  `json:"version"`
	State     string  `json:"state"`
	PID       *int    `json:"pid"`
	Restarts  uint64  `json:"restarts"`
	StartedAt *string `json:"started_at"`
	NextStart *string `json:"next_start,omitempty"`
	Reloads   uint64  `json:"reloads"`
	// ReloadError is why the latest reload failed: what ran before goes on.
	ReloadError      string   `json:"reload_error,omitempty"`
	ReloadHint       string   `json:"reload_hint,omitempty"`
	MemoryBytes      uint64   `json:"memory_bytes,omitempty"`
	MemoryLimitBytes uint64   `json:"memory_limit_bytes,omitempty"`
	LastError        string   `json:"last_error,omitempty"`
	Hint             string   `json:"hint,omitempty"`
	Stderr           []string `json:"stderr"`
	// Verified is lock, sha256 or empty.
	Verified    string `json:"verified"`
	Interpreter string `json:"interpreter,omitempty"`
}

// diagnostics answers /diagnostics.
func (a *api) diagnostics(w http.ResponseWriter, r *http.Request) {
	m := a.moment()
	rec := m.Monitoring.Current.Recovery
	st := m.Hub.Statistics
	stats := m.historyStats()
	body := diagnosticsBody{
		SchemaVersion: schemaVersion, Timestamp: stamp(m.now),
		ServerInfo: serverInfo{
			Version: m.Server.Version, ServerID: m.Server.ServerID, SocketIOVersion: m.Server.SocketIOVersion, GoVersion: a.opts.GoVersion, Modules: append([]Module{}, a.opts.Modules...),
			Platform: runtime.GOOS + "/" + runtime.GOARCH, PID: m.Server.PID, StartTime: m.started, UptimeSeconds: m.uptime,
			Host: m.Server.Host, Port: m.Server.Port, Addresses: append([]string{}, m.Server.Addresses...), Admin: optional(m.Server.Admin), Phase: m.Phase,
		},
		HealthMonitor: healthMonitor{
			Enabled: m.Monitoring.Current.Enabled, LastCheck: optionalStamp(stats.LastCheck), OverallStatus: m.view.Status.String(), Stale: m.view.Stale,
			ChecksPerformed: stats.ChecksPerformed, ChecksFailed: stats.ChecksFailed,
		},
		RecoveryManager: recoveryManager{
			Enabled: rec.Enabled, Available: m.Recovery.Available, CircuitBreakerState: rec.Breaker.State(m.now),
			TotalRecoveries: rec.Stats.Total, SuccessfulRecoveries: rec.Stats.Successful, FailedRecoveries: rec.Stats.Failed,
			Pause: rec.Pause,
		},
		ProcessInfo: processInfo{
			CPUPercent: m.reading("cpu_usage_percent"), MemoryMB: m.reading("memory_usage_mb"),
			FileDescriptors: m.reading("file_descriptors"), ThreadCount: m.reading("thread_count"),
		},
		Hub: hubDiagnostics{hubBody: m.hubBody(), Statistics: hubStatistics{
			ConnectedClients: st.ConnectedClients, ClientsServed: st.ClientsServed, EventsProcessed: st.EventsProcessed,
			EventsFailed: st.EventsFailed, Errors: st.Errors, LastActivity: optionalStamp(st.LastActivity), HistorySize: st.HistorySize,
			SessionsRecovered: st.SessionsRecovered, LogFailure: st.LogFailure,
			ClientVersions: notNil(st.ClientVersions), TakenAt: optionalStamp(st.Taken),
		}, Suspects: append([]Suspect{}, m.Hub.Suspects...), Quarantine: make([]quarantinedBody, len(m.Hub.Quarantine))},
		Plugins: make([]pluginBody, len(m.Plugins)), SkippedPlugins: append([]Skipped{}, m.Skipped...), PluginTrust: m.PluginTrust,
		Health: m.healthExport(), Recovery: m.recoveryExport(), Configuration: append([]Setting{}, a.opts.Configuration()...),
	}
	if !rec.Pause.Active(m.now) {
		body.RecoveryManager.Pause = nil
	}
	for i, q := range m.Hub.Quarantine {
		body.Hub.Quarantine[i] = quarantinedBody{q.ID, q.Kind, q.Name, q.Measure, stamp(q.Since), stamp(q.Until), q.Incident}
	}
	for i, p := range m.Plugins {
		body.Plugins[i] = pluginBody{
			Name: p.Name, Kind: p.Kind, Check: p.Check, Version: p.Version, State: p.State, PID: optional(p.PID), Restarts: p.Restarts,
			StartedAt: optionalStamp(p.Started), NextStart: optionalStamp(p.NextStart), Reloads: p.Reloads, ReloadError: p.ReloadError, ReloadHint: p.ReloadHint,
			MemoryBytes: p.Memory, MemoryLimitBytes: p.MemoryLimit, LastError: p.LastError, Hint: p.Hint, Stderr: append([]string{}, p.Stderr...),
			Verified: p.Verified, Interpreter: p.Interpreter,
		}
	}
	a.out.JSON(w, r, http.StatusOK, body)
}

func (m moment) historyStats() health.Stats {
	if m.Monitoring.History == nil {
		return health.Stats{}
	}
	return m.Monitoring.History.Stats()
}

// instant is a time in the two forms that objects of health and recovery have.
type instant struct {
	Timestamp    float64 `json:"timestamp"`
	TimestampISO string  `json:"timestamp_iso"`
}

func instantOf(t time.Time) instant { return instant{health.Seconds(t), health.ISO(t)} }

func optionalInstant(t time.Time) *instant { return optional(instantOf(t)) }
