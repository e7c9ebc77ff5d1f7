package recovery

import (
	"reflect"
	"slices"
	"time"
)

// BreakerState is one of the three states of a breaker.
type BreakerState string

const (
	Closed   BreakerState = "closed"
	Open     BreakerState = "open"
	HalfOpen BreakerState = "half_open"
)

// BreakerConfig are a breaker's settings.
type BreakerConfig struct {
	FailureThreshold int // failures that open it; at least 1
	// FailureWindow is how far back failures count. Zero: only consecutive ones
	// count, and a success forgets them.
	FailureWindow    time.Duration
	Timeout          time.Duration // how long it stays open
	SuccessThreshold int           // successes in half-open that close it; at least 1
	// TrialTimeout is how long a trial may take. One that has no end by then is a
	// failure, whatever comes of it later. Zero: a trial has all the time.
	TrialTimeout time.Duration
}

// Hand says who did something by hand, and why.
type Hand struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Ticket stands for one attempt with its breaker. The zero ticket is nobody's.
type Ticket uint64

// BreakerRecord is what a breaker counts: everything but its settings. It is
// what a ledger keeps.
type BreakerRecord struct {
	Open      bool        `json:"open"` // open or half-open
	Opened    time.Time   `json:"opened,omitzero"`
	Failures  int         `json:"failures"` // in a row
	Recent    []time.Time `json:"recent,omitempty"`
	Successes int         `json:"successes"` // in half-open
	LastFail  time.Time   `json:"last_fail,omitzero"`
	Changed   time.Time   `json:"changed,omitzero"` // last change that was recorded, not the passage to half-open
	Begun     Ticket      `json:"begun"`            // of the attempt under way; 0: none
	BegunAt   time.Time   `json:"begun_at,omitzero"`
	Tickets   Ticket      `json:"tickets"`        // the last one that was given
	Hand      *Hand       `json:"hand,omitempty"` // who made the present state, if it was made by hand
}

// Breaker stops attempts that do not help. Closed, it lets every attempt
// through; after FailureThreshold failures it is open and lets none through;
// after Timeout it is half-open and lets exactly one through at a time:
// SuccessThreshold successes close it, one failure opens it again. One attempt
// is under way at a time. Opened by hand it stays open until it is closed by
// hand. Reading it never changes it: the methods that read take a copy.
type Breaker struct {
	cfg BreakerConfig
	r   BreakerRecord
}

// NewBreaker makes a closed breaker; thresholds below 1 are taken as 1.
func NewBreaker(cfg BreakerConfig, now time.Time) Breaker {
	b := Breaker{r: BreakerRecord{Changed: now}}
	b.Configure(cfg)
	return b
}

// Configure gives it other settings; what it has counted stands. An open
// breaker stays open for the new time, counted from when it opened.
func (b *Breaker) Configure(cfg BreakerConfig) {
	cfg.FailureThreshold = max(1, cfg.FailureThreshold)
	cfg.SuccessThreshold = max(1, cfg.SuccessThreshold)
	b.cfg = cfg
}

// at is the breaker at the given time: a trial whose deadline has passed since
// it was last touched has failed at that deadline.
func (b Breaker) at(now time.Time) Breaker {
	if b.r.Begun == 0 || !b.r.Open || b.cfg.TrialTimeout <= 0 {
		return b
	}
	if over := b.r.BegunAt.Add(b.cfg.TrialTimeout); !now.Before(over) {
		b.r.Begun = 0
		b.fail(over, HalfOpen)
	}
	return b
}

// state without regard to the deadline of a trial.
func (b Breaker) state(now time.Time) BreakerState {
	switch {
	case !b.r.Open:
		return Closed
	case b.byHand() || now.Sub(b.r.Opened) < b.cfg.Timeout:
		return Open
	}
	return HalfOpen
}

// byHand says whether it is open because somebody opened it.
func (b Breaker) byHand() bool { return b.r.Open && b.r.Hand != nil }

// State at the given time.
func (b Breaker) State(now time.Time) BreakerState { return b.at(now).state(now) }

// CanProceed says whether an attempt may begin now.
func (b Breaker) CanProceed(now time.Time) bool {
	b = b.at(now)
	switch b.state(now) {
	case Closed:
		return true
	case HalfOpen:
		return b.r.Begun == 0
	}
	return false
}

// Remaining is how long the breaker stays open by itself; zero when it is not
// open, and when somebody opened it by hand: then only a hand closes it.
func (b Breaker) Remaining(now time.Time) time.Duration {
	b = b.at(now)
	if b.byHand() || b.state(now) != Open {
		return 0
	}
	return b.cfg.Timeout - now.Sub(b.r.Opened)
}

// Begin notes that an attempt begins, and gives the ticket with which its end is
// recorded. Ask CanProceed first.
func (b *Breaker) Begin(now time.Time) Ticket {
	*b = b.at(now)
	b.r.Tickets++
	b.r.Begun, b.r.BegunAt = b.r.Tickets, now
	return b.r.Begun
}

// Record notes how an attempt ended. An attempt that was given up meanwhile,
// because its trial took too long or somebody opened or closed the breaker by
// hand, changes nothing any more.
func (b *Breaker) Record(now time.Time, ticket Ticket, success bool) {
	*b = b.at(now)
	if ticket == 0 || ticket != b.r.Begun {
		return
	}
	b.r.Begun = 0
	state := b.state(now)
	if !success {
		b.fail(now, state)
		return
	}
	b.r.Failures = 0
	if !b.r.Open {
		return
	}
	b.r.Successes++
	if b.r.Successes >= b.cfg.SuccessThreshold {
		b.r.Open, b.r.Successes, b.r.Recent, b.r.Changed = false, 0, nil, now
	}
}

// fail counts a failure and opens the breaker if it is one too many.
func (b *Breaker) fail(now time.Time, state BreakerState) {
	b.r.Failures++
	b.r.LastFail = now
	b.r.Successes = 0
	many := b.r.Failures
	if b.cfg.FailureWindow > 0 {
		recent := slices.DeleteFunc(slices.Clone(b.r.Recent), func(t time.Time) bool { return now.Sub(t) >= b.cfg.FailureWindow })
		recent = append(recent, now)
		b.r.Recent = recent[max(0, len(recent)-b.cfg.FailureThreshold):]
		many = len(b.r.Recent)
	}
	if state == HalfOpen || (state == Closed && many >= b.cfg.FailureThreshold) {
		b.r.Open, b.r.Opened, b.r.Changed, b.r.Hand = true, now, now, nil
	}
}

// OpenByHand opens it until somebody closes it; an attempt that is under way
// does not count any more.
func (b *Breaker) OpenByHand(h Hand) {
	b.r.Open, b.r.Opened, b.r.Changed, b.r.Hand = true, h.At, h.At, &h
	b.r.Begun, b.r.Successes = 0, 0
}

// CloseByHand closes it and forgets all failures; an attempt that is under way
// does not count any more.
func (b *Breaker) CloseByHand(h Hand) {
	*b = Breaker{b.cfg, BreakerRecord{Changed: h.At, Hand: &h, LastFail: b.r.LastFail, Tickets: b.r.Tickets}}
}

// Equal says whether two breakers have the same settings and have counted the same.
func (b Breaker) Equal(o Breaker) bool { return reflect.DeepEqual(b, o) }

// BreakerStatus is a breaker as people see it.
type BreakerStatus struct {
	State      BreakerState
	Failures   int // in a row
	Successes  int
	LastFail   time.Time
	Changed    time.Time // when the present state began
	InState    time.Duration
	Remaining  time.Duration // see Breaker.Remaining
	CanProceed bool
	// TrialUntil is when the trial that is under way fails for lack of an end;
	// zero: there is none, or it has no deadline.
	TrialUntil time.Time
	Hand       *Hand // who opened or closed it, if the present state was made by hand
	Config     BreakerConfig
}

// Status at the given time; reading changes nothing.
func (b Breaker) Status(now time.Time) BreakerStatus {
	b = b.at(now)
	changed, state := b.r.Changed, b.state(now)
	if state == HalfOpen && b.r.Opened.Add(b.cfg.Timeout).After(changed) {
		changed = b.r.Opened.Add(b.cfg.Timeout)
	}
	s := BreakerStatus{
		State: state, Failures: b.r.Failures, Successes: b.r.Successes, LastFail: b.r.LastFail,
		Changed: changed, InState: max(0, now.Sub(changed)), Remaining: b.Remaining(now),
		CanProceed: b.CanProceed(now), Config: b.cfg,
	}
	if b.r.Hand != nil {
		h := *b.r.Hand
		s.Hand = &h
	}
	if b.r.Begun != 0 && b.r.Open && b.cfg.TrialTimeout > 0 {
		s.TrialUntil = b.r.BegunAt.Add(b.cfg.TrialTimeout)
	}
	return s
}
