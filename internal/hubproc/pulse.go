package hubproc

import (
	"fmt"
	"time"
)

// pulse judges a hub by its answers and by what /proc shows. It asks nobody and
// reads no clock; watch does both for it.
type pulse struct {
	deadline  time.Duration // an answer later than this is missed
	lastCall  time.Duration // for an answer that is here but not yet read
	busyLimit time.Duration // so long may a busy hub be silent
	lateness  time.Duration // if we woke later than this, the fault may be ours

	quiet  time.Time // since when there was no answer
	asked  time.Time // the question that is awaited; zero: none
	called time.Time // when the deadline was found to be over; zero: not yet
	missed int       // in a row
}

// look is what the system says of the hub since the question was asked.
type look struct {
	known    bool // false where there is no /proc
	stopped  bool // by a signal or a debugger
	usedCPU  bool
	runnable bool // starved: it would work if it got a processor
}

// verdict is what a missed heartbeat means.
type verdict int

const (
	busy verdict = iota // not lost yet: ask again
	hung                // kill it
)

// ask notes that a question was sent.
func (p *pulse) ask(now time.Time) {
	p.asked, p.called = now, time.Time{}
	if p.quiet.IsZero() {
		p.quiet = now
	}
}

// answer notes an answer to the question that was asked at asked. A late answer
// to an earlier question is a sign of life as well.
func (p *pulse) answer(now, asked time.Time) {
	p.quiet, p.missed = now, 0
	if p.asked.Equal(asked) {
		p.asked = time.Time{}
	}
}

// wake is told when a timer that was due fired. If that was late by more than
// the lateness, we were not running ourselves, and nothing that was not heard
// meanwhile is held against the hub: the question is dropped.
func (p *pulse) wake(now, due time.Time) (paused bool) {
	if now.Sub(due) <= p.lateness {
		return false
	}
	p.quiet, p.asked = now, time.Time{}
	return true
}

// overdue says that the awaited answer did not come: neither within the
// deadline nor, so that a busy reader of ours is not taken for a silent hub,
// within the last call that begins when we notice.
func (p *pulse) overdue(now time.Time) bool {
	if p.asked.IsZero() || now.Sub(p.asked) < p.deadline {
		return false
	}
	if p.called.IsZero() {
		p.called = now
	}
	return now.Sub(p.called) >= p.lastCall
}

// due is when to look again while an answer is awaited.
func (p *pulse) due() time.Time {
	if p.called.IsZero() {
		return p.asked.Add(p.deadline)
	}
	return p.called.Add(p.lastCall)
}

// judge ends an overdue question.
func (p *pulse) judge(now time.Time, l look) (verdict, string) {
	p.missed++
	p.asked = time.Time{}
	silent := now.Sub(p.quiet).Round(time.Millisecond)
	switch {
	case l.known && l.stopped:
		return hung, fmt.Sprintf("no heartbeat for %v and stopped by a signal", silent)
	case l.known && !l.usedCPU && !l.runnable:
		return hung, fmt.Sprintf("no heartbeat for %v and no processor time used", silent)
	case now.Sub(p.quiet) >= p.busyLimit:
		return hung, fmt.Sprintf("busy, but no heartbeat for %v", silent)
	}
	return busy, ""
}
