package recovery

import "time"

// State of a breaker.
type State string

const (
	Closed   State = "closed"
	Open     State = "open"
	HalfOpen State = "half_open"
)

// BreakerConfig are a breaker's settings.
type BreakerConfig struct {
	FailureThreshold int           // consecutive failures that open it; at least 1
	Timeout          time.Duration // how long it stays open
	SuccessThreshold int           // successes in half-open that close it; at least 1
}

// Breaker stops attempts that do not help. Closed, it lets every attempt
// through; after FailureThreshold consecutive failures it is open and lets none
// through; after Timeout it is half-open and lets exactly one through at a time:
// SuccessThreshold successes close it, one failure opens it again. Reading it
// never changes it: the methods that read take a copy.
type Breaker struct {
	cfg       BreakerConfig
	open      bool // open or half-open
	opened    time.Time
	failures  int
	successes int
	lastFail  time.Time
	changed   time.Time // of the last change that was recorded, not of the passage to half-open
	trial     bool      // an attempt is under way in half-open
}

// NewBreaker makes a closed breaker; thresholds below 1 are taken as 1.
func NewBreaker(cfg BreakerConfig, now time.Time) Breaker {
	b := Breaker{changed: now}
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

// State at the given time.
func (b Breaker) State(now time.Time) State {
	switch {
	case !b.open:
		return Closed
	case now.Sub(b.opened) < b.cfg.Timeout:
		return Open
	}
	return HalfOpen
}

// CanProceed says whether an attempt may begin now.
func (b Breaker) CanProceed(now time.Time) bool {
	switch b.State(now) {
	case Closed:
		return true
	case HalfOpen:
		return !b.trial
	}
	return false
}

// Remaining is how long the breaker stays open; zero when it is not.
func (b Breaker) Remaining(now time.Time) time.Duration {
	if b.State(now) != Open {
		return 0
	}
	return b.cfg.Timeout - now.Sub(b.opened)
}

// Begin notes that an attempt begins. Ask CanProceed first.
func (b *Breaker) Begin(now time.Time) {
	if b.State(now) == HalfOpen {
		b.trial = true
	}
}

// Record notes how an attempt ended.
func (b *Breaker) Record(now time.Time, success bool) {
	state := b.State(now)
	b.trial = false
	if success {
		b.failures = 0
		if !b.open {
			return
		}
		b.successes++
		if b.successes >= b.cfg.SuccessThreshold {
			b.open, b.successes, b.changed = false, 0, now
		}
		return
	}
	b.failures++
	b.lastFail = now
	b.successes = 0
	if state == HalfOpen || (state == Closed && b.failures >= b.cfg.FailureThreshold) {
		b.open, b.opened, b.changed = true, now, now
	}
}

// BreakerStatus is a breaker as people see it.
type BreakerStatus struct {
	State      State
	Failures   int
	Successes  int
	LastFail   time.Time
	Changed    time.Time // when the present state began
	InState    time.Duration
	Remaining  time.Duration
	CanProceed bool
	Config     BreakerConfig
}

// Status at the given time; reading changes nothing.
func (b Breaker) Status(now time.Time) BreakerStatus {
	changed := b.changed
	state := b.State(now)
	if state == HalfOpen && b.opened.Add(b.cfg.Timeout).After(changed) {
		changed = b.opened.Add(b.cfg.Timeout)
	}
	return BreakerStatus{
		State: state, Failures: b.failures, Successes: b.successes, LastFail: b.lastFail,
		Changed: changed, InState: max(0, now.Sub(changed)), Remaining: b.Remaining(now),
		CanProceed: b.CanProceed(now), Config: b.cfg,
	}
}
