package hubproc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

var (
	// ErrNotInherited is New's answer where a process cannot be given sockets.
	ErrNotInherited = errors.New("a hub inherits its sockets from host, which this platform does not offer; run host on Linux or macOS")
	// ErrNoHub says that there is no hub in service to ask.
	ErrNoHub = errors.New("no hub is in service; wait for it, or restart it")
	// ErrEnded says that Run has returned.
	ErrEnded = errors.New("the keeper of the hub has ended")
	// ErrHalted is what a Restart gets that a Halt overtook.
	ErrHalted = errors.New("the hub was halted meanwhile")
)

// Keeper keeps one hub in service. Its methods may be called from any
// goroutine, except from Options.Events.
type Keeper struct {
	opts Options

	// requests is sent to by Restart and Halt, received from by Run; it is
	// unbuffered and never closed. After ended nobody receives.
	requests chan request
	begun    atomic.Bool
	ended    chan struct{} // closed when Run returns

	emitting sync.Mutex // one event at a time

	mu         sync.Mutex
	snapshot   Snapshot
	current    *worker // in service
	arriving   *worker // about to accept; nil: none
	quarantine quarantine

	// generation belongs to whoever brings a hub up; there is never more than one.
	generation uint64
	// restarts belongs to Run.
	restarts restarts
}

// request is what another goroutine wants of Run.
type request struct {
	halt   bool // else: restart
	reason string
	reply  chan error // capacity 1, one answer
}

// New checks the options and makes a keeper. It starts nothing.
func New(opts Options) (*Keeper, error) {
	if !inheritable {
		return nil, ErrNotInherited
	}
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("keep a hub: %w", err)
	}
	if opts.Executable == "" {
		path, err := ourselves()
		if err != nil {
			return nil, fmt.Errorf("keep a hub: find our own executable: %w", err)
		}
		opts.Executable = path
	}
	opts.Settings = proto.CloneOf(opts.Settings)
	k := &Keeper{
		opts: opts, requests: make(chan request), ended: make(chan struct{}),
		generation: opts.Settings.Generation,
		restarts:   restarts{policy: opts.Restarts, made: slices.Clone(opts.RecentRestarts)},
	}
	k.snapshot = Snapshot{State: Stopped, LastGeneration: k.generation, RecentRestarts: k.restarts.recent(time.Now())}
	return k, nil
}

// Snapshot tells what the keeper knows, without waiting for anything.
func (k *Keeper) Snapshot() Snapshot {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.snapshot
}

// ClearConnections has the hub close the transports of all its clients, spread
// over Options.ClearSpread, so that they reconnect by themselves, and returns
// how many it closed. It blocks until that is done, ctx ends, or
// Options.ClearDeadline is over. It is ErrNoHub without a hub in service.
func (k *Keeper) ClearConnections(ctx context.Context, reason string) (closed int64, err error) {
	k.mu.Lock()
	w := k.current
	k.mu.Unlock()
	if w == nil {
		return 0, fmt.Errorf("clear connections: %w", ErrNoHub)
	}
	ctx, cancel := awakeTimeout(ctx, k.opts.ClearDeadline, k.opts.OwnLateness)
	defer cancel()
	answer, err := w.client.ClearConnections(ctx, &hubv1.ClearConnectionsRequest{
		Reason: reason, Spread: durationpb.New(k.opts.ClearSpread),
	})
	if err != nil {
		return 0, fmt.Errorf("clear connections: %w", w.explain(ctx, "close its connections", err))
	}
	return answer.GetClosed(), nil
}

// Restart puts a new hub in the place of the one in service and returns once it
// accepts and has answered a heartbeat. The new one is loaded beside the old,
// which then tells its clients and ends; only then the new one accepts. An old
// one that is stopped or hung is killed first. If the new one cannot be loaded,
// the old one stays in service; if it fails after that,
// supervision goes on as after an exit. Without a hub (a pause, given up,
// halted) one is started. While one is being started, Restart joins in and
// returns what comes of it. None of this counts against the budget.
//
// ctx bounds the waiting, not the work: what was begun is finished.
func (k *Keeper) Restart(ctx context.Context, reason string) error {
	return k.ask(ctx, request{reason: reason})
}

// Halt stops the hub, clients told, and keeps it down until Restart. It returns
// when no hub process is left, after at most Options.StopDeadline and a second,
// or twice that if it meets a handover; a start that is under way is broken off.
// ctx bounds the waiting, not the work.
func (k *Keeper) Halt(ctx context.Context, reason string) error {
	return k.ask(ctx, request{halt: true, reason: reason})
}

func (k *Keeper) ask(ctx context.Context, r request) error {
	r.reply = make(chan error, 1)
	what := "restart the hub"
	if r.halt {
		what = "halt the hub"
	}
	select {
	case k.requests <- r:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case <-k.ended:
		return fmt.Errorf("%s: %w", what, ErrEnded)
	}
	var err error
	select {
	case err = <-r.reply:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// update changes the snapshot.
func (k *Keeper) update(change func(s *Snapshot)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.snapshot)
}

// emit logs an event and tells whoever asked for it.
func (k *Keeper) emit(e Event) {
	e.At = time.Now()
	k.emitting.Lock()
	defer k.emitting.Unlock()
	log, args := k.opts.Log.Info, []any{}
	if e.PID != 0 {
		args = append(args, "pid", e.PID, "generation", e.Generation)
	}
	if e.Pause != 0 {
		args = append(args, "pause", e.Pause)
	}
	if e.Cause != "" {
		args = append(args, "cause", e.Cause)
	}
	switch e.Kind {
	case StartFailed, Hung, Exited, Paused:
		log = k.opts.Log.Warn
	case GaveUp:
		log = k.opts.Log.Error
	}
	log(phrases[e.Kind], args...)
	if k.opts.Events != nil {
		k.opts.Events(e)
	}
}

var phrases = map[EventKind]string{
	Launched: "hub launched", Serving: "hub in service", StartFailed: "hub did not start", Hung: "hub hangs, is killed",
	Exited: "hub gone", Paused: "host itself did not run for a while", Restart: "hub will be replaced",
	GaveUp: "hub given up, the budget of restarts is spent", HandedOver: "hub handed over", Halted: "hub halted", Ended: "hub stopped",
}
