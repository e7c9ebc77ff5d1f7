package httpapi

import (
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/recovery"
)

// Source gives the facts. Snapshot is called for each request, from many
// goroutines, and must not block.
type Source interface {
	Snapshot() Snapshot
}

// SourceFunc makes a function a Source.
type SourceFunc func() Snapshot

// Snapshot calls the function.
func (f SourceFunc) Snapshot() Snapshot { return f() }

// Phase is what host is doing.
type Phase string

const (
	// Starting: no hub has accepted yet.
	Starting Phase = "starting"
	// Running: normal life.
	Running Phase = "running"
	// Stopping: host is on its way out.
	Stopping Phase = "stopping"
	// Held: after emergency_stop, with the hub down on purpose.
	Held Phase = "held"
)

// Snapshot is host at one moment. The handler changes nothing in it; what it
// refers to may be shared, but must not change any more.
type Snapshot struct {
	Phase Phase
	// Beat is when host's own loop last turned. Zero: not measured, and /livez
	// answers 200 whenever it answers.
	Beat        time.Time
	Server      Server
	Monitoring  Monitoring
	Hub         Hub
	Plugins     []Plugin
	PluginTrust PluginTrust
	Skipped     []Skipped
	Recovery    Recovery
}

// Server is the host process and where it listens.
type Server struct {
	Version         string
	ServerID        string
	SocketIOVersion string
	// Host and Port are the public ones: the host as configured, the port as bound.
	Host    string
	Port    int
	PID     int
	Started time.Time
	// Addresses that are really bound, host:port.
	Addresses []string
	// Admin is the address of the admin listener; empty: off.
	Admin string
}

// Monitoring is the monitor's state.
type Monitoring struct {
	Current monitor.Snapshot
	// History may be nil.
	History  *health.History
	Interval time.Duration
	Window   time.Duration
	// Callbacks is how many functions are told about each report.
	Callbacks int
}

// Hub is the Socket.IO server process.
type Hub struct {
	// State is one word, e.g. "running", "starting", "hung", "stopped".
	State string
	// Accepting says that clients are served now.
	Accepting  bool
	PID        int // 0: none
	Generation uint64
	// Restarts since host started.
	Restarts uint64
	// LastExit says how the last hub before this one ended; empty: none did.
	LastExit string
	// Missed heartbeats in a row.
	Missed     int
	Statistics Statistics
	// Suspects are who and what causes most, the gravest first. What they are called
	// may come from clients: shown, but never a metric label.
	Suspects []Suspect
	// Quarantine is who is kept out now.
	Quarantine []Quarantined
}

// Suspect is somebody, or something, that causes much of one thing.
type Suspect struct {
	Kind    string  `json:"kind"`
	Name    string  `json:"name"`
	Measure string  `json:"measure"`
	Share   float64 `json:"share"`
	Rate    float64 `json:"per_second"`
	Clients int64   `json:"clients"`
	Address string  `json:"address,omitempty"`
}

// Quarantined is somebody who is kept out for a while.
type Quarantined struct {
	ID, Kind, Name, Measure string
	Since, Until            time.Time
	Incident                string
}

// Statistics of the hub. Totals never fall.
type Statistics struct {
	ConnectedClients int64
	ClientsServed    uint64
	EventsProcessed  uint64
	EventsFailed     uint64
	Errors           uint64
	LastActivity     time.Time // zero: never
	// ClientVersions by session id, at most 1000. Shown, but never a metric label.
	ClientVersions map[string]string
	HistorySize    int64
	// SessionsRecovered counts clients that came back and got what they had missed.
	SessionsRecovered uint64
	// LogFailure says why events are kept in memory only; empty: they are not.
	LogFailure string
	Taken      time.Time // zero: the hub has not said anything yet
}

// Plugin is a plugin that was found and is meant to run.
type Plugin struct {
	Name    string
	Check   string // name of its check; empty for a strategy
	Kind    string // e.g. "checker" or "recovery"
	Version string
	// State is one word, e.g. "running", "backoff" or "quarantined".
	State     string
	PID       int // 0: none
	Restarts  uint64
	LastError string
	// Hint is the next step for the operator.
	Hint    string
	Started time.Time
	// NextStart is when it is started again; zero: it is not waiting.
	NextStart time.Time
	// Reloads counts the processes that took over from another one. ReloadError
	// says why the latest reload failed, ReloadHint what to do about it; empty:
	// it did not.
	Reloads                 uint64
	ReloadError, ReloadHint string
	// Memory that its process and what it forked hold, in bytes; 0: not known.
	// MemoryLimit is what they may; 0: no limit.
	Memory, MemoryLimit uint64
	// Stderr is the tail of what it wrote to standard error.
	Stderr []string
	// Verified says by what its files were verified: "lock", "sha256" or nothing.
	Verified string
	// Interpreter of an interpreted plugin.
	Interpreter string
}

// PluginTrust is what the lock of the plugin directory says.
type PluginTrust struct {
	// Required: without a lock no plugin is run.
	Required bool `json:"required"`
	// Locked: there is a lock, and it may be believed.
	Locked bool `json:"locked"`
	// SignedBy is the fingerprint of the key whose signature was verified.
	SignedBy string `json:"signed_by,omitempty"`
	// Error is why no plugin is run, and Hint what to do about it.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Skipped is an entry of the plugin directory that is no running plugin.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy,omitempty"`
}

// Recovery is the strategy's availability and what recovery did.
type Recovery struct {
	// Available: there is a strategy that can be asked.
	Available bool
	// Strategy is its name.
	Strategy string
	// Why it is not available.
	Why string
	// Counts of recovery events since host started. Never falls.
	Counts map[ActionOutcome]uint64
}

// ActionOutcome is an action and what became of it.
type ActionOutcome struct {
	Action  recovery.Action
	Outcome recovery.Outcome
}
