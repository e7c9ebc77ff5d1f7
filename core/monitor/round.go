package monitor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// round is what one look at everything found.
type round struct {
	epoch      int // in which it began, see Monitor.epoch
	started    time.Time
	took       time.Duration
	generation uint64
	checks     []Check
	results    []health.Result // same order
}

func (r round) healthy() bool {
	for _, res := range r.results {
		if res.Status != health.Healthy {
			return false
		}
	}
	return true
}

// rounds looks. Only one look is under way at a time.
type rounds struct {
	source  func() []Check
	subject Subject       // may be nil
	timeout time.Duration // of checks that ask for none
	window  time.Duration // of the samples given back to checkers
	samples map[string]*health.Samples
	busy    map[string]*atomic.Bool // checks that have not returned yet
	// slow are the checks that used up their time without an answer. They are
	// asked again, but no round waits for them until one has answered in time:
	// one hung checker costs the others one deadline, once.
	slow   map[string]*slowCheck
	serial uint64
	// spawn starts a goroutine that the loop waits for.
	spawn func(func())
}

// look runs one round and returns what it found about the subject that is
// there now: a round that was suspended together with host, or whose subject
// was replaced under its hands, says nothing and is done again, at most
// maxReruns times.
func (r *rounds) look(ctx context.Context, timeout, window time.Duration) round {
	r.timeout, r.window = timeout, window
	for again := 0; ; again++ {
		found, suspended := r.lookOnce(ctx)
		if ctx.Err() != nil || again == maxReruns {
			return found
		}
		if suspended {
			continue
		}
		if r.subject == nil || found.healthy() {
			return found
		}
		settle, cancel := context.WithTimeout(ctx, settleTimeout)
		r.subject.Settle(settle, found.started.Add(found.took))
		cancel()
		if r.subject.Generation() == found.generation {
			return found
		}
	}
}

// slowCheck is a check that nobody waits for.
type slowCheck struct {
	back chan looked // has room for the one look that is under way
	err  error       // why the last look failed
}

// answered says whether a look ended before its time was used up.
func (l looked) answered(c Check) bool { return l.err == nil || l.took < c.Timeout }

type looked struct {
	index   int
	outcome Outcome
	err     error
	now     time.Time
	took    time.Duration
}

func (r *rounds) lookOnce(ctx context.Context) (found round, suspended bool) {
	found.started = time.Now()
	if r.subject != nil {
		found.generation = r.subject.Generation()
	}
	found.checks = slices.Clone(r.source())
	found.results = make([]health.Result, len(found.checks))
	back := make(chan looked, len(found.checks)) // never blocks a check that returns late
	var longest time.Duration
	waiting := map[int]bool{}
	for i, c := range found.checks {
		if c.Timeout <= 0 {
			c.Timeout = r.timeout
			found.checks[i] = c
		}
		busy := r.busy[c.Name]
		if busy == nil {
			busy = new(atomic.Bool)
			r.busy[c.Name] = busy
		}
		if !busy.CompareAndSwap(false, true) {
			err := errors.New("the check before has not returned yet")
			if slow := r.slow[c.Name]; slow != nil {
				err = slow.err
			}
			found.results[i] = health.Failed(c.Name, found.started, 0, err)
			continue
		}
		answers := back
		if slow := r.stillSlow(c); slow != nil {
			found.results[i] = health.Failed(c.Name, found.started, 0, slow.err)
			answers = slow.back
		} else {
			longest = max(longest, c.Timeout)
			waiting[i] = true
		}
		r.serial++
		req := Request{ID: fmt.Sprintf("%s-%d", c.Name, r.serial), Now: found.started}
		if s := r.samples[c.Name]; s != nil {
			req.Samples = s.All()
		}
		r.spawn(func() {
			defer busy.Store(false)
			answers <- checkOnce(ctx, i, c, req)
		})
	}
	deadline := time.NewTimer(longest + 250*time.Millisecond)
	defer deadline.Stop()
	for len(waiting) > 0 {
		select {
		case l := <-back:
			delete(waiting, l.index)
			found.results[l.index] = r.result(found, l)
			continue
		case <-ctx.Done():
		case <-deadline.C:
		}
		for i := range waiting {
			c := found.checks[i]
			found.results[i] = health.Failed(c.Name, found.started, c.Timeout, fmt.Errorf("no answer within %s", c.Timeout))
		}
		clear(waiting)
	}
	found.took = time.Since(found.started)
	r.forget(found.checks)
	return found, found.took > longest+lateness
}

// stillSlow takes the end of the look before at a slow check that is not busy
// any more. It is nil for a check that is not slow, or has answered in time.
func (r *rounds) stillSlow(c Check) *slowCheck {
	slow := r.slow[c.Name]
	if slow == nil {
		return nil
	}
	select {
	case l := <-slow.back:
		if l.answered(c) {
			delete(r.slow, c.Name)
			return nil
		}
		slow.err = l.err
	default: // the first look in the background is still to come
	}
	return slow
}

// checkOnce runs one check; a panic in a checker is that check's failure.
func checkOnce(ctx context.Context, index int, c Check, req Request) (l looked) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	l = looked{index: index, now: time.Now()}
	defer func() {
		l.took = time.Since(l.now)
		if p := recover(); p != nil {
			l.err = fmt.Errorf("the checker panicked: %v\n%s", p, debug.Stack())
		}
	}()
	l.outcome, l.err = c.Checker.Check(ctx, req)
	return l
}

// result completes what a checker returned and keeps its counters.
func (r *rounds) result(found round, l looked) health.Result {
	c := found.checks[l.index]
	if !l.answered(c) {
		r.slow[c.Name] = &slowCheck{back: make(chan looked, 1), err: l.err}
	}
	if l.err != nil {
		res := health.Failed(c.Name, l.now, l.took, l.err)
		res.Generation = found.generation
		return res
	}
	res := l.outcome.Result
	res.Check, res.Duration, res.Generation = c.Name, l.took, found.generation
	if res.Time.IsZero() {
		res.Time = l.now
	}
	if r.samples[c.Name] == nil {
		r.samples[c.Name] = new(health.Samples)
	}
	r.samples[c.Name].Add(health.Sample{Time: l.now, Generation: found.generation, Counters: l.outcome.Counters}, r.window)
	return res
}

// forget drops what is kept for checks that are gone.
func (r *rounds) forget(checks []Check) {
	present := make(map[string]bool, len(checks))
	for _, c := range checks {
		present[c.Name] = true
	}
	for name := range r.samples {
		if !present[name] {
			delete(r.samples, name)
		}
	}
	for name := range r.slow {
		if !present[name] {
			delete(r.slow, name)
		}
	}
	for name, busy := range r.busy {
		if !present[name] && !busy.Load() {
			delete(r.busy, name)
		}
	}
}
