package hubproc

import (
	"time"

	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

// State is what the keeper is doing.
type State string

// The states of a keeper.
const (
	Starting   State = "starting"   // the first hub has not answered yet
	Running    State = "running"    // a hub accepts and answers
	Restarting State = "restarting" // there is no hub in service, and one will be
	Stopped    State = "stopped"    // not begun, halted, or ended with Run
	GivenUp    State = "given_up"   // the budget is spent; Restart leads out
)

// Snapshot is what the keeper knows at one moment. It is a copy; Statistics and
// RecentRestarts are shared with other snapshots and must not be changed.
type Snapshot struct {
	State State
	// PID, StartTicks, Generation and StartedAt are those of the hub in
	// service, and zero without one.
	PID        int
	StartTicks uint64
	Generation uint64
	StartedAt  time.Time
	// AcceptingSince is when the hub in service began to accept.
	AcceptingSince time.Time
	// LastGeneration is the highest generation that any hub was given.
	LastGeneration uint64
	// Statistics are those of the last heartbeat. Without a hub the totals stay
	// and what counts the present is 0. Nil before the first heartbeat.
	Statistics *hubv1.Statistics
	// LastHeartbeat is when the last answer came, and RoundTrip how long it
	// took. Missed counts the heartbeats missed since.
	LastHeartbeat time.Time
	RoundTrip     time.Duration
	Missed        int
	// Restarts counts the replacements that nobody asked for, Handovers those
	// that Restart made. RecentRestarts are the former within the window.
	Restarts       int
	Handovers      int
	RecentRestarts []time.Time
	// NextStart is when the next attempt begins, during a pause.
	NextStart time.Time
	// LastExit tells how and why the last hub ended; empty when none did.
	LastExit   string
	LastExitAt time.Time
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	Launched    EventKind = "launched"     // a process was started
	Serving     EventKind = "serving"      // it accepts and answered its first heartbeat
	StartFailed EventKind = "start_failed" // it did not get that far; it is gone
	Hung        EventKind = "hung"         // it does not answer and is being killed
	Exited      EventKind = "exited"       // a hub in service is gone, unasked
	Paused      EventKind = "paused"       // we ourselves did not run for a while; nothing is held against the hub
	Restart     EventKind = "restart"      // a replacement follows after Pause
	GaveUp      EventKind = "gave_up"      // no replacement: the budget is spent
	HandedOver  EventKind = "handed_over"  // Restart put a new hub in the old one's place
	Halted      EventKind = "halted"       // Halt stopped the hub
	Ended       EventKind = "ended"        // Run stopped the hub and returns
)

// Event is one thing that the keeper did or saw.
type Event struct {
	Kind       EventKind
	At         time.Time
	PID        int    // of the hub it is about; 0 when there is none
	Generation uint64 // likewise
	// Cause is one phrase for people: why, or how it ended.
	Cause string
	// Pause is how long the replacement waits, or how long we did not run.
	Pause time.Duration
	// Output holds the last lines that a hub wrote before it ended.
	Output []string
}
