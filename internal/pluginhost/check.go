package pluginhost

import (
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

// Target says what a checker is to look at.
type Target struct {
	HostPID int
	// HubPID is 0 when no hub is running.
	HubPID        int
	HubGeneration uint64
	// Host and Port are what clients use, e.g. "localhost" and 8765.
	Host string
	Port int
	// Addresses are the bound ones, host:port.
	Addresses []string
	// Path of the Socket.IO endpoint, "/socket.io/".
	Path string
	TLS  bool
	// ProbeSecret marks connections that are not counted, limited or relayed.
	ProbeSecret string
}

// Statistics is what the hub says about itself. Counters never fall.
type Statistics struct {
	Generation       uint64
	ConnectedClients int64
	ClientsServed    uint64
	EventsProcessed  uint64
	// EventsFailed failed by the hub's own fault; Errors includes refused input.
	EventsFailed uint64
	Errors       uint64
	// LastActivity is when a client was last heard; zero: never.
	LastActivity      time.Time
	ClientDescriptors int64
	HistorySize       int64
	TakenAt           time.Time
	MaxConnections    int64
	Goroutines        int64 // of the hub; 0: it did not say
	// LogFailure says why events are kept in memory only; empty: they are not.
	LogFailure string
	// Suspects are who and what causes most; only a strategy is told.
	Suspects []recovery.Suspect
}

// CheckInput is everything a checker needs for one look.
type CheckInput struct {
	// ID names the check in logs on both sides; it may be empty.
	ID     string
	Target Target
	// Statistics is nil while the hub has not said anything.
	Statistics *Statistics
	// Samples are the counters of earlier checks, oldest first.
	Samples []health.Sample
	// Now is the time of the check; zero means the present.
	Now time.Time
}

// CheckOutput is what came of one look.
type CheckOutput struct {
	// Result is fit for JSON, logs and metrics whatever the plugin sent. What
	// was wrong with the plugin's answer stands in Result.Errors.
	Result health.Result
	// Counters are to be given back as a sample with later checks.
	Counters map[string]float64
}
