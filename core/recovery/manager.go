package recovery

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// Config are the limits within which recovery acts.
type Config struct {
	MaxAttempts   int           // per incident
	MinInterval   time.Duration // between the starts of two attempts
	Timeout       time.Duration // of an action, and of the judgement after its grace
	Grace         time.Duration // after a start of the hub and after an attempt, nothing is decided
	CureReports   int           // healthy reports in a row that make a cure
	Quiet         time.Duration // of health that closes an incident nothing was done about
	FailureWindow time.Duration // of the transitions that a strategy sees
	Breaker       BreakerConfig
	Disabled      map[Action]bool // actions switched off
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		MaxAttempts: 5, MinInterval: 60 * time.Second, Timeout: 30 * time.Second, Grace: 10 * time.Second,
		CureReports: 3, Quiet: 30 * time.Second, FailureWindow: 300 * time.Second,
		Breaker: BreakerConfig{FailureThreshold: 5, Timeout: 300 * time.Second, SuccessThreshold: 3},
	}
}

const (
	maxEvents       = 100 // recovery events kept
	maxCounted      = 20  // reports that a strategy sees
	maxEffects      = 256 // pairs of cause and action that are remembered
	closingHealthys = 3   // healthy reports that an incident needs to close, besides Quiet
)

// Event is one action taken, as it stands in the recovery history.
type Event struct {
	Time     time.Time
	Incident string
	Action   Action
	Health   health.Status // that led to it
	Success  bool
	Outcome  Outcome
	Duration time.Duration // of the action
	Err      string
	Reason   string
}

// Stats count what recovery did since the start of host.
type Stats struct {
	Total, Successful, Failed int
	Actions                   map[Action]int
	Duration                  time.Duration // sum over the actions
}

// Manager is the state of recovery. It is not safe for concurrent use: the
// monitor's loop owns it.
type Manager struct {
	cfg     Config
	enabled bool
	paused  bool      // nobody looks
	resumed time.Time // when somebody looked again
	breaker Breaker

	incident    *Incident
	attempt     *Attempt // running or waiting for its judgement
	trigger     health.Status
	reason      string
	healthy     int       // healthy reports in a row
	healthyFrom time.Time // of the first of them
	lastAttempt time.Time
	settled     time.Time // nothing is decided before
	counted     []health.Report
	generation  uint64
	transitions []health.Transition
	previous    health.Status

	effects map[effectKey]Effect
	events  []Event // newest first
	stats   Stats
	serial  int
}

type effectKey struct {
	cause  string
	action Action
}

// NewManager makes an enabled manager. Nothing is decided within Grace of now.
func NewManager(cfg Config, now time.Time) *Manager {
	return &Manager{
		cfg: cfg, enabled: true, breaker: NewBreaker(cfg.Breaker, now), settled: now.Add(cfg.Grace),
		effects: map[effectKey]Effect{}, stats: Stats{Actions: map[Action]int{}},
	}
}

// SetEnabled switches recovery on or off. Off, reports are still observed and
// a running attempt is still judged, but no strategy is asked.
func (m *Manager) SetEnabled(on bool) { m.enabled = on }

// Configure gives it other limits. What was counted and is remembered stands,
// and so does a grace that has begun; an attempt that waits for its judgement
// is judged by the new limits.
func (m *Manager) Configure(cfg Config) {
	m.cfg = cfg
	m.breaker.Configure(cfg.Breaker)
}

// Pause says that no reports will come for now. Proposals are suppressed; an
// incident stays open, since nobody sees its end.
func (m *Manager) Pause() { m.paused = true }

// Resume says that reports come again. Counting starts anew after a grace, as
// after a start, and an attempt that waits for its judgement is judged by what
// follows from now on.
func (m *Manager) Resume(now time.Time) {
	m.paused, m.resumed, m.healthy = false, now, 0
	m.settle(now)
}

// Observation is what a report meant.
type Observation struct {
	Opened *Incident // an incident opened
	Closed *Incident // an incident closed
	Judged *Event    // an attempt got its outcome
	// Ask: the strategy is to be asked now.
	Ask bool
}

// Observe takes the next report: it opens and closes incidents, judges the
// attempt that waits for its outcome, and says whether the strategy is to be asked.
func (m *Manager) Observe(now time.Time, r health.Report) Observation {
	var o Observation
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
	case r.Status == health.Healthy && r.Carried(): // no proof of anything new
	case r.Status == health.Healthy:
		if m.healthy == 0 {
			m.healthyFrom = now
		}
		m.healthy++
	default:
		m.healthy = 0
		if m.incident == nil {
			m.serial++
			m.incident = &Incident{ID: fmt.Sprintf("inc-%s-%d", now.UTC().Format("20060102t150405"), m.serial), Opened: now}
			m.counted = nil
			o.Opened = m.incident.clone()
		}
		m.addCauses(r.Causes())
		if o.Opened != nil {
			o.Opened = m.incident.clone()
		}
	}
	if m.attempt != nil && !m.attempt.Ended.IsZero() {
		if e := m.judgeAttempt(now, r); e != nil {
			o.Judged = e
			if e.Outcome == Cured {
				o.Closed = m.closeIncident()
			}
		}
	}
	if m.incident == nil {
		return o
	}
	if m.attempt == nil && m.healthy >= closingHealthys && now.Sub(m.healthyFrom) >= m.cfg.Quiet {
		o.Closed = m.closeIncident()
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

func (m *Manager) addCauses(causes []string) {
	for _, c := range causes {
		if i := sort.SearchStrings(m.incident.Causes, c); i == len(m.incident.Causes) || m.incident.Causes[i] != c {
			m.incident.Causes = slices.Insert(m.incident.Causes, i, c)
		}
	}
}

// settle begins a grace: counting starts anew when it is over.
func (m *Manager) settle(now time.Time) {
	m.settled = now.Add(m.cfg.Grace)
	m.counted = nil
}

func (m *Manager) closeIncident() *Incident {
	closed := m.incident
	m.incident, m.counted = nil, nil
	return closed
}

// judgeAttempt looks whether the health that followed the attempt decides it.
func (m *Manager) judgeAttempt(now time.Time, r health.Report) *Event {
	graceEnd := m.attempt.Ended.Add(m.cfg.Grace)
	if m.resumed.After(m.attempt.Ended) {
		graceEnd = m.resumed.Add(m.cfg.Grace)
	}
	if now.Before(graceEnd) {
		if r.Status == health.Healthy { // only health after the grace is proof
			m.healthy, m.healthyFrom = 0, now
		}
		return nil
	}
	if m.healthy >= m.cfg.CureReports {
		return m.concludeAttempt(now, Cured, "")
	}
	if now.Sub(graceEnd) >= m.cfg.Timeout {
		return m.concludeAttempt(now, NotCured, fmt.Sprintf("health did not come back within %.0f s", m.cfg.Timeout.Seconds()))
	}
	return nil
}

// concludeAttempt gives the attempt its outcome and books it.
func (m *Manager) concludeAttempt(now time.Time, outcome Outcome, why string) *Event {
	a := m.attempt
	m.attempt = nil
	a.Outcome, a.Judged, a.Err = outcome, now, why
	if a.Ended.IsZero() {
		a.Ended = now
	}
	m.breaker.Record(now, outcome == Cured)
	for i := range m.incident.Attempts {
		if m.incident.Attempts[i].ID == a.ID {
			m.incident.Attempts[i] = *a
		}
	}
	for _, cause := range m.incident.Causes {
		m.remember(cause, a.Action, outcome == Cured, now)
	}
	return m.book(Event{
		Time: a.Started, Incident: m.incident.ID, Action: a.Action, Health: m.trigger, Success: outcome == Cured,
		Outcome: outcome, Duration: a.Ended.Sub(a.Started), Err: why, Reason: m.reason,
	})
}

func (m *Manager) remember(cause string, action Action, cured bool, now time.Time) {
	key := effectKey{cause, action}
	if _, known := m.effects[key]; !known && len(m.effects) >= maxEffects {
		oldest := key
		for k, e := range m.effects {
			if oldest == key || e.Last.Before(m.effects[oldest].Last) {
				oldest = k
			}
		}
		delete(m.effects, oldest)
	}
	e := m.effects[key]
	e.Cause, e.Action, e.Last = cause, action, now
	if cured {
		e.Cured++
	} else {
		e.NotCured++
	}
	m.effects[key] = e
}

func (m *Manager) book(e Event) *Event {
	m.events = append([]Event{e}, m.events...)
	if len(m.events) > maxEvents {
		m.events = m.events[:maxEvents]
	}
	m.stats.Total++
	if e.Success {
		m.stats.Successful++
	} else {
		m.stats.Failed++
	}
	m.stats.Actions[e.Action]++
	m.stats.Duration += e.Duration
	return &e
}

// Request builds what the strategy gets to see. Call it when Observe said Ask.
func (m *Manager) Request(now time.Time, r health.Report, actions []ActionState) Request {
	effects := slices.Collect(maps.Values(m.effects))
	sort.Slice(effects, func(i, j int) bool {
		if effects[i].Cause != effects[j].Cause {
			return effects[i].Cause < effects[j].Cause
		}
		return effects[i].Action < effects[j].Action
	})
	return Request{
		Now: now, Report: r, Incident: *m.incident.clone(), History: slices.Clone(m.counted),
		Transitions: slices.Clone(m.transitions), Actions: actions, Effects: effects,
	}
}

// Decide puts a proposal before the guard. The report is the newest one, which
// may be younger than the one the strategy saw. If the verdict is Run and the
// action is an attempt, the attempt has begun, and Finished must follow.
func (m *Manager) Decide(now time.Time, p Proposal, report health.Report, actions []ActionState) Decision {
	d := Decision{Time: now, Report: report.Sequence, Health: report.Status, Action: p.Action}
	if d.Action == "" {
		d.Action = None
	}
	switch {
	case m.paused:
		d.Verdict, d.Rule, d.Reason = Suppressed, RuleMonitoringOff, "health monitoring is switched off"
		return d
	case !m.enabled:
		d.Verdict, d.Rule, d.Reason = Suppressed, RuleDisabled, "recovery is switched off"
		return d
	case m.incident == nil:
		d.Verdict, d.Rule, d.Reason = Suppressed, RuleHealthy, "the incident closed before the proposal came"
		return d
	}
	d.Incident = m.incident.ID
	d.Verdict, d.Rule, d.Reason = m.judge(now, p, report, actions)
	if d.Verdict != Run || !p.Action.IsAttempt() {
		return d
	}
	m.serial++
	m.attempt = &Attempt{ID: fmt.Sprintf("att-%s-%d", now.UTC().Format("20060102t150405"), m.serial), Action: p.Action, Started: now, Outcome: Pending}
	m.incident.Attempts = append(m.incident.Attempts, *m.attempt)
	m.trigger, m.reason, m.lastAttempt = report.Status, p.Reason, now
	m.breaker.Begin(now)
	d.Attempt = m.attempt.ID
	return d
}

// StrategyFailed is the decision when the strategy could not be asked.
func (m *Manager) StrategyFailed(now time.Time, report health.Report, err error) Decision {
	d := Decision{Time: now, Report: report.Sequence, Health: report.Status, Action: None, Verdict: Suppressed, Rule: RuleStrategyFailed, Reason: err.Error()}
	if m.incident != nil {
		d.Incident = m.incident.ID
	}
	return d
}

// WarningLogged notes that the incident's warning is in the log.
func (m *Manager) WarningLogged(now time.Time, report health.Report, reason string, took time.Duration) *Event {
	if m.incident == nil {
		return nil
	}
	m.incident.WarningLogged = now
	return m.book(Event{
		Time: now, Incident: m.incident.ID, Action: LogWarning, Health: report.Status, Success: true,
		Outcome: Done, Duration: max(took, time.Microsecond), Reason: reason,
	})
}

// Finished notes that the action of an attempt ended. With an error the
// attempt is over at once; without one it waits for its judgement. An unknown
// attempt, e.g. one that already timed out, changes nothing.
func (m *Manager) Finished(now time.Time, attempt string, err error, timedOut bool) *Event {
	if m.attempt == nil || m.attempt.ID != attempt || !m.attempt.Ended.IsZero() {
		return nil
	}
	m.attempt.Ended = now
	m.healthy = 0
	m.settle(now)
	for i := range m.incident.Attempts {
		if m.incident.Attempts[i].ID == attempt {
			m.incident.Attempts[i] = *m.attempt
		}
	}
	switch {
	case timedOut:
		return m.concludeAttempt(now, TimedOut, fmt.Sprintf("%s did not end within %.0f s", m.attempt.Action, m.cfg.Timeout.Seconds()))
	case err != nil:
		return m.concludeAttempt(now, Failed, err.Error())
	}
	return nil
}

// Snapshot is the state of recovery as people see it; nothing in it is shared.
type Snapshot struct {
	Enabled     bool
	InProgress  bool
	Attempt     *Attempt
	Incident    *Incident
	LastAttempt time.Time
	Settled     time.Time
	Breaker     Breaker // ask it with a time; asking changes nothing
	Stats       Stats
	Events      []Event // newest first, at most 100
	Config      Config
}

// Snapshot copies the state.
func (m *Manager) Snapshot() Snapshot {
	s := Snapshot{
		Enabled: m.enabled, InProgress: m.attempt != nil, Incident: m.incident.clone(), LastAttempt: m.lastAttempt,
		Settled: m.settled, Breaker: m.breaker, Stats: m.stats, Events: slices.Clone(m.events), Config: m.cfg,
	}
	s.Stats.Actions = maps.Clone(m.stats.Actions)
	if m.attempt != nil {
		a := *m.attempt
		s.Attempt = &a
	}
	return s
}
