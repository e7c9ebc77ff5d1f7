package pluginhost

import "time"

// State of a plugin.
type State string

const (
	// Starting: a process is being started, from fork to configured.
	Starting State = "starting"
	// Running: it answers.
	Running State = "running"
	// Backoff: it ended, and the next start waits for its time.
	Backoff State = "backoff"
	// Quarantined: it ended too often and is not started until it is released.
	Quarantined State = "quarantined"
	// Refused: it must not or cannot run, and starting it again would not help.
	Refused State = "refused"
	// Stopped: host is stopping, or has not begun.
	Stopped State = "stopped"
)

// Event is one change of a plugin's state.
type Event struct {
	Time   time.Time
	Plugin string
	State  State
	// PID and Version of the process that runs now.
	PID     int
	Version string
	// Cause is why the state is what it is, in one line; Hint what to do about
	// it. Both are empty when all is well.
	Cause, Hint string
	// Wait is the pause before the next start, in the state Backoff.
	Wait time.Duration
	// Restarts counts the processes started after the first.
	Restarts int
	// Reloads counts the processes that took over from another one.
	Reloads int
}

// Snapshot is one plugin as it is at one moment. It is the caller's.
type Snapshot struct {
	Name, Path  string
	Description string // of plugin.json
	State       State
	// Info is what the plugin said about itself; zero before its first start.
	Info     Description
	PID      int
	Restarts int
	// Reloads counts the processes that took over from another one.
	Reloads int
	// LastReload is when the latest reload ended; zero: there was none. If it
	// failed ReloadError and ReloadHint say why, and what ran before went on.
	LastReload              time.Time
	ReloadError, ReloadHint string
	// Memory is what the process and its descendants hold resident, in bytes, as
	// last seen; 0: not known. MemoryLimit is what they may; 0: no limit.
	Memory, MemoryLimit uint64
	// StartedAt is when the present process began to run; zero: none runs.
	StartedAt time.Time
	// NextStart is when it is started again, in the state Backoff.
	NextStart time.Time
	// LastError and LastHint tell of the latest failure, also when it runs
	// again; LastErrorAt when that was. StderrTail has the last lines that the
	// failed process wrote.
	LastError, LastHint string
	LastErrorAt         time.Time
	// LastStart is when the latest start began.
	LastStart  time.Time
	StderrTail []string
	// Warnings of discovery: what is allowed but not wise.
	Warnings []string
	// Interpreter of an interpreted plugin; empty for others.
	Interpreter string
	// Verified says by what the plugin's files were verified at the latest start.
	Verified Verified
}

// Verified says by what a plugin's files were verified before a start.
type Verified string

const (
	// Unverified: by nothing but owners and permissions, or not at all.
	Unverified Verified = ""
	// VerifiedBySum: the checksum of its executable or script, which is configured.
	VerifiedBySum Verified = "sha256"
	// VerifiedByLock: the plugin directory's lock, which has all of its files.
	VerifiedByLock Verified = "lock"
)
