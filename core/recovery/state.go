package recovery

import (
	"fmt"
	"slices"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// StateVersion is the version of State that this package writes and reads.
const StateVersion = 1

// Moment is one reading of the clocks. The wall clock may be set; the time since
// the boot may not.
type Moment struct {
	Wall time.Time `json:"wall"`
	// Boot names the boot of the machine; empty: it is not known.
	Boot string `json:"boot,omitempty"`
	// Uptime is the time since that boot, suspended time included.
	Uptime time.Duration `json:"uptime_ns,omitempty"`
}

// Since is how long ago an earlier reading was: by the time since the boot where
// both are of the same one, else by the wall clock, and never below zero.
func (m Moment) Since(earlier Moment) time.Duration {
	if m.Boot != "" && m.Boot == earlier.Boot {
		return max(0, m.Uptime-earlier.Uptime)
	}
	return max(0, m.Wall.Round(0).Sub(earlier.Wall.Round(0)))
}

// State is all that recovery has to remember over a restart of host. It is
// written as JSON. What was counted in a dry run is not in it: it did not happen.
type State struct {
	Version int    `json:"version"`
	Saved   Moment `json:"saved"`
	// Clean says that host ended in good order after this was written. Manager
	// never sets it: whoever writes the last state of a run does.
	Clean    bool          `json:"clean"`
	Seed     uint64        `json:"seed,string"` // of the jitter
	Serial   int           `json:"serial"`      // of ids
	Breaker  BreakerRecord `json:"breaker"`
	Spent    []Spent       `json:"spent,omitempty"` // attempts of the last hour, oldest first
	Last     time.Time     `json:"last_attempt,omitzero"`
	Failures int           `json:"failures"` // attempts in a row that did not cure
	Attempts uint64        `json:"attempts"` // ever
	Effects  []Effect      `json:"effects,omitempty"`
	Incident *Incident     `json:"incident,omitempty"`
	// Running is the attempt of the incident that has no outcome yet.
	Running *Running `json:"running,omitempty"`
	Pause   *Pause   `json:"pause,omitempty"`
	// Approvals are the last questions, newest first; the first may still wait.
	Approvals []Approval  `json:"approvals,omitempty"`
	Starts    []time.Time `json:"unclean_starts,omitempty"` // oldest first
	SafeMode  *SafeMode   `json:"safe_mode,omitempty"`
}

// Running is an attempt without an outcome.
type Running struct {
	Attempt string        `json:"attempt"` // id, see Incident.Attempts
	Health  health.Status `json:"health"`  // that led to it
	Reason  string        `json:"reason,omitempty"`
	Ticket  Ticket        `json:"ticket,omitempty"` // with the breaker
}

// VersionError says that a state was written by another version of host.
type VersionError struct{ Version int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the state of recovery has version %d, and this host knows version %d", e.Version, StateVersion)
}

// State is what has to be remembered. Nothing in it is shared.
func (m *Manager) State(now Moment) State {
	b := m.real.clone()
	s := State{
		Version: StateVersion, Saved: now, Seed: m.seed, Serial: m.serial, Breaker: b.breaker.r, Spent: b.spent, Last: b.last,
		Failures: b.failures, Attempts: b.attempts, Effects: b.effects.sorted(), Incident: m.incident.clone(),
		Approvals: slices.Clone(m.approvals), Starts: slices.Clone(m.starts), SafeMode: m.safeMode(),
	}
	s.Breaker.Recent = slices.Clone(s.Breaker.Recent)
	if m.pause.Active(now.Wall) {
		p := *m.pause
		s.Pause = &p
	}
	if s.Incident != nil {
		s.Incident.Attempts = slices.DeleteFunc(s.Incident.Attempts, func(a Attempt) bool { return a.DryRun })
	}
	s.Approvals = slices.DeleteFunc(s.Approvals, func(a Approval) bool { return a.DryRun })
	if a := m.attempt; a != nil && !a.DryRun {
		s.Running = &Running{Attempt: a.ID, Health: a.trigger, Reason: a.reason, Ticket: a.real}
	}
	s.Saved.Wall = now.Wall.Round(0)
	s.move(func(t time.Time) time.Time {
		// The age by the clock that nobody sets; where the wall clock was set
		// since, the time is told as the wall clock has it now.
		return moved(t, s.Saved.Wall.Add(-now.Wall.Sub(t)))
	})
	return s
}

// Restore puts a state in force that State gave, on a new manager: before it
// has observed anything. What still has to wait waits for the rest of its time,
// whatever the wall clock did meanwhile. An attempt whose action ran when host
// ended is taken as ended now, and is judged by the health that follows. A state
// of another version is refused with a VersionError and changes nothing.
func (m *Manager) Restore(now Moment, s State) error {
	if s.Version != StateVersion {
		return &VersionError{s.Version}
	}
	s = s.clone()
	away := now.Since(s.Saved)
	s.move(func(t time.Time) time.Time {
		age := away + s.Saved.Wall.Sub(t.Round(0))
		return moved(t, now.Wall.Add(-age))
	})
	b := book{
		breaker: Breaker{m.cfg.Breaker, s.Breaker}, spent: s.Spent, last: s.Last, failures: s.Failures, attempts: s.Attempts, effects: memory{},
	}
	b.breaker.Configure(m.cfg.Breaker)
	for _, e := range s.Effects {
		b.effects[effectKey{e.Cause, e.Action}] = e
	}
	m.real, m.seen = b, b.clone()
	m.seed, m.serial = s.Seed, s.Serial
	m.incident, m.pause, m.approvals, m.starts, m.safe = s.Incident, s.Pause, s.Approvals, s.Starts, s.SafeMode
	m.attempt, m.resumed = nil, now.Wall
	m.settle(now.Wall)
	if m.incident == nil {
		m.close(now.Wall, Lapsed, "")
		return nil
	}
	for _, a := range m.incident.Attempts {
		if s.Running == nil || a.ID != s.Running.Attempt {
			continue
		}
		if a.Ended.IsZero() {
			a.Ended, a.Err = now.Wall, "host ended while it ran"
			m.incident.put(a)
		}
		m.attempt = &attempt{Attempt: a, trigger: s.Running.Health, reason: s.Running.Reason, seen: s.Running.Ticket, real: s.Running.Ticket}
	}
	return nil
}

func (s State) clone() State {
	s.Breaker.Recent = slices.Clone(s.Breaker.Recent)
	s.Breaker.Hand = copied(s.Breaker.Hand)
	s.Spent, s.Effects, s.Approvals, s.Starts = slices.Clone(s.Spent), slices.Clone(s.Effects), slices.Clone(s.Approvals), slices.Clone(s.Starts)
	s.Incident, s.Running, s.Pause, s.SafeMode = s.Incident.clone(), copied(s.Running), copied(s.Pause), copied(s.SafeMode)
	return s
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// step is the least by which a wall clock is taken to have been set: two clocks
// of one machine never run quite alike.
const step = time.Second

// moved is a time as it is told now. It stands as it was unless a clock was set.
func moved(was, now time.Time) time.Time {
	if d := now.Round(0).Sub(was.Round(0)); d > -step && d < step {
		return now.Add(-d) // keeps the reading of the monotonic clock
	}
	return now
}

// move changes every time in the state.
func (s *State) move(to func(time.Time) time.Time) {
	each := func(times ...*time.Time) {
		for _, t := range times {
			if !t.IsZero() {
				*t = to(*t)
			}
		}
	}
	b := &s.Breaker
	each(&b.Opened, &b.LastFail, &b.Changed, &b.BegunAt, &s.Last)
	for i := range b.Recent {
		each(&b.Recent[i])
	}
	if b.Hand != nil {
		b.Hand = copied(b.Hand)
		each(&b.Hand.At)
	}
	for i := range s.Spent {
		each(&s.Spent[i].At)
	}
	for i := range s.Effects {
		each(&s.Effects[i].Last)
	}
	for i := range s.Approvals {
		a := &s.Approvals[i]
		each(&a.Asked, &a.Until, &a.Answered)
	}
	for i := range s.Starts {
		each(&s.Starts[i])
	}
	if s.Pause != nil {
		each(&s.Pause.Since, &s.Pause.Until)
	}
	if s.SafeMode != nil {
		each(&s.SafeMode.Since)
	}
	if s.Incident != nil {
		each(&s.Incident.Opened, &s.Incident.WarningLogged)
		for i := range s.Incident.Attempts {
			a := &s.Incident.Attempts[i]
			each(&a.Started, &a.Ended, &a.Judged)
		}
	}
}
