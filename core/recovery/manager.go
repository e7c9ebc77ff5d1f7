package recovery

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// Manager is the state of recovery. It is not safe for concurrent use: the
// monitor's loop owns it.
type Manager struct {
	cfg     Config
	seed    uint64 // of the jitter
	serial  int    // of ids
	enabled bool
	away    bool      // nobody looks
	resumed time.Time // when somebody looked again

	// real is what was done; seen has what would have been done in a dry run
	// besides, and is what the guard goes by.
	real, seen book
	pause      *Pause
	approvals  []Approval // newest first
	starts     []time.Time
	safe       *SafeMode

	incident    *Incident
	attempt     *attempt  // running or waiting for its judgement
	healthy     int       // healthy reports in a row
	healthyFrom time.Time // of the first of them
	settled     time.Time // nothing is decided before
	counted     []health.Report
	generation  uint64
	transitions []health.Transition
	previous    health.Status

	events []Event // newest first
	stats  Stats
}

// NewManager makes an enabled manager. Nothing is decided within Grace of now,
// from which the jitter of its pauses comes too.
func NewManager(cfg Config, now time.Time) *Manager {
	b := book{breaker: NewBreaker(cfg.Breaker, now), effects: memory{}}
	return &Manager{
		cfg: cfg, seed: uint64(now.UnixNano()), enabled: true, settled: now.Add(cfg.Grace),
		real: b, seen: b.clone(), stats: Stats{Actions: map[Action]int{}},
	}
}

// id makes an id that no other of this manager, or of those before it, has.
func (m *Manager) id(kind string, now time.Time) string {
	m.serial++
	return fmt.Sprintf("%s-%s-%d", kind, now.UTC().Format("20060102t150405"), m.serial)
}

// SetEnabled switches recovery on or off. Off, reports are still observed and
// a running attempt is still judged, but no strategy is asked.
func (m *Manager) SetEnabled(on bool) { m.enabled = on }

// Configure gives it other limits. What was counted and is remembered stands,
// and so does a grace that has begun; an attempt that waits for its judgement
// is judged by the new limits. With another DryRun, what was counted and
// attempted in the dry run before is forgotten.
func (m *Manager) Configure(cfg Config) {
	dry := m.cfg.DryRun
	m.cfg = cfg
	m.real.breaker.Configure(cfg.Breaker)
	m.seen.breaker.Configure(cfg.Breaker)
	if !reflect.DeepEqual(dry, cfg.DryRun) {
		m.forgetDryRun()
	}
}

func (m *Manager) forgetDryRun() {
	m.seen = m.real.clone()
	if m.attempt != nil {
		if m.attempt.DryRun {
			m.attempt = nil
		} else {
			m.attempt.seen = m.attempt.real
		}
	}
	if a := m.pending(); a != nil && a.DryRun {
		a.Answer = Lapsed
	}
	if m.incident != nil {
		m.incident.Attempts = slices.DeleteFunc(m.incident.Attempts, func(a Attempt) bool { return a.DryRun })
	}
}

// LookAway says that no reports will come for now. Proposals are suppressed; an
// incident stays open, since nobody sees its end.
func (m *Manager) LookAway() { m.away = true }

// LookAgain says that reports come again. Counting starts anew after a grace, as
// after a start, and an attempt that waits for its judgement is judged by what
// follows from now on.
func (m *Manager) LookAgain(now time.Time) {
	m.away, m.resumed, m.healthy = false, now, 0
	m.settle(now)
}

// OpenBreaker opens the breaker until somebody closes it; see Breaker.OpenByHand.
func (m *Manager) OpenBreaker(h Hand) {
	m.real.breaker.OpenByHand(h)
	m.seen.breaker.OpenByHand(h)
}

// CloseBreaker closes the breaker and forgets its failures; see Breaker.CloseByHand.
func (m *Manager) CloseBreaker(h Hand) {
	m.real.breaker.CloseByHand(h)
	m.seen.breaker.CloseByHand(h)
}

// Observation is what a report meant.
type Observation struct {
	Opened *Incident // an incident opened
	Closed *Incident // an incident closed
	Judged *Event    // an attempt got its outcome
	// SafeModeOver: health has been good long enough to end safe mode.
	SafeModeOver bool
	// Ask: the strategy is to be asked now.
	Ask bool
}

// Observe takes the next report: it opens and closes incidents, judges the
// attempt that waits for its outcome, and says whether the strategy is to be asked.
func (m *Manager) Observe(now time.Time, r health.Report) Observation {
	var o Observation
	m.count(now, r)
	if r.Status != health.Healthy {
		if m.incident == nil {
			m.open(now)
			m.incident.addCauses(r.Causes())
			o.Opened = m.incident.clone()
		}
		m.incident.addCauses(r.Causes())
	}
	if m.attempt != nil && !m.attempt.Ended.IsZero() {
		if e := m.judgeAttempt(now, r); e != nil {
			o.Judged = e
			if e.Outcome == Cured {
				o.Closed = m.closeIncident(now)
			}
		}
	}
	if s := m.safe; s != nil && m.healthy > 0 && now.Sub(m.healthyFrom) >= s.Healthy && now.Sub(s.Since) >= s.Healthy {
		o.SafeModeOver = m.LeaveSafeMode()
	}
	if m.incident == nil {
		return o
	}
	if m.attempt == nil && m.healthy >= closingHealthys && now.Sub(m.healthyFrom) >= m.cfg.Quiet {
		o.Closed = m.closeIncident(now)
		return o
	}
	if now.Before(m.settled) {
		return o
	}
	m.counted = append([]health.Report{r}, m.counted...)
	if len(m.counted) > maxCounted {
		m.counted = m.counted[:maxCounted]
	}
	o.Ask = m.enabled && m.attempt == nil && r.Status != health.Healthy
	return o
}

// count notes what a report says about the run of reports.
func (m *Manager) count(now time.Time, r health.Report) {
	if r.Status != m.previous {
		m.transitions = append(m.transitions, health.Transition{Time: r.Time, From: m.previous, To: r.Status})
		m.previous = r.Status
	}
	m.transitions = slices.DeleteFunc(m.transitions, func(t health.Transition) bool { return t.Time.Before(now.Add(-m.cfg.FailureWindow)) })
	if r.Generation != 0 && r.Generation != m.generation {
		if m.generation != 0 { // another hub than before: what was counted was the old one's
			m.settle(now)
		}
		m.generation = r.Generation
	}
	switch {
	case r.Status != health.Healthy:
		m.healthy = 0
		return
	case r.Carried(): // no proof of anything new
		return
	}
	if m.healthy == 0 {
		m.healthyFrom = now
	}
	m.healthy++
}

func (m *Manager) open(now time.Time) {
	m.incident = &Incident{ID: m.id("inc", now), Opened: now}
	m.counted = nil
}

// settle begins a grace: counting starts anew when it is over.
func (m *Manager) settle(now time.Time) {
	m.settled = now.Add(m.cfg.Grace)
	m.counted = nil
}

func (m *Manager) closeIncident(now time.Time) *Incident {
	closed := m.incident
	m.incident, m.counted = nil, nil
	m.close(now, Lapsed, "")
	return closed
}

// Request builds what the strategy gets to see. Call it when Observe said Ask.
func (m *Manager) Request(now time.Time, r health.Report, actions []ActionState) Request {
	effects := m.seen.effects.sorted()
	for i, e := range effects {
		effects[i] = e.faded(now, m.cfg.HalfLife)
	}
	return Request{
		ID: m.id("req", now), Now: now, Report: r, Incident: *m.incident.clone(), History: slices.Clone(m.counted),
		Transitions: slices.Clone(m.transitions), Actions: actions, Effects: effects,
	}
}

// Decide puts a proposal before the guard. The report is the newest one, which
// may be younger than the one the strategy saw. If the verdict is Run and the
// action is an attempt, the attempt has begun, and Finished must follow; in a
// dry run at once, without an error, and without the action.
func (m *Manager) Decide(now time.Time, p Proposal, report health.Report, actions []ActionState) Decision {
	d := m.weigh(now, p, report, actions, false)
	m.carryOut(now, &d, report)
	return d
}

// Preview is the decision that Decide would make now. It changes nothing, and
// the decision has no ids of its own.
func (m *Manager) Preview(now time.Time, p Proposal, report health.Report, actions []ActionState) Decision {
	return m.weigh(now, p, report, actions, false)
}

// carryOut makes the decision count.
func (m *Manager) carryOut(now time.Time, d *Decision, report health.Report) {
	d.ID = m.id("dec", now)
	switch {
	case d.Verdict == Waiting:
		m.ask(now, d)
	case d.Verdict == Run && d.Proposal.Action.IsAttempt():
		m.begin(now, d, report)
	}
}

// StrategyFailed is the decision when the strategy could not be asked.
// Of the proposal, only the plugin and the request are known.
func (m *Manager) StrategyFailed(now time.Time, p Proposal, report health.Report, err error) Decision {
	d := Decision{
		ID: m.id("dec", now), Time: now, Inputs: inputsOf(report, p.Request), Proposal: Proposal{Action: None, Plugin: p.Plugin, Request: p.Request},
		Verdict: Suppressed, Rule: RuleStrategyFailed, Reason: err.Error(),
	}
	if m.incident != nil {
		d.Incident = m.incident.ID
	}
	return d
}

// Snapshot is the state of recovery as people see it; nothing in it is shared.
type Snapshot struct {
	Enabled     bool
	InProgress  bool
	Attempt     *Attempt
	Incident    *Incident
	LastAttempt time.Time
	NextAttempt time.Time // not before, as far as the pause between attempts goes; zero: any time
	Settled     time.Time
	Breaker     Breaker // ask it with a time; asking changes nothing
	Pause       *Pause  // ask it with a time: it may be over
	SafeMode    *SafeMode
	Approvals   []Approval // newest first; the first may wait for its answer
	Stats       Stats
	Events      []Event // newest first, at most 100
	Config      Config
}

// Snapshot copies the state.
func (m *Manager) Snapshot() Snapshot {
	s := Snapshot{
		Enabled: m.enabled, InProgress: m.attempt != nil, Incident: m.incident.clone(), LastAttempt: m.seen.last,
		Settled: m.settled, Breaker: m.seen.breaker, Pause: copied(m.pause), SafeMode: m.safeMode(), Approvals: slices.Clone(m.approvals),
		Stats: m.stats, Events: slices.Clone(m.events), Config: m.cfg,
	}
	s.Stats.Actions = maps.Clone(m.stats.Actions)
	if !m.seen.last.IsZero() {
		s.NextAttempt = m.seen.last.Add(m.seen.pause(m.cfg, m.seed))
	}
	if m.attempt != nil {
		a := m.attempt.Attempt
		s.Attempt = &a
	}
	return s
}
