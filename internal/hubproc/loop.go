package hubproc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/upkeephub/upkeep/internal/child"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

// loop is the state of Run, which alone uses it.
type loop struct {
	*Keeper
	ctx    context.Context
	hub    *worker     // in service; nil: none
	change *change     // being brought up; nil: nothing
	pause  *time.Timer // until the next start
	armed  bool        // pause is running
}

// change is the bringing up of a hub, with or without an old one to replace.
type change struct {
	cancel  context.CancelFunc
	done    chan outcome // capacity 1, one outcome
	waiting []chan error // who asked for it
}

// outcome of a change. If err is nil, hub is the new one, which has answered its
// first heartbeat. Otherwise hub is the old one if it is still in service; if
// not, failed tells how long the new one lived.
type outcome struct {
	hub    *worker
	err    error
	failed time.Duration

	stats     *hubv1.Statistics // of the first heartbeat
	roundTrip time.Duration
	reason    string
	handover  bool // the new one replaced one that was in service
}

// Run keeps a hub in service until ctx ends: it starts one, watches it and
// replaces it. Then it stops the hub, clients told, and returns when no process is
// left; the error says if one is. It may be called once.
func (k *Keeper) Run(ctx context.Context) error {
	if !k.begun.CompareAndSwap(false, true) {
		return errors.New("keep a hub: Run was called before; make a new Keeper")
	}
	defer close(k.ended)
	l := &loop{Keeper: k, ctx: ctx, pause: time.NewTimer(time.Hour)}
	defer l.pause.Stop()
	l.pause.Stop()
	k.update(func(s *Snapshot) { s.State = Starting })
	l.begin("host starts")
	for {
		var over <-chan struct{}
		var changed <-chan outcome
		if l.change != nil {
			changed = l.change.done // it looks after the old hub meanwhile
		} else if l.hub != nil {
			over = l.hub.over
		}
		select {
		case <-ctx.Done():
			return l.finish()
		case r := <-k.requests:
			l.handle(r)
		case o := <-changed:
			l.settle(o)
		case <-over:
			l.bury()
		case <-l.pause.C:
			l.armed = false
			l.begin("restart")
		}
	}
}

// begin starts to bring a hub up, in place of the present one if there is one.
func (l *loop) begin(reason string, waiting ...chan error) {
	l.disarm()
	ctx, cancel := context.WithCancel(l.ctx)
	c := &change{cancel: cancel, done: make(chan outcome, 1), waiting: waiting}
	l.change = c
	old := l.hub
	if old == nil {
		l.update(func(s *Snapshot) {
			if s.State != Starting {
				s.State = Restarting
			}
		})
	}
	go func() { c.done <- l.bringUp(ctx, old, reason) }()
}

func (l *loop) disarm() {
	if l.armed {
		l.pause.Stop()
		l.armed = false
		l.update(func(s *Snapshot) { s.NextStart = time.Time{} })
	}
}

// settle takes over what a change came to.
func (l *loop) settle(o outcome) {
	c := l.change
	l.change = nil
	c.cancel()
	l.hub = o.hub
	if o.err == nil {
		l.serve(o)
	}
	for _, reply := range c.waiting {
		reply <- o.err
	}
	if o.err != nil && o.hub == nil && l.ctx.Err() == nil {
		l.replace(o.failed)
	}
}

// serve puts the new hub in service and begins to watch it.
func (l *loop) serve(o outcome) {
	w := o.hub
	l.adopt(w, o)
	w.beginWatch(observer{
		answered: func(stats *hubv1.Statistics, at time.Time, roundTrip time.Duration) {
			l.update(func(s *Snapshot) {
				s.Statistics, s.LastHeartbeat, s.RoundTrip, s.Missed = stats, at, roundTrip, 0
			})
		},
		missed: func(inARow int) {
			l.update(func(s *Snapshot) { s.Missed = inARow })
		},
		paused: func(away time.Duration) {
			l.emit(Event{Kind: Paused, PID: w.proc.PID(), Generation: w.generation, Pause: away})
		},
	})
	l.emit(Event{Kind: Serving, PID: w.proc.PID(), Generation: w.generation, Cause: o.reason})
	if o.handover {
		l.emit(Event{Kind: HandedOver, PID: w.proc.PID(), Generation: w.generation, Cause: o.reason})
	}
}

// breakOff ends a change before its time.
func (l *loop) breakOff(why error) {
	l.disarm()
	if l.change == nil {
		return
	}
	l.change.cancel()
	o := <-l.change.done
	l.hub = o.hub
	for _, reply := range l.change.waiting {
		reply <- why
	}
	l.change = nil
}

// handle does what another goroutine asked for.
func (l *loop) handle(r request) {
	switch {
	case r.halt:
		l.breakOff(ErrHalted)
		err := l.end(r.reason)
		l.emit(Event{Kind: Halted, Cause: r.reason})
		r.reply <- err
	case l.change != nil:
		l.change.waiting = append(l.change.waiting, r.reply)
	default:
		l.begin(r.reason, r.reply)
	}
}

// finish ends Run.
func (l *loop) finish() error {
	l.breakOff(ErrEnded)
	err := l.end("host stops")
	l.emit(Event{Kind: Ended})
	return err
}

// end stops the hub, if there is one.
func (l *loop) end(reason string) error {
	w := l.hub
	l.hub = nil
	var err error
	if w != nil {
		stats, exit := w.stop(reason)
		l.retire(w, stats, exit, reason)
		if errors.Is(exit.Err, child.ErrRunning) {
			err = fmt.Errorf("hub %d does not end, not even by SIGKILL; look what it waits for: cat /proc/%d/stack", w.proc.PID(), w.proc.PID())
		}
	}
	l.update(func(s *Snapshot) { s.State = Stopped })
	return err
}

// bury deals with a hub in service that is gone or hung.
func (l *loop) bury() {
	w := l.hub
	l.hub = nil
	cause := w.cause
	if w.hung {
		l.emit(Event{Kind: Hung, PID: w.proc.PID(), Generation: w.generation, Cause: cause})
	}
	exit := w.kill() // its group, and what is left of it; reaps
	l.update(func(s *Snapshot) { s.State = Restarting })
	l.retire(w, nil, exit, cause)
	l.emit(Event{Kind: Exited, PID: w.proc.PID(), Generation: w.generation, Cause: cause, Output: exit.Tail})
	l.replace(time.Since(w.started))
}

// replace starts the next hub, at once or later, if the budget allows.
func (l *loop) replace(lived time.Duration) {
	now := time.Now()
	pause, ok := l.restarts.next(now, lived)
	recent := l.restarts.recent(now)
	if !ok {
		l.update(func(s *Snapshot) { s.State, s.RecentRestarts = GivenUp, recent })
		l.emit(Event{Kind: GaveUp, Cause: fmt.Sprintf("%d restarts within %v did not help", len(recent), l.opts.Restarts.Window)})
		return
	}
	l.update(func(s *Snapshot) {
		s.State, s.RecentRestarts = Restarting, recent
		s.Restarts++
		if pause > 0 {
			s.NextStart = now.Add(pause)
		}
	})
	l.emit(Event{Kind: Restart, Pause: pause})
	if pause == 0 {
		l.begin("restart")
		return
	}
	l.pause.Reset(pause)
	l.armed = true
}

// bringUp runs beside the loop, one at a time. It loads a new hub, ends the old
// one if there is one, and lets the new one accept.
func (k *Keeper) bringUp(ctx context.Context, old *worker, reason string) (o outcome) {
	if old != nil && (old.finished() || old.suspended()) {
		k.update(func(s *Snapshot) { s.State = Restarting })
		k.retire(old, nil, old.kill(), reason)
		old = nil
	}
	handover := old != nil
	k.generation++
	generation := k.generation
	k.update(func(s *Snapshot) { s.LastGeneration = generation })
	w, err := spawn(&k.opts, generation)
	if err != nil {
		k.emit(Event{Kind: StartFailed, Cause: err.Error()})
		return outcome{hub: old, err: err}
	}
	k.emit(Event{Kind: Launched, PID: w.proc.PID(), Generation: generation, Cause: reason})
	failed := func(err error) outcome {
		k.arrive(nil)
		exit := w.kill()
		text := err.Error()
		if ctx.Err() == nil {
			k.emit(Event{Kind: StartFailed, PID: w.proc.PID(), Generation: generation, Cause: text, Output: exit.Tail})
		}
		k.update(func(s *Snapshot) { s.LastExit, s.LastExitAt = text, time.Now() })
		return outcome{hub: old, err: err, failed: time.Since(w.started)}
	}

	loading, cancel := awakeTimeout(ctx, k.opts.StartDeadline, k.opts.OwnLateness)
	defer cancel()
	if err := w.load(loading); err != nil {
		return failed(err)
	}
	cancel()
	if old != nil {
		k.update(func(s *Snapshot) { s.State = Restarting })
		// The new one accepts while the old one still says goodbye to its clients.
		k.withdraw(old, old.letGo(reason))
		reaped := make(chan child.Exit, 1)
		go func(w *worker) { reaped <- w.reap() }(old)
		defer func(old *worker) {
			if exit := <-reaped; o.err == nil {
				k.noteExit(old, exit, "replaced: "+reason)
			}
		}(old)
		old = nil
	}
	accepting, cancel := awakeTimeout(ctx, k.opts.StartDeadline, k.opts.OwnLateness)
	defer cancel()
	stats, roundTrip, err := w.accept(accepting, k.Snapshot().Statistics, k.arrive(w))
	if err != nil {
		return failed(err)
	}
	return outcome{hub: w, stats: stats, roundTrip: roundTrip, reason: reason, handover: handover}
}

// adopt puts a hub in service.
func (k *Keeper) adopt(w *worker, o outcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current, k.arriving = w, nil
	s := &k.snapshot
	s.State = Running
	s.PID, s.StartTicks, s.Generation = w.proc.PID(), w.proc.StartTicks(), w.generation
	s.StartedAt, s.AcceptingSince = w.started, w.accepting
	s.Statistics, s.LastHeartbeat, s.RoundTrip, s.Missed = o.stats, w.accepting.Add(o.roundTrip), o.roundTrip, 0
	s.NextStart = time.Time{}
	if o.handover {
		s.Handovers++
	}
}

// retire takes a hub that has ended out of service. What it counted is the base
// of the next one; what it held is gone with it.
func (k *Keeper) retire(w *worker, last *hubv1.Statistics, exit child.Exit, cause string) {
	k.withdraw(w, last)
	k.noteExit(w, exit, cause)
}

// noteExit keeps how and why a hub ended.
func (k *Keeper) noteExit(w *worker, exit child.Exit, cause string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.snapshot
	s.LastExit, s.LastExitAt = cause, time.Now()
	if text := w.exitText(exit); text != cause {
		s.LastExit += ": " + text
	}
}

// withdraw takes a hub out of service.
func (k *Keeper) withdraw(w *worker, last *hubv1.Statistics) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == w {
		k.current = nil
	}
	s := &k.snapshot
	s.PID, s.StartTicks, s.Generation = 0, 0, 0
	s.StartedAt, s.AcceptingSince = time.Time{}, time.Time{}
	s.Missed = 0
	if last == nil {
		last = s.Statistics
	}
	if last != nil {
		last = proto.CloneOf(last)
		last.ConnectedClients, last.ClientDescriptors, last.ClientVersions, last.LogFailure, last.Suspects = 0, 0, nil, "", nil
		s.Statistics = last
	}
}
