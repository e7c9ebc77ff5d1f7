package hubproc

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/proto/handshake"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

// Options of a Keeper. Listeners, Settings and Log are required; begin with
// DefaultOptions for the rest.
type Options struct {
	// Executable is the program that has the hub command; empty means this one.
	Executable string
	// Args follow the program's name; DefaultOptions says "hub".
	Args []string
	// Env is added to the few variables that a hub inherits (see inherited),
	// and wins over them.
	Env []string
	// StateDir is the absolute path of the state directory. Unless empty it is
	// marked in the hub's environment, for child.Sweep.
	StateDir string
	// Listeners are what the hub accepts from. They stay the caller's.
	Listeners *Listeners
	// Settings are given to every hub. The keeper sets the generation: the first
	// hub gets Settings.Generation + 1, so give the last one ever used. A port of
	// 0 becomes that of Listeners.
	Settings *hubv1.Settings
	// Amend, unless nil, changes the settings for each hub before that gets them. It
	// must not block.
	Amend func(*hubv1.Settings)
	// Log gets what the keeper does; what the hub writes goes to its child "worker".
	Log hclog.Logger
	// LogLevel is asked for each heartbeat and says the least that the hub logs:
	// trace, debug, info, warn or error. It must not block. Nil, or an empty
	// answer: the hub goes on as before, from info on.
	LogLevel func() string
	// Events, unless nil, is told of everything that the keeper does, one event
	// at a time. It must not block: a replacement waits for it. It may call
	// Snapshot, and must not call the other methods.
	Events func(Event)

	// HeartbeatInterval is the pause from one question to the next; an answer
	// later than HeartbeatDeadline is missed.
	HeartbeatInterval time.Duration
	HeartbeatDeadline time.Duration
	// BusyLimit is how long a hub that uses the processor may be silent.
	BusyLimit time.Duration
	// OwnLateness is how late a timer of ours may fire before we take it that we
	// were stopped or starved ourselves.
	OwnLateness time.Duration
	// StartDeadline bounds the time from the start of the process to its first
	// heartbeat, not counting time in which we did not run ourselves.
	StartDeadline time.Duration
	// StopDeadline bounds a hub's stop, Drain the part in which it may finish
	// what it accepted. A hub that needs longer is killed.
	StopDeadline time.Duration
	Drain        time.Duration
	// ClearSpread is over how long ClearConnections spreads the closing, and
	// ClearDeadline how long it may take in all.
	ClearSpread   time.Duration
	ClearDeadline time.Duration
	// Restarts bounds the replacements that nobody asked for.
	Restarts RestartPolicy
	// RecentRestarts are the replacements of earlier keepers, as
	// Snapshot.RecentRestarts told them, so that restarting host does not
	// refill the budget.
	RecentRestarts []time.Time
}

// DefaultOptions are the design's numbers.
func DefaultOptions() Options {
	return Options{
		Args:              []string{handshake.HubCommand},
		HeartbeatInterval: 500 * time.Millisecond,
		HeartbeatDeadline: time.Second,
		BusyLimit:         5 * time.Second,
		OwnLateness:       250 * time.Millisecond,
		StartDeadline:     10 * time.Second,
		StopDeadline:      3 * time.Second,
		Drain:             250 * time.Millisecond,
		ClearSpread:       time.Second,
		ClearDeadline:     10 * time.Second,
		Restarts: RestartPolicy{
			Limit: 5, Window: time.Minute, Quick: 10 * time.Second,
			FirstPause: 500 * time.Millisecond, MaxPause: 30 * time.Second,
		},
	}
}

func (o Options) validate() error {
	var errs []error
	if o.Listeners == nil {
		errs = append(errs, errors.New("Options.Listeners is nil; call Listen"))
	}
	if o.Settings == nil {
		errs = append(errs, errors.New("Options.Settings is nil; say how the hub is to be set up"))
	}
	if o.Log == nil {
		errs = append(errs, errors.New("Options.Log is nil; give a logger"))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"HeartbeatInterval", o.HeartbeatInterval}, {"HeartbeatDeadline", o.HeartbeatDeadline},
		{"BusyLimit", o.BusyLimit}, {"OwnLateness", o.OwnLateness},
		{"StartDeadline", o.StartDeadline}, {"StopDeadline", o.StopDeadline}, {"ClearDeadline", o.ClearDeadline},
		{"Restarts.Window", o.Restarts.Window}, {"Restarts.FirstPause", o.Restarts.FirstPause}, {"Restarts.MaxPause", o.Restarts.MaxPause},
	} {
		if d.value <= 0 {
			errs = append(errs, fmt.Errorf("Options.%s is %v; give a positive duration, or begin with DefaultOptions", d.name, d.value))
		}
	}
	if o.Restarts.Limit < 0 || o.Restarts.Quick < 0 || o.Drain < 0 || o.ClearSpread < 0 {
		errs = append(errs, errors.New("Options.Restarts.Limit, Restarts.Quick, Drain and ClearSpread must not be negative"))
	}
	return errors.Join(errs...)
}
