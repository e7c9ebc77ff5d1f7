package monitor

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/upkeephub/upkeep/core/recovery"
)

// order is something to be done in the loop, which owns recovery.
type order struct {
	do   func(ctx context.Context, now time.Time, ended chan<- actionEnd)
	done chan struct{} // closed by the loop when it is done
}

// inLoop has something done in the loop and waits for it: not longer than the
// loop takes between two messages. Its errors are ErrEnded, and that ctx ended
// before its turn came.
func (m *Monitor) inLoop(ctx context.Context, do func(ctx context.Context, now time.Time, ended chan<- actionEnd)) error {
	o := order{do, make(chan struct{})}
	select {
	case m.orders <- o:
	case <-m.done:
		return ErrEnded
	case <-ctx.Done():
		return fmt.Errorf("the monitor's loop does not take an order: %w", context.Cause(ctx))
	}
	<-o.done // the loop closes it before it does anything else
	return nil
}

// change is inLoop for what needs nothing but the manager and the time.
func (m *Monitor) change(ctx context.Context, do func(now time.Time)) error {
	return m.inLoop(ctx, func(_ context.Context, now time.Time, _ chan<- actionEnd) { do(now) })
}

// Restore puts in force what recovery remembered in an earlier run, and notes
// that host starts: clean says that the earlier run ended in good order. It gives
// the safe mode in which host is, or nil. Call it before Run, and keep what the
// hook State is given from then on. Its error is a recovery.VersionError.
func (m *Monitor) Restore(s recovery.State, clean bool) (*recovery.SafeMode, error) {
	now := m.moment()
	if err := m.manager.Restore(now, s); err != nil {
		return nil, err
	}
	safe := m.manager.NoteStart(now.Wall, clean)
	m.remember()
	m.publish()
	return safe, nil
}

func (m *Monitor) moment() recovery.Moment {
	if m.opts.Moment != nil {
		return m.opts.Moment()
	}
	return recovery.Moment{Wall: time.Now()}
}

// remember gives the hook what recovery has to remember, if that has changed.
func (m *Monitor) remember() {
	hook := m.opts.Hooks.State
	if hook == nil {
		return
	}
	s := m.manager.State(m.moment())
	same := s
	same.Saved = m.remembered.Saved
	if reflect.DeepEqual(same, m.remembered) {
		return
	}
	m.remembered = s
	hook(s)
}

// Pause begins a pause of recovery that ends by itself, or gives the present one
// another end; see recovery.Manager.Pause.
func (m *Monitor) Pause(ctx context.Context, d time.Duration, by, reason string) (p recovery.Pause, err error) {
	lost := m.change(ctx, func(now time.Time) {
		p, err = m.manager.Pause(now, d, recovery.Hand{By: by, Reason: reason, At: now})
	})
	if lost != nil {
		return recovery.Pause{}, lost
	}
	return p, err
}

// Unpause ends the pause; false: there was none.
func (m *Monitor) Unpause(ctx context.Context) (was bool, err error) {
	err = m.change(ctx, func(now time.Time) { was = m.manager.Unpause(now) })
	return was, err
}

// OpenBreaker opens the breaker until CloseBreaker.
func (m *Monitor) OpenBreaker(ctx context.Context, by, reason string) error {
	return m.change(ctx, func(now time.Time) { m.manager.OpenBreaker(recovery.Hand{By: by, Reason: reason, At: now}) })
}

// CloseBreaker closes the breaker, whoever or whatever opened it.
func (m *Monitor) CloseBreaker(ctx context.Context, by, reason string) error {
	return m.change(ctx, func(now time.Time) { m.manager.CloseBreaker(recovery.Hand{By: by, Reason: reason, At: now}) })
}

// EnterSafeMode begins safe mode, until health has been good for that long or
// LeaveSafeMode.
func (m *Monitor) EnterSafeMode(ctx context.Context, reason string, healthy time.Duration) error {
	return m.change(ctx, func(now time.Time) { m.manager.EnterSafeMode(now, reason, healthy) })
}

// LeaveSafeMode ends safe mode; false: there was none.
func (m *Monitor) LeaveSafeMode(ctx context.Context) (was bool, err error) {
	err = m.change(ctx, func(time.Time) { was = m.manager.LeaveSafeMode() })
	return was, err
}

// Answer answers the question of that id; see recovery.Manager.Answer for the
// errors. The decision that follows is told as every other.
func (m *Monitor) Answer(ctx context.Context, id string, yes bool, by string) (d recovery.Decision, err error) {
	lost := m.inLoop(ctx, func(ctx context.Context, now time.Time, ended chan<- actionEnd) {
		if d, err = m.manager.Answer(now, id, yes, by, m.report, m.actions()); err == nil {
			m.carryOut(ctx, now, d, ended)
		}
	})
	if lost != nil {
		return recovery.Decision{}, lost
	}
	return d, err
}

// Recover has an action taken that somebody orders by hand: p says which, by
// whom and why. The decision says whether it is: the action goes on after Recover
// has returned, and is judged as every other.
func (m *Monitor) Recover(ctx context.Context, p recovery.Proposal) (d recovery.Decision, err error) {
	err = m.inLoop(ctx, func(ctx context.Context, now time.Time, ended chan<- actionEnd) {
		d = m.manager.Decide(now, byHand(p), m.report, m.actions())
		m.carryOut(ctx, now, d, ended)
		m.soon()
	})
	return d, err
}

// Preview is the decision that Recover would make now. Nothing is done.
func (m *Monitor) Preview(ctx context.Context, p recovery.Proposal) (d recovery.Decision, err error) {
	err = m.change(ctx, func(now time.Time) {
		d = m.manager.Preview(now, byHand(p), m.report, m.actions())
	})
	return d, err
}

// RuleByHand is the rule of what somebody ordered.
const RuleByHand = "by_hand"

func byHand(p recovery.Proposal) recovery.Proposal {
	if p.By == "" {
		p.By = "somebody"
	}
	p.Rule = RuleByHand
	return p
}
