package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Instance is one plugin with its process, which comes and goes. All exported
// methods may be called from any goroutine at any time.
type Instance struct {
	name   string
	opts   *Options
	log    hclog.Logger
	checks *checkNames

	// Owned by run.
	installed *installed // what is started again when the process ends
	restarts  restarts
	retiring  sync.WaitGroup // processes that were replaced and finish their calls

	released  chan struct{} // holds one; sent by Release, received by run; a second one is dropped
	renewed   chan struct{} // as released, but sent by adopt: another configuration, the same file
	handovers chan handover // from reload, received by run; a sender gives up when run has ended
	ended     chan struct{} // closed when run returns
	cancel    func()        // ends run; set by whoever starts it
	settled   sync.Once     // the first start has succeeded or failed
	first     func()        // called once by settled

	mu        sync.Mutex
	layers    *configLayers // without those of plugin.json, which come with the file; replaced as a whole
	snapshot  Snapshot
	session   *session  // nil unless Running
	evicted   string    // why its check's name was taken away; read by run
	lasts     lasts     // what it was asked last
	tried     installed // what the latest start was made from
	triedLook look      // and how its files looked just before it
	byHand    bool      // refused because its file was exchanged: only a person releases it
}

func newInstance(c Candidate, o *Options, given Configuration, checks *checkNames, first func()) *Instance {
	return &Instance{
		name: c.Name, installed: &installed{candidate: c}, opts: o, checks: checks, first: first,
		log:      o.Log.With("plugin", c.Name),
		layers:   given.layers(c.Name),
		restarts: restarts{policy: o.Restart}, released: make(chan struct{}, 1), renewed: make(chan struct{}, 1),
		tried: installed{candidate: c}, triedLook: lookAt(c),
		handovers: make(chan handover), ended: make(chan struct{}), cancel: func() {},
		snapshot: Snapshot{Name: c.Name, Path: c.Path, Description: c.Description, State: Stopped, Warnings: c.Warnings, Interpreter: c.Interpreter, MemoryLimit: cmp.Or(given.Settings[c.Name].MemoryLimit, o.MemoryLimit)},
	}
}

// wantSum is the SHA-256 that the file must have: the configured one wins over
// that of plugin.json. Empty: any.
func (i *Instance) wantSum(c Candidate) string {
	if sum := i.opts.Settings[i.name].SHA256; sum != "" {
		return sum
	}
	return c.SHA256
}

// Name of the plugin: that of its folder or file.
func (i *Instance) Name() string { return i.name }

// Snapshot is the plugin as it is now. It never blocks for long.
func (i *Instance) Snapshot() Snapshot {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.copyLocked()
}

func (i *Instance) copyLocked() Snapshot {
	s := i.snapshot
	s.StderrTail = slices.Clone(s.StderrTail)
	s.Warnings = slices.Clone(s.Warnings)
	s.Info.Kinds = slices.Clone(s.Info.Kinds)
	s.Info.Capabilities = slices.Clone(s.Info.Capabilities)
	s.Info.Metrics = slices.Clone(s.Info.Metrics)
	s.Info.Actions = slices.Clone(s.Info.Actions)
	return s
}

// CheckName is where the checker's results appear; empty for a plugin that is
// no checker, or has not yet said so.
func (i *Instance) CheckName() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.snapshot.Info.CheckName
}

// current gives the running process, or nil and why there is none. Whoever gets
// a process calls calls.Done when the call has ended.
func (i *Instance) current() (*session, Snapshot) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.session != nil {
		i.session.calls.Add(1)
		return i.session, Snapshot{}
	}
	return nil, i.copyLocked()
}

// Release starts a plugin at once that is quarantined, refused or waiting for
// its next start. Its crashes are forgotten, and its file may have changed. In
// any other state it does nothing.
func (i *Instance) Release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch i.snapshot.State {
	case Quarantined, Refused, Backoff:
		select {
		case i.released <- struct{}{}:
		default: // already released, and not yet started
		}
	}
}

// run keeps the plugin alive until ctx ends and returns once nothing is left of
// its processes.
func (i *Instance) run(ctx context.Context) {
	defer close(i.ended)
	defer i.change(Stopped, Event{})
	defer func() { i.installed.pin.forget() }()
	defer i.retiring.Wait()
	var s *session // one that was handed over while none ran
	for ctx.Err() == nil {
		var err error
		began := time.Now()
		layers := i.configLayers()
		if s == nil {
			i.change(Starting, Event{})
			s, err = i.launch(ctx, i.installed)
			if err == nil {
				err = i.claim(s)
			}
		}
		if err == nil {
			s, err = i.serve(ctx, s)
			began = s.ready
		}
		if ctx.Err() != nil {
			return // asked to stop: our own context decides that, not err
		}
		if s == nil && i.configLayers() != layers {
			continue // what failed was a start with the configuration before
		}
		s = i.recover(ctx, began, err)
	}
	if s != nil { // handed over at the last moment
		i.detach(Stopped, nil)
		s.shutdown(i.opts.StopTimeout, "host is stopping")
	}
}

// recover waits for the time of the next start: after a pause, or when the
// plugin is released, or not before ctx ends. It returns a process that was
// handed over meanwhile, which needs no start.
func (i *Instance) recover(ctx context.Context, began time.Time, err error) *session {
	var launch *LaunchError
	var exit *ExitError
	state, pause := Backoff, time.Duration(0)
	if reason := i.takeEviction(); reason != "" {
		err = &LaunchError{Plugin: i.name, Err: errors.New(reason), Remedy: "remove one of the two plugins, or give it another check_name"}
	}
	switch isLaunch := errors.As(err, &launch); {
	case isLaunch && launch.ours:
		pause = i.restarts.hindered(time.Now(), began)
	case errors.As(err, &exit) && exit.recycled:
		pause = i.restarts.pause(time.Now(), began)
	case isLaunch && !launch.again:
		state = Refused
	default:
		var quarantine bool
		if pause, quarantine = i.restarts.exited(time.Now(), began); quarantine {
			state = Quarantined
		}
	}
	var due <-chan time.Time
	if state == Backoff {
		pause = jitter(pause, rand.Float64())
		timer := time.NewTimer(pause)
		defer timer.Stop()
		due = timer.C
	}
	i.fell(state, err, pause)
	select {
	case <-ctx.Done():
	case <-due:
	case <-i.released:
		i.restarts.forgive()
		i.installed = i.installed.anew()
	case <-i.renewed:
		i.restarts.forgive()
	case h := <-i.handovers:
		i.restarts.forgive()
		i.take(h)
		return h.session
	}
	return nil
}

// take makes the process that was handed over the one that is asked.
func (i *Instance) take(h handover) {
	i.installed.pin.forget()
	i.installed = h.session.from
	h.session.ready = time.Now()
	i.mu.Lock()
	i.snapshot.Reloads++
	i.snapshot.LastReload, i.snapshot.ReloadError, i.snapshot.ReloadHint = time.Now(), "", ""
	i.mu.Unlock()
	i.attach(h.session)
	close(h.taken)
}

// serve watches a process, and those that take over from it, until one ends,
// which is the error, or until ctx ends; then it ends the process within
// StopTimeout. It returns the last process.
func (i *Instance) serve(ctx context.Context, s *session) (*session, error) {
	if s.ready.IsZero() { // else it was attached when it was handed over
		s.ready = time.Now()
		i.attach(s)
	}
	for {
		next, err := i.tend(ctx, s)
		if next == nil {
			return s, err
		}
		former := s
		s = next
		i.retiring.Go(func() { i.retire(ctx, former) })
	}
}

// tend watches one process until it ends, ctx ends, or another one takes over,
// which it returns.
func (i *Instance) tend(ctx context.Context, s *session) (next *session, err error) {
	var watching sync.WaitGroup
	streaming, stopStream := context.WithCancel(ctx)
	defer watching.Wait()
	defer stopStream()
	if s.info.Is(Checker) && s.info.Can(watchCapability) && i.opts.OnWatch != nil {
		watching.Go(func() { i.watch(streaming, s) })
	}
	var health healthCount
	pause := i.opts.HealthInterval
	timer := time.NewTimer(pause)
	defer timer.Stop()
	memory := time.NewTicker(i.opts.MemoryInterval)
	defer memory.Stop()
	var weight weighing
	i.weigh(s, &weight)
	for {
		due := time.Now().Add(pause)
		select {
		case <-ctx.Done():
			i.detach(Stopped, nil)
			s.shutdown(i.opts.StopTimeout, "host is stopping")
			return nil, nil
		case <-s.ctx.Done():
			err := context.Cause(s.ctx)
			i.detach(Backoff, err)
			s.close()
			return nil, err
		case h := <-i.handovers:
			i.take(h)
			return h.session, nil
		case <-memory.C:
			i.weigh(s, &weight)
			pause = time.Until(due) // the timer still runs
			continue
		case <-timer.C:
		}
		i.mu.Lock()
		first := i.installed.pin
		i.mu.Unlock()
		if first.file != nil { // not at the start, when there is enough to do
			first.settle()
			i.mu.Lock()
			if i.tried.pin.file == i.installed.pin.file {
				i.tried.pin = first
			}
			i.installed.pin = first
			i.mu.Unlock()
		}
		pause = i.opts.HealthInterval
		if err := i.ping(ctx, s, due, &health); err != nil {
			pause = i.opts.HealthTimeout / 2
			i.log.Warn("plugin missed a health call", "missed", health.missed, "error", err)
			if health.missed >= i.opts.HealthMisses {
				s.condemn(verdict{
					reason: fmt.Sprintf("it missed %d health calls in a row: %v", health.missed, err),
					remedy: "find out what the plugin waits for; its process must answer the health service at any time",
				})
			}
		}
		timer.Reset(pause)
	}
}

// healthCount counts the health calls that were missed in a row.
type healthCount struct{ missed int }

// ping makes one health call that was due at due. An error is a miss, unless
// the process ended or we are stopping, or were ourselves asleep: a host that
// was paused must not blame its plugins.
func (i *Instance) ping(ctx context.Context, s *session, due time.Time, count *healthCount) error {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, i.opts.HealthTimeout)
	defer cancel()
	tied, untie := s.tie(limited)
	defer untie()
	err := s.health(tied)
	took := time.Since(began)
	switch {
	case err == nil:
		count.missed = 0
		return nil
	case ctx.Err() != nil, s.ctx.Err() != nil:
		return nil
	case began.Sub(due) > i.opts.Lateness, took > i.opts.HealthTimeout+i.opts.Lateness:
		i.log.Debug("own pause noticed, the missed health call does not count", "late", began.Sub(due), "took", took)
		return nil
	}
	count.missed++
	cause, _ := fromStatus(err)
	return cause
}

// attach makes a process the one that is asked.
func (i *Instance) attach(s *session) {
	i.mu.Lock()
	i.session = s
	c := s.from.candidate
	i.snapshot.Path, i.snapshot.Description, i.snapshot.Warnings = c.Path, c.Description, c.Warnings
	i.snapshot.Interpreter, i.snapshot.Verified = c.Interpreter, s.verified
	i.snapshot.Info = s.info
	i.snapshot.PID = s.run.process().PID()
	i.snapshot.StartedAt = s.ready
	i.outdatedLocked()
	evicted := i.evicted
	i.mu.Unlock()
	if evicted != "" { // while it was being started
		s.condemn(verdict{reason: evicted})
	}
	i.change(Running, Event{PID: s.run.process().PID(), Version: s.info.Version})
}

// detach lets no new call reach the process. The state is that until the next
// change, and err is why, if there is a reason to tell.
func (i *Instance) detach(state State, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.session = nil
	i.snapshot.State, i.snapshot.PID, i.snapshot.StartedAt, i.snapshot.Memory = state, 0, time.Time{}, 0
	if err != nil {
		i.blameLocked(err)
	}
}

// blameLocked books err as the latest failure. The lock is held.
func (i *Instance) blameLocked(err error) {
	i.snapshot.LastError, i.snapshot.LastHint, i.snapshot.LastErrorAt = oneLine(err), hintOf(err), time.Now()
	i.snapshot.StderrTail = nil
	var exit *ExitError
	var launch *LaunchError
	if errors.As(err, &exit) {
		i.snapshot.StderrTail = exit.Tail
	} else if errors.As(err, &launch) {
		i.snapshot.StderrTail = launch.Tail
	}
}

// fell books a failure and the state that follows from it.
func (i *Instance) fell(state State, err error, pause time.Duration) {
	if state == Quarantined {
		err = &quarantineError{i.opts.Restart, err}
	}
	i.mu.Lock()
	i.blameLocked(err)
	i.byHand = errors.Is(err, errChanged)
	if state == Backoff {
		i.snapshot.NextStart = time.Now().Add(pause)
	}
	e := Event{Cause: i.snapshot.LastError, Hint: i.snapshot.LastHint, Wait: pause}
	i.mu.Unlock()
	i.log.Warn("plugin failed", "state", string(state), "wait", pause, "error", e.Cause, "hint", e.Hint)
	i.change(state, e)
}

// change enters a state and tells whoever listens.
func (i *Instance) change(state State, e Event) {
	i.mu.Lock()
	if state == Starting && !i.snapshot.LastStart.IsZero() {
		i.snapshot.Restarts++
	}
	if state == Starting {
		i.snapshot.LastStart = time.Now()
	}
	if state != Backoff {
		i.snapshot.NextStart = time.Time{}
	}
	i.snapshot.State = state
	e.Time, e.Plugin, e.State, e.Restarts, e.Reloads = time.Now(), i.name, state, i.snapshot.Restarts, i.snapshot.Reloads
	i.mu.Unlock()
	if i.opts.Events != nil {
		i.opts.Events(e)
	}
	if state != Starting {
		i.settled.Do(i.first)
	}
}

// evict takes the check's name away: an earlier plugin has it. The process ends.
func (i *Instance) evict(reason string) {
	i.mu.Lock()
	i.evicted = reason
	s := i.session
	i.mu.Unlock()
	if s != nil {
		s.condemn(verdict{reason: reason})
	}
}

func (i *Instance) takeEviction() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	reason := i.evicted
	i.evicted = ""
	return reason
}

// checkNames gives every check's name to one plugin, the first by name, in
// whatever order they start.
type checkNames struct {
	mu     sync.Mutex
	owners map[string]*Instance
}

// release gives back what i has.
func (c *checkNames) release(i *Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, owner := range c.owners {
		if owner == i {
			delete(c.owners, name)
		}
	}
}

// claim gives the name to i, taking it from a later plugin if need be. It
// returns the earlier plugin that has it, and nil when i has got it.
func (c *checkNames) claim(name string, i *Instance) (owner *Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	owner = c.owners[name]
	if owner != nil && owner.name < i.name {
		return owner
	}
	for other, o := range c.owners {
		if o == i && other != name { // another version may make another check
			delete(c.owners, other)
		}
	}
	c.owners[name] = i
	if owner != nil && owner != i {
		owner.evict(fmt.Sprintf("its check %q is made by plugin %q, which comes first", name, i.name))
	}
	return nil
}
