package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
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

// accuses says whether anybody saw trouble. A check that could not look says
// nothing about the subject.
func (r round) accuses() bool {
	for _, res := range r.results {
		if res.Status == health.Warning || res.Status == health.Critical {
			return true
		}
	}
	return false
}

// rounds looks. Only one look is under way at a time.
type rounds struct {
	source  func() []Check
	subject Subject       // may be nil
	timeout time.Duration // of checks that ask for none
	window  time.Duration // of the samples given back to checkers
	samples map[string]*health.Samples
	busy    map[string]*atomic.Bool // checks that have not returned yet
	// slow are the checks that no round waits for: the late ones, whose look goes
	// on in the background, and those that used up their time without an answer,
	// until they have answered in time again. One hung checker costs the others
	// nothing but the patience for it, once.
	slow map[string]*slowCheck
	// well is the last result of each check, if it was healthy: what stands in for
	// a look that is late. An ill one is never shown twice.
	well   map[string]health.Result
	serial uint64
	// watched is what checkers said unasked since the last round.
	watched watched
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
		if r.subject == nil || !found.accuses() {
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
	back  chan looked // has room for the one look that is under way
	since time.Time   // of the look that is late
	err   error       // why the last look failed; nil: it is late, and may yet answer in time
}

const (
	// courtesy is how long a round waits at least for a check that usually is
	// quicker, and usualTimes how many times as long as it usually takes.
	courtesy   = 250 * time.Millisecond
	usualTimes = 4
	// reply is the time in which an answer given at the deadline arrives.
	reply = 250 * time.Millisecond
)

// patience is how long a round waits for a check: not much longer than it usually
// takes, if there is a result to show meanwhile, or else until its time is used up
// and the answer has arrived.
func (r *rounds) patience(c Check, generation uint64) time.Duration {
	if last, ok := r.well[c.Name]; ok && last.Generation == generation {
		return min(c.Timeout+reply, max(courtesy, usualTimes*last.Duration))
	}
	return c.Timeout + reply
}

// late is what a round shows of a look that it does not wait for any longer.
func (r *rounds) late(c Check, slow *slowCheck, now time.Time) health.Result {
	last, ok := r.well[c.Name]
	if ok && slow.err == nil && now.Sub(slow.since) < c.Timeout+reply {
		last.Carried = true
		return last
	}
	if slow.err == nil {
		slow.err = fmt.Errorf("no answer within %s", c.Timeout)
	}
	delete(r.well, c.Name)
	return health.Failed(c.Name, slow.since, now.Sub(slow.since), slow.err)
}

// answered says whether a look ended before its time was used up.
func (l looked) answered(c Check) bool { return l.err == nil || l.took < c.Timeout }

// watched keeps the newest result that each checker gave unasked.
type watched struct {
	mu   sync.Mutex
	kept map[string]pushed
}

type pushed struct {
	outcome    Outcome
	generation uint64
	at         time.Time
}

// maxWatched bounds what is kept of checks that no round asks for.
const maxWatched = 1024

func (w *watched) put(check string, p pushed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept == nil || len(w.kept) >= maxWatched {
		w.kept = map[string]pushed{}
	}
	w.kept[check] = p
}

// pop gives what was kept for a check, once.
func (w *watched) pop(check string) (pushed, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, is := w.kept[check]
	delete(w.kept, check)
	return p, is
}

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
	back := make([]chan looked, len(found.checks)) // each has room for its one look
	came := make(chan int, len(found.checks))      // never blocks a check that returns late
	waiting := map[int]time.Duration{}             // the patience for each
	var longest time.Duration
	for i, c := range found.checks {
		if c.Timeout <= 0 {
			c.Timeout = r.timeout
			found.checks[i] = c
		}
		if p, said := r.watched.pop(c.Name); said && p.generation == found.generation {
			found.results[i] = r.take(c, looked{index: i, outcome: p.outcome, now: p.at, took: p.outcome.Result.Duration}, found.generation)
			continue
		}
		busy := r.busy[c.Name]
		if busy == nil {
			busy = new(atomic.Bool)
			r.busy[c.Name] = busy
		}
		if !busy.CompareAndSwap(false, true) {
			if slow := r.slow[c.Name]; slow != nil {
				found.results[i] = r.late(c, slow, found.started)
			} else {
				found.results[i] = health.Failed(c.Name, found.started, 0, errors.New("the check before has not returned yet"))
			}
			continue
		}
		if slow := r.stillSlow(c, found.generation); slow != nil {
			found.results[i] = r.late(c, slow, found.started)
			back[i] = slow.back
		} else {
			back[i] = make(chan looked, 1)
			waiting[i] = r.patience(c, found.generation)
			longest = max(longest, waiting[i])
		}
		r.serial++
		req := Request{ID: fmt.Sprintf("%s-%d", c.Name, r.serial), Now: found.started}
		if s := r.samples[c.Name]; s != nil {
			req.Samples = s.All()
		}
		r.spawn(func() {
			defer busy.Store(false)
			back[i] <- checkOnce(ctx, i, c, req)
			came <- i
		})
	}
	deadline := time.NewTimer(longest)
	defer deadline.Stop()
	for len(waiting) > 0 {
		select {
		case i := <-came:
			if _, waited := waiting[i]; !waited {
				continue
			}
			delete(waiting, i)
			found.results[i] = r.result(found, <-back[i])
			left := time.Duration(0)
			for _, patience := range waiting {
				left = max(left, patience)
			}
			deadline.Reset(left - time.Since(found.started))
			continue
		case <-ctx.Done():
		case <-deadline.C:
		}
		now := time.Now()
		for i, patience := range waiting {
			c := found.checks[i]
			slow := &slowCheck{back: back[i], since: found.started}
			if patience >= c.Timeout {
				slow.err = fmt.Errorf("no answer within %s", c.Timeout)
			}
			r.slow[c.Name] = slow
			found.results[i] = r.late(c, slow, now)
		}
		clear(waiting)
	}
	found.took = time.Since(found.started)
	r.forget(found.checks)
	return found, found.took > longest+lateness
}

// stillSlow takes the end of the look before at a slow check that is not busy
// any more. It is nil for a check that is not slow, or has answered in time.
func (r *rounds) stillSlow(c Check, generation uint64) *slowCheck {
	slow := r.slow[c.Name]
	if slow == nil {
		return nil
	}
	select {
	case l := <-slow.back:
		if l.answered(c) { // late, but good: from now on it is waited for as long as that took
			delete(r.slow, c.Name)
			r.take(c, l, generation)
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

// result is what a round shows of a look that came back.
func (r *rounds) result(found round, l looked) health.Result {
	c := found.checks[l.index]
	if !l.answered(c) {
		r.slow[c.Name] = &slowCheck{back: make(chan looked, 1), since: l.now, err: l.err}
	}
	return r.take(c, l, found.generation)
}

// take completes what a checker returned and keeps its counters.
func (r *rounds) take(c Check, l looked, generation uint64) health.Result {
	delete(r.well, c.Name)
	if l.err != nil {
		res := health.Failed(c.Name, l.now, l.took, l.err)
		res.Generation = generation
		return res
	}
	res := l.outcome.Result
	res.Check, res.Duration, res.Generation = c.Name, l.took, generation
	if res.Time.IsZero() {
		res.Time = l.now
	}
	if res.Status == health.Healthy {
		r.well[c.Name] = res
	}
	if r.samples[c.Name] == nil {
		r.samples[c.Name] = new(health.Samples)
	}
	r.samples[c.Name].Add(health.Sample{Time: l.now, Generation: generation, Counters: l.outcome.Counters}, r.window)
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
	maps.DeleteFunc(r.slow, func(name string, _ *slowCheck) bool { return !present[name] })
	maps.DeleteFunc(r.well, func(name string, _ health.Result) bool { return !present[name] })
	for name, busy := range r.busy {
		if !present[name] && !busy.Load() {
			delete(r.busy, name)
		}
	}
}
