package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

// Settings of a Monitor are what can change while it runs; see Apply.
type Settings struct {
	// Enabled says whether the checkers are asked at all. While they are not,
	// nothing is known about health, and nothing is recovered.
	Enabled      bool
	Interval     time.Duration // between rounds while all is well
	FastInterval time.Duration // between rounds while anything is not
	CheckTimeout time.Duration // of one check
	AskTimeout   time.Duration // of the strategy
	HistorySize  int           // reports kept
	Window       time.Duration // of aggregation, and of the samples given back to checkers
	Aggregation  health.Aggregation
	Damp         health.DampConfig // of checks that ask for no other
	Recovery     recovery.Config
	// RecoveryEnabled says whether the strategy is asked at all.
	RecoveryEnabled bool
}

// Options of a Monitor. Start from DefaultOptions.
type Options struct {
	Settings

	// Begin is closed when the first round may begin; nil: at once. The loop
	// turns from the beginning.
	Begin <-chan struct{}
	// Checks gives the checks of the next round; checks may come and go. It is
	// called from one goroutine at a time and must not block.
	Checks func() []Check
	// Strategy gives the strategy, or nil when there is none now. It is called
	// from the loop and must not block.
	Strategy func() Strategy
	Actor    Actor   // nil: no action but log_warning can be taken
	Subject  Subject // nil: it never changes
	// Moment reads the clocks for what is remembered over a restart; nil: the wall
	// clock alone.
	Moment func() recovery.Moment
	Hooks  Hooks
}

// DefaultOptions returns the documented defaults.
func DefaultOptions() Options {
	return Options{Settings: Settings{
		Enabled:  true,
		Interval: 30 * time.Second, FastInterval: time.Second, CheckTimeout: 2 * time.Second, AskTimeout: 2 * time.Second,
		HistorySize: 100, Window: 300 * time.Second, Aggregation: health.Worst, Damp: health.DefaultDampConfig(),
		Recovery: recovery.DefaultConfig(), RecoveryEnabled: true,
	}}
}

// completed gives zero settings their defaults.
func (s Settings) completed() Settings {
	def := DefaultOptions().Settings
	for _, d := range []struct{ have, want *time.Duration }{
		{&s.Interval, &def.Interval}, {&s.FastInterval, &def.FastInterval}, {&s.CheckTimeout, &def.CheckTimeout},
		{&s.AskTimeout, &def.AskTimeout}, {&s.Window, &def.Window},
	} {
		if *d.have <= 0 {
			*d.have = *d.want
		}
	}
	if s.HistorySize <= 0 {
		s.HistorySize = def.HistorySize
	}
	if s.Aggregation == "" {
		s.Aggregation = def.Aggregation
	}
	s.FastInterval = min(s.FastInterval, s.Interval)
	return s
}

const (
	// lateness is how much longer than its deadlines a round may take before it
	// says nothing: host itself was suspended.
	lateness = time.Second
	// settleTimeout is longer than supervision needs to judge a busy hub (5 s).
	settleTimeout = 7 * time.Second
	// maxReruns of a round that said nothing.
	maxReruns = 3
	// maxDecisions is how many decisions are kept for people to read.
	maxDecisions = 100
	// stopGrace is how long Run waits for what it started.
	stopGrace = 2 * time.Second
)

// Monitor is the loop. Make it with New, run it with Run.
type Monitor struct {
	opts     Options
	history  *health.History
	snapshot atomic.Pointer[Snapshot]
	beat     atomic.Int64 // when the loop last turned, in nanoseconds since 1970; 0: not yet

	wake    chan struct{}    // from Wake, read by the loop; full: one is pending already
	apply   chan application // from Apply, read by the loop; a sender gives up when the loop has ended
	orders  chan order       // from inLoop, as apply
	done    chan struct{}    // closed by Run
	workers sync.WaitGroup

	// The loop's own.
	manager   *recovery.Manager
	rounds    rounds
	next      *time.Timer // the next round; stopped: none is due
	held      bool        // the first round may not begin yet
	epoch     int         // grows when monitoring is switched off: rounds that began before say nothing
	looking   bool        // a round is under way
	again     bool        // another is wanted right after it
	asking    bool        // the strategy is being asked
	acting    string      // the attempt whose action runs
	sequence  uint64
	report    health.Report
	checks    []CheckState
	knownAt   time.Time // when the overall status was last known, else the start
	decisions []recovery.Decision
	// remembered is what the hook State was given last.
	remembered recovery.State
	// dampers of the checks, by name. After an attempt they begin anew.
	dampers map[string]*health.Damper
}

// New makes a monitor; zero options take their defaults.
func New(opts Options) *Monitor {
	opts.Settings = opts.Settings.completed()
	if opts.Checks == nil {
		opts.Checks = func() []Check { return nil }
	}
	if opts.Strategy == nil {
		opts.Strategy = func() Strategy { return nil }
	}
	now := time.Now()
	m := &Monitor{
		opts: opts, history: health.NewHistory(opts.HistorySize), manager: recovery.NewManager(opts.Recovery, now), knownAt: now,
		wake: make(chan struct{}, 1), apply: make(chan application), orders: make(chan order), done: make(chan struct{}), held: opts.Begin != nil,
	}
	m.rounds = rounds{source: opts.Checks, subject: opts.Subject, samples: map[string]*health.Samples{}, busy: map[string]*atomic.Bool{}, slow: map[string]*slowCheck{}, well: map[string]health.Result{}, spawn: m.workers.Go}
	m.manager.SetEnabled(opts.RecoveryEnabled)
	if !opts.Enabled {
		m.manager.LookAway()
	}
	m.publish()
	return m
}

// History of the reports. Safe for concurrent use.
func (m *Monitor) History() *health.History { return m.history }

// Beat is when the loop last turned, at most a second ago while it lives; zero
// before Run.
func (m *Monitor) Beat() time.Time {
	if n := m.beat.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// Wake asks for a round now, e.g. because the hub was replaced or a checker
// that watches saw a change. It never blocks; while a round is under way, one
// more follows it.
func (m *Monitor) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Watched takes a result that a checker gave unasked, about the subject of the
// given generation. It stands for the check's next look, and a round begins now to
// take it over; one about a subject that was replaced meanwhile is dropped. A
// later one replaces one that no round has taken yet. It never blocks. Safe for
// concurrent use.
func (m *Monitor) Watched(check string, out Outcome, generation uint64) {
	m.rounds.watched.put(check, pushed{out, generation, time.Now()})
	m.Wake()
}

// application is settings on their way to the loop.
type application struct {
	settings Settings
	done     chan struct{} // closed by the loop when they are in force
}

// Apply gives the loop other settings; zero ones take their defaults. It
// returns once they are in force, which Snapshot then shows: at once, unless the
// loop has ended (ErrEnded) or ctx ends before. A round that is under way goes
// on as it began, and another follows it at once. Switched off, the loop forgets
// what it knew about health; the history stays. Switched on again, it begins as
// after a start, with the incident that was open.
func (m *Monitor) Apply(ctx context.Context, s Settings) error {
	a := application{s, make(chan struct{})}
	select {
	case m.apply <- a:
	case <-m.done:
		return ErrEnded
	case <-ctx.Done():
		return fmt.Errorf("the monitor's loop does not take its settings: %w", context.Cause(ctx))
	}
	<-a.done // the loop closes it before it does anything else
	return nil
}

// ErrEnded is returned by Apply when Run has ended.
var ErrEnded = errors.New("monitor: it has ended")

// adopt puts settings in force.
func (m *Monitor) adopt(now time.Time, s Settings) {
	was := m.opts.Enabled
	m.opts.Settings = s.completed()
	m.history.Resize(m.opts.HistorySize)
	m.manager.Configure(s.Recovery)
	m.manager.SetEnabled(s.RecoveryEnabled)
	switch {
	case was && !s.Enabled:
		m.manager.LookAway()
		m.epoch++
		m.checks, m.report, m.again = nil, health.Report{}, false
		m.next.Stop()
	case !was && s.Enabled:
		m.manager.LookAgain(now)
		m.dampers = nil
		m.knownAt = now
	}
	m.soon()
}

// soon has a round begin now, or right after the one that is under way.
func (m *Monitor) soon() {
	switch {
	case !m.opts.Enabled || m.held:
	case m.looking:
		m.again = true
	default:
		m.next.Reset(0)
	}
}

type answer struct {
	request  recovery.Request
	proposal recovery.Proposal
	err      error
}

type actionEnd struct {
	attempt  string
	err      error
	timedOut bool
}

// ErrNotStopped is returned by Run when something that it started did not end
// in time after its context was cancelled.
var ErrNotStopped = errors.New("monitor: a check or an action did not stop within 2 s")

// Run is the loop. It blocks until ctx ends, then cancels what it started and
// waits for it, at most 2 s (ErrNotStopped). It may be called once.
func (m *Monitor) Run(ctx context.Context) error {
	// Each of these has one sender at a time and room for its one message, so
	// that no worker blocks when the loop has ended.
	found := make(chan round, 1)
	answers := make(chan answer, 1)
	ended := make(chan actionEnd, 2) // an action that overran may end beside its successor
	defer close(m.done)
	m.next = time.NewTimer(time.Hour)
	defer m.next.Stop()
	m.next.Stop()
	begin := m.opts.Begin
	m.soon()
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		m.beat.Store(time.Now().UnixNano())
		select {
		case <-ctx.Done():
			return m.drain()
		case <-beat.C:
			d, over := m.manager.Expire(time.Now(), m.report, m.actions())
			if !over {
				continue
			}
			m.carryOut(ctx, time.Now(), d, ended)
		case o := <-m.orders:
			o.do(ctx, time.Now(), ended)
			m.remember()
			m.publish()
			close(o.done)
			continue
		case a := <-m.apply:
			m.adopt(time.Now(), a.settings)
			m.publish()
			close(a.done)
			continue
		case <-begin:
			begin, m.held = nil, false
			m.soon()
			continue
		case <-m.wake:
			m.soon()
			continue
		case <-m.next.C:
			m.looking, m.again = true, false
			epoch, timeout, window := m.epoch, m.opts.CheckTimeout, m.opts.Window
			m.workers.Go(func() {
				r := m.rounds.look(ctx, timeout, window)
				r.epoch = epoch
				found <- r
			})
			continue
		case f := <-found:
			m.looking = false
			if ctx.Err() != nil {
				continue
			}
			if f.epoch != m.epoch { // switched off meanwhile
				m.soon()
				continue
			}
			if ask := m.take(time.Now(), f); ask {
				m.ask(ctx, answers)
			}
			pause := m.pace()
			if m.again {
				pause = 0
			}
			m.next.Reset(pause)
		case a := <-answers:
			m.asking = false
			m.answered(ctx, time.Now(), a, ended)
		case e := <-ended:
			m.acted(time.Now(), e)
		}
		m.remember()
		m.publish()
	}
}

// drain waits for the workers, a bounded time.
func (m *Monitor) drain() error {
	gone := make(chan struct{})
	go func() { m.workers.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-time.After(stopGrace):
		return ErrNotStopped
	}
}

// pace is the time until the next round: short while anything is not well.
func (m *Monitor) pace() time.Duration {
	s := m.manager.Snapshot()
	if len(m.checks) > 0 && (m.report.Status != health.Healthy || m.report.Unsettled() || s.Incident != nil) {
		return m.opts.FastInterval
	}
	return m.opts.Interval
}

func (m *Monitor) tellRecovery(e *recovery.Event) {
	if hook := m.opts.Hooks.Recovery; hook != nil && e != nil {
		hook(*e)
	}
}

// ask puts the situation before the strategy, one question at a time.
func (m *Monitor) ask(ctx context.Context, answers chan<- answer) {
	if m.asking {
		return
	}
	strategy := m.opts.Strategy()
	if strategy == nil {
		return
	}
	m.asking = true
	req := m.manager.Request(time.Now(), m.report, m.actions())
	m.workers.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, m.opts.AskTimeout)
		defer cancel()
		p, err := strategy.Decide(ctx, req)
		answers <- answer{req, p, err}
	})
}

func (m *Monitor) actions() []recovery.ActionState {
	if m.opts.Actor == nil {
		return []recovery.ActionState{{Action: recovery.LogWarning, Applicable: true}}
	}
	return m.opts.Actor.Actions()
}

// answered lets the guard judge the proposal and begins what it lets through.
func (m *Monitor) answered(ctx context.Context, now time.Time, a answer, ended chan<- actionEnd) {
	if ctx.Err() != nil {
		return
	}
	p := a.proposal
	p.Request, p.By = a.request.ID, ""
	if a.err != nil {
		m.carryOut(ctx, now, m.manager.StrategyFailed(now, p, m.report, a.err), ended)
		return
	}
	m.carryOut(ctx, now, m.manager.Decide(now, p, m.report, m.actions()), ended)
}

// carryOut tells a decision and begins what it lets through.
func (m *Monitor) carryOut(ctx context.Context, now time.Time, d recovery.Decision, ended chan<- actionEnd) {
	m.decided(d)
	switch {
	case d.Verdict != recovery.Run:
		return
	case d.Proposal.Action == recovery.LogWarning:
		m.tellRecovery(m.manager.WarningLogged(now, d, time.Since(now)))
		return
	case d.DryRun:
		m.tellRecovery(m.manager.Finished(now, d.Attempt, nil, false))
		return
	}
	m.remember() // before anything can be felt of it
	m.acting = d.Attempt
	order := Order{Action: d.Proposal.Action, Attempt: d.Attempt, Incident: d.Incident, Reason: d.Reason}
	limit := d.Deadline
	m.workers.Go(func() {
		// An action that ignores its deadline must not block the next one: the
		// attempt ends on time, whatever the action does.
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		result := make(chan error, 1)
		m.workers.Go(func() { result <- m.opts.Actor.Act(ctx, order) })
		select {
		case err := <-result:
			ended <- actionEnd{d.Attempt, err, errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil}
		case <-ctx.Done():
			ended <- actionEnd{d.Attempt, ctx.Err(), true}
		}
	})
}

func (m *Monitor) decided(d recovery.Decision) {
	m.decisions = recovery.Keep(m.decisions, d, maxDecisions)
	if hook := m.opts.Hooks.Decision; hook != nil {
		hook(d)
	}
}

// acted takes the end of an action.
func (m *Monitor) acted(now time.Time, e actionEnd) {
	if m.acting == e.attempt {
		m.acting = ""
		m.dampers = nil // what was counted before is no evidence of what it did
	}
	m.tellRecovery(m.manager.Finished(now, e.attempt, e.err, e.timedOut))
}
