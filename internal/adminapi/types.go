package adminapi

import (
	"encoding/json"
	"time"
)

// SchemaVersion of the answers. It grows when a field changes its meaning or
// goes away, not when one is added.
const SchemaVersion = 1

// Status is host at one moment.
type Status struct {
	// SchemaVersion grows when a field changes its meaning or goes away.
	SchemaVersion int       `json:"schema_version"`
	Timestamp     time.Time `json:"timestamp"`
	// Phase is what host is doing.
	Phase string `json:"phase" jsonschema:"enum=starting,enum=running,enum=stopping,enum=held"`
	// Status is the overall health.
	Status string `json:"status" jsonschema:"enum=healthy,enum=warning,enum=critical,enum=unknown"`
	// Serving: /health answers 200.
	Serving bool `json:"serving"`
	// Stale: results are overdue.
	Stale bool `json:"stale"`
	// Message says why the status or serving is not what the checks say.
	Message    string       `json:"message,omitempty"`
	Server     Server       `json:"server"`
	Hub        Hub          `json:"hub"`
	Monitoring Monitoring   `json:"monitoring"`
	Checks     []CheckState `json:"checks"`
	Recovery   Recovery     `json:"recovery"`
	// Suspects are who and what causes most of the failures, refusals, slow writes,
	// bytes and events, in this order.
	Suspects []Suspect `json:"suspects"`
}

// Suspect is somebody, or something, that causes much of one thing.
type Suspect struct {
	Kind string `json:"kind" jsonschema:"enum=client,enum=address,enum=token,enum=room,enum=event"`
	// Name may come from a client.
	Name    string `json:"name"`
	Measure string `json:"measure" jsonschema:"enum=failures,enum=refusals,enum=slow_writes,enum=bytes,enum=events"`
	// Share of all that is caused, 0 to 1, and the rate, over the last minute or so.
	Share float64 `json:"share"`
	Rate  float64 `json:"per_second"`
	// Clients is how many connected clients are meant.
	Clients int64 `json:"clients"`
	// Address is where a client comes from.
	Address string `json:"address,omitempty"`
}

// Quarantine is who is kept out, oldest first.
type Quarantine struct {
	SchemaVersion int           `json:"schema_version"`
	Entries       []Quarantined `json:"entries"`
}

// Quarantined is somebody who is kept out for a while.
type Quarantined struct {
	// ID is what release takes, e.g. qua-1.
	ID   string `json:"id"`
	Kind string `json:"kind" jsonschema:"enum=client,enum=address,enum=token"`
	// Name may come from a client.
	Name string `json:"name"`
	// Address is where a client came from.
	Address string `json:"address,omitempty"`
	// Measure, Share and Rate are what it did.
	Measure string    `json:"measure" jsonschema:"enum=failures,enum=refusals,enum=slow_writes,enum=bytes,enum=events"`
	Share   float64   `json:"share"`
	Rate    float64   `json:"per_second"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	// Incident in which it was put there.
	Incident string `json:"incident"`
}

// Server is the host process and where it listens.
type Server struct {
	Version  string `json:"version"`
	ServerID string `json:"server_id"`
	// Host and Port are the public ones: the host as configured, the port as bound.
	Host string `json:"host"`
	Port int    `json:"port"`
	// Addresses that are bound, host:port.
	Addresses []string `json:"addresses"`
	// TLS: clients connect with https and wss.
	TLS bool `json:"tls"`
	// Admin is the address of the admin listener, empty when it is off.
	Admin         string    `json:"admin_address"`
	PID           int       `json:"pid"`
	StartTime     time.Time `json:"start_time"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	StateDir      string    `json:"state_dir"`
	// ConfigFile is empty when host runs on the defaults.
	ConfigFile string `json:"config_file"`
	LogLevel   string `json:"log_level" jsonschema:"enum=trace,enum=debug,enum=info,enum=warn,enum=error"`
}

// Hub is the Socket.IO server process.
type Hub struct {
	// State is one word, e.g. running, starting, hung or stopped.
	State     string `json:"state"`
	Accepting bool   `json:"accepting"`
	// PID is 0 when there is no process.
	PID              int    `json:"pid"`
	Restarts         uint64 `json:"restarts"`
	MissedHeartbeats int    `json:"missed_heartbeats"`
	// LastExit says how the hub before this one ended, empty when none did.
	LastExit         string `json:"last_exit"`
	ClientsConnected int64  `json:"clients_connected"`
	EventsProcessed  uint64 `json:"events_processed"`
	// Quarantined is how many are kept out now.
	Quarantined int `json:"quarantined"`
}

// Monitoring is how health is watched.
type Monitoring struct {
	Enabled         bool    `json:"enabled"`
	IntervalSeconds float64 `json:"interval_seconds"`
}

// CheckState is a check as it stands.
type CheckState struct {
	Name       string  `json:"name"`
	Status     string  `json:"status" jsonschema:"enum=healthy,enum=warning,enum=critical,enum=unknown"`
	AgeSeconds float64 `json:"age_seconds"`
	// Stale: the next result is overdue.
	Stale      bool     `json:"stale"`
	DurationMS float64  `json:"duration_ms"`
	Required   bool     `json:"required"`
	Message    string   `json:"message"`
	Metrics    []Metric `json:"metrics"`
	Errors     []string `json:"errors"`
}

// Metric is one measured value.
type Metric struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	// Value is a number, a text, a boolean, or null.
	Value  any    `json:"value"`
	Status string `json:"status" jsonschema:"enum=healthy,enum=warning,enum=critical,enum=unknown"`
	// Threshold is the value above which the status is no longer healthy.
	Threshold *float64 `json:"threshold,omitempty"`
	Unit      string   `json:"unit,omitempty"`
	Message   string   `json:"message,omitempty"`
}

// Recovery is what is done about bad health.
type Recovery struct {
	Enabled bool `json:"enabled"`
	// Available: there is a strategy that can be asked.
	Available bool   `json:"available"`
	Why       string `json:"unavailable_because,omitempty"`
	Strategy  string `json:"strategy"`
	// InProgress: an action runs, or waits for its judgement.
	InProgress bool    `json:"in_progress"`
	Breaker    Breaker `json:"breaker"`
	// Incident is the open one; null: none is.
	Incident *Incident `json:"incident"`
	// Pause that holds now; null: none does.
	Pause *Pause `json:"pause"`
	// Approval is the question that waits for its answer; null: none does.
	Approval *Approval `json:"approval"`
	// Attempts since host started.
	Attempts int `json:"attempts"`
	// Last is the latest attempt or logged warning; null: none was.
	Last *RecoveryEvent `json:"last"`
}

// Breaker is the circuit breaker of recovery.
type Breaker struct {
	State            string  `json:"state" jsonschema:"enum=closed,enum=open,enum=half_open"`
	Failures         int     `json:"failures"`
	FailureThreshold int     `json:"failure_threshold"`
	RemainingSeconds float64 `json:"remaining_seconds"`
	// By and Reason say who made the present state, if it was made by hand.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Incident is a stretch of trouble.
type Incident struct {
	ID     string    `json:"id"`
	Opened time.Time `json:"opened_at"`
	// Causes are the checks that were not healthy.
	Causes   []string `json:"causes"`
	Attempts int      `json:"attempts"`
}

// RecoveryEvent is one action taken.
type RecoveryEvent struct {
	Time       time.Time `json:"time"`
	Incident   string    `json:"incident"`
	Action     string    `json:"action"`
	Outcome    string    `json:"outcome" jsonschema:"enum=pending,enum=cured,enum=not_cured,enum=failed,enum=timed_out,enum=done"`
	Health     string    `json:"health_status" jsonschema:"enum=healthy,enum=warning,enum=critical,enum=unknown"`
	DurationMS float64   `json:"duration_ms"`
	Error      string    `json:"error,omitempty"`
	Reason     string    `json:"reason,omitempty"`
}

// Probe is the answer to a probe.
type Probe struct {
	Probe ProbeKind `json:"probe" jsonschema:"enum=healthy,enum=ready,enum=live"`
	OK    bool      `json:"ok"`
	// Status is the overall health.
	Status string `json:"status" jsonschema:"enum=healthy,enum=warning,enum=critical,enum=unknown"`
	// Message is one line that says what the answer rests on.
	Message string `json:"message"`
	// Problem is the error health_check_failed, as problem documents have it, when
	// the answer to healthy is no because of a check.
	Problem json.RawMessage `json:"problem,omitempty"`
}

// Plugins are the plugins that were found.
type Plugins struct {
	SchemaVersion int       `json:"schema_version"`
	Directory     string    `json:"directory"`
	Plugins       []Plugin  `json:"plugins"`
	Skipped       []Skipped `json:"skipped"`
	// Trust is what the directory's lock file said when it was last read.
	Trust PluginTrust `json:"trust"`
}

// PluginTrust says what has to be true of plugins before they are run.
type PluginTrust struct {
	// Required: without a lock file no plugin is run.
	Required bool `json:"required"`
	// Locked: there is a lock file, and it may be believed.
	Locked bool `json:"locked"`
	// TrustedKeys is how many keys may sign the lock file; 0: no signature is asked for.
	TrustedKeys int `json:"trusted_keys"`
	// SignedBy is the fingerprint of the key whose signature was verified.
	SignedBy string `json:"signed_by,omitempty"`
	// Error is why no plugin is run, and Hint what to do about it.
	Error    string   `json:"error,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Warnings []string `json:"warnings"`
}

// Plugin is one that was found and is meant to run.
type Plugin struct {
	Name string `json:"name"`
	// Kinds are checker and recovery; empty before it said what it is.
	Kinds       []string `json:"kinds"`
	Version     string   `json:"version"`
	Description string   `json:"description,omitempty"`
	// Check is the name of its check; empty for a strategy.
	Check string `json:"check,omitempty"`
	State string `json:"state" jsonschema:"enum=starting,enum=running,enum=backoff,enum=quarantined,enum=refused,enum=stopped"`
	// PID is 0 when no process runs.
	PID      int `json:"pid"`
	Restarts int `json:"restarts"`
	// Reloads counts the processes that took over from another one.
	Reloads int `json:"reloads"`
	// LastReload is when the latest reload ended; null: there was none.
	LastReload *time.Time `json:"last_reload"`
	// ReloadError is why the latest reload failed: what was before goes on.
	ReloadError string `json:"reload_error,omitempty"`
	ReloadHint  string `json:"reload_hint,omitempty"`
	// MemoryBytes is what its process and those that it forked hold resident;
	// 0: not known.
	MemoryBytes uint64 `json:"memory_bytes"`
	// MemoryLimitBytes is what they may hold; 0: no limit.
	MemoryLimitBytes uint64 `json:"memory_limit_bytes"`
	// StartedAt is when the present process began to run; null: none runs.
	StartedAt *time.Time `json:"started_at"`
	// NextStart is when it is started again; null: nothing is planned.
	NextStart *time.Time `json:"next_start"`
	// LastError and Hint tell of the latest failure, also when it runs again.
	LastError string `json:"last_error,omitempty"`
	Hint      string `json:"hint,omitempty"`
	// Interpreter runs the plugin's script; left out for a plugin that needs none.
	Interpreter string `json:"interpreter,omitempty"`
	// Verified says by what its files were verified at the latest start: lock or
	// sha256; empty: by nothing.
	Verified string `json:"verified" jsonschema:"enum=lock,enum=sha256,enum="`
	// Stderr has the last lines that the failed process wrote.
	Stderr   []string `json:"stderr"`
	Warnings []string `json:"warnings"`
}

// PluginChanges is what became of the plugins whose files were looked at again.
type PluginChanges struct {
	SchemaVersion int            `json:"schema_version"`
	Changes       []PluginChange `json:"changes"`
}

// PluginChange is what became of one plugin.
type PluginChange struct {
	Name string `json:"name"`
	// Outcome is installed when it was new and was started, reloaded when a new
	// process took over, kept when the new one was worse and what was before goes
	// on, removed when its files are gone, and unchanged when they are what runs.
	Outcome string `json:"outcome" jsonschema:"enum=installed,enum=reloaded,enum=kept,enum=removed,enum=unchanged"`
	// Error says why it was kept, or why what was installed does not run.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// VersionBefore and Version are the plugin's own; empty: it said none, or
	// was not there.
	VersionBefore string `json:"version_before"`
	Version       string `json:"version"`
	// PID is 0 when no process runs.
	PID int `json:"pid"`
}

// Skipped is an entry of the plugin directory that is not started.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy,omitempty"`
}

// History is what happened, newest first.
type History struct {
	SchemaVersion int     `json:"schema_version"`
	WindowSeconds float64 `json:"window_seconds"`
	// Limit holds for each of the lists.
	Limit       int             `json:"limit"`
	Reports     []Report        `json:"reports"`
	Transitions []Transition    `json:"transitions"`
	Recoveries  []RecoveryEvent `json:"recoveries"`
}

// Report is one round of checks.
type Report struct {
	Sequence   uint64    `json:"sequence"`
	Time       time.Time `json:"time"`
	Status     string    `json:"status" jsonschema:"enum=healthy,enum=warning,enum=critical,enum=unknown"`
	DurationMS float64   `json:"duration_ms"`
	// Checks by name, with their status.
	Checks map[string]string `json:"checks"`
	// Reason says what the checks say that are not healthy.
	Reason string `json:"reason,omitempty"`
}

// Transition is a change of the overall status.
type Transition struct {
	Time time.Time `json:"time"`
	From string    `json:"from" jsonschema:"enum=healthy,enum=warning,enum=critical,enum=unknown"`
	To   string    `json:"to" jsonschema:"enum=healthy,enum=warning,enum=critical,enum=unknown"`
}

// Configuration is what is in force.
type Configuration struct {
	SchemaVersion int `json:"schema_version"`
	// File is empty when host runs on the defaults.
	File     string    `json:"file"`
	Settings []Setting `json:"settings"`
}

// Setting is one key with its value; secrets are masked.
type Setting struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	// Origin says where the value comes from, e.g. default or file PATH:LINE, or
	// admin request for what was set in the running host.
	Origin string `json:"origin"`
	// Live: a reload takes a change of it up. Else a restart does.
	Live bool `json:"live"`
}

// Version says what runs.
type Version struct {
	Version         string `json:"version"`
	APIVersion      string `json:"api_version" jsonschema:"enum=v1"`
	SocketIOVersion string `json:"socketio_version"`
	GoVersion       string `json:"go_version"`
	Platform        string `json:"platform"`
}

// Reloaded is what a reload changed.
type Reloaded struct {
	// File is empty when there is none.
	File    string   `json:"file"`
	Changes []Change `json:"changes"`
}

// Change is one key whose value differs; secrets are masked.
type Change struct {
	Key string `json:"key"`
	Old any    `json:"old"`
	New any    `json:"new"`
	// Live: it is in force now. Else it is from the next start on.
	Live bool `json:"live"`
}

// Stopping is the answer to a stop.
type Stopping struct {
	PID int `json:"pid"`
}

// StopRequest asks host to stop.
type StopRequest struct {
	// Reason is written into the log.
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=200"`
}

// LogLevel is what is logged.
type LogLevel struct {
	Level string `json:"level" jsonschema:"enum=trace,enum=debug,enum=info,enum=warn,enum=error"`
}

// Switch turns something on or off.
type Switch struct {
	Enabled bool `json:"enabled"`
}
