package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upkeephub/upkeep/core/recovery"
)

// handover is a process that is ready to take over.
type handover struct {
	session *session
	taken   chan struct{} // closed by the receiver when the process is the one that is asked
}

// lasts is what a plugin was asked last, so that a new process can be tried
// with the same.
type lasts struct {
	check, decide last
	input         CheckInput
	request       recovery.Request
}

// last is how the latest call of its kind went.
type last struct {
	made, failed bool
	within       time.Duration // what it was given
}

// remember books a call that began at began. pick notes what was asked.
func (i *Instance) remember(ctx context.Context, began time.Time, err error, pick func(*lasts) *last) {
	if errors.Is(err, ErrDown) || errors.Is(err, context.Canceled) {
		return // nobody was asked, or nobody waited for the answer
	}
	within := i.opts.CallTimeout
	if deadline, given := ctx.Deadline(); given {
		if within = deadline.Sub(began); within <= 0 {
			return
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	*pick(&i.lasts) = last{made: true, failed: err != nil, within: within}
}

// replace starts a process of what is installed now beside the one that runs,
// and lets it take over between two calls. When it does not start, or fails at
// what the present one did last, the present one goes on and the error, a
// *LaunchError, says why. It blocks until then, or until ctx ends.
func (i *Instance) replace(ctx context.Context, c Candidate) error {
	from := &installed{candidate: c}
	s, err := i.launch(ctx, from)
	if err == nil {
		if err = i.try(ctx, s); err != nil {
			s.shutdown(i.opts.StopTimeout, "it was not better than the one before")
		}
	}
	if err == nil {
		err = i.claim(s)
	}
	if err == nil {
		err = i.handOver(ctx, s)
	}
	if err != nil {
		from.pin.forget()
		i.kept(err)
	}
	return err
}

// handOver gives a process to run, which owns it from then on.
func (i *Instance) handOver(ctx context.Context, s *session) error {
	h := handover{session: s, taken: make(chan struct{})}
	select {
	case i.handovers <- h:
		<-h.taken
		return nil
	case <-i.ended:
	case <-ctx.Done():
	}
	s.shutdown(i.opts.StopTimeout, "host is stopping")
	return &LaunchError{Plugin: i.name, Err: ErrStopped, Remedy: "try again when host runs"}
}

// try asks a fresh process what the present one was asked last. Only what the
// present one could do is an error.
func (i *Instance) try(ctx context.Context, s *session) error {
	i.mu.Lock()
	l := i.lasts
	i.mu.Unlock()
	worse := func(what string, err error) error {
		cause, _ := fromStatus(err)
		var exit *ExitError
		if errors.As(context.Cause(s.ctx), &exit) {
			cause = exit
		}
		return &LaunchError{
			Plugin: i.name, Err: fmt.Errorf("its first %s failed, where the one before did not: %w", what, cause),
			Remedy: "mend what the message names, or reload again if it was the moment's",
		}
	}
	ask := func(within time.Duration, call func(context.Context) error) error {
		limited, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		tied, untie := s.tie(limited)
		defer untie()
		err := call(tied)
		if err != nil {
			select { // a process that is dying gets the time to say how
			case <-s.ctx.Done():
			case <-time.After(exitGrace):
			}
		}
		return err
	}
	if s.info.Is(Checker) && l.check.made && !l.check.failed {
		in := l.input
		if i.opts.WatchInput != nil { // the target may be another by now
			in = i.opts.WatchInput(s.info.CheckName)
			in.ID, in.Samples = l.input.ID, l.input.Samples
		}
		in.Now = time.Now()
		if err := ask(l.check.within, func(ctx context.Context) error { _, err := s.check(ctx, in); return err }); err != nil {
			return worse("check", err)
		}
	}
	if s.info.Is(Recovery) && l.decide.made && !l.decide.failed {
		if err := ask(l.decide.within, func(ctx context.Context) error { _, err := s.decide(ctx, l.request, nil); return err }); err != nil {
			return worse("decision", err)
		}
	}
	return nil
}

// retire ends a process that another one took over from, once the calls that
// it still answers have ended.
func (i *Instance) retire(ctx context.Context, s *session) {
	idle := make(chan struct{})
	go func() { s.calls.Wait(); close(idle) }() // calls end with the process at the latest
	timer := time.NewTimer(i.opts.CallTimeout)
	defer timer.Stop()
	select {
	case <-idle:
	case <-s.ctx.Done():
	case <-timer.C:
	case <-ctx.Done():
	}
	s.shutdown(i.opts.StopTimeout, "another process took over")
	<-idle
}

// kept books why a reload failed: what was before goes on.
func (i *Instance) kept(err error) {
	i.mu.Lock()
	i.snapshot.LastReload, i.snapshot.ReloadError, i.snapshot.ReloadHint = time.Now(), oneLine(err), hintOf(err)
	i.mu.Unlock()
	i.log.Warn("plugin was not reloaded, what was before goes on", "error", oneLine(err), "hint", hintOf(err))
}
