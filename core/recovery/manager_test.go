package recovery

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upkeephub/upkeep/core/health"
)

func allActions() []ActionState {
	var all []ActionState
	for _, a := range Actions() {
		all = append(all, ActionState{Action: a, Applicable: true})
	}
	return all
}

// bench drives a manager: one report a second.
type bench struct {
	*Manager
	now time.Time
	seq uint64
	gen uint64
}

func newBench(change ...func(*Config)) *bench {
	cfg := DefaultConfig()
	for _, c := range change {
		c(&cfg)
	}
	b := &bench{Manager: NewManager(cfg, noon), now: noon, gen: 1}
	b.now = noon.Add(cfg.Grace) // the grace after the start is over
	return b
}

func (b *bench) report(s health.Status) health.Report {
	b.seq++
	return health.Report{
		Sequence: b.seq, Time: b.now, Status: s, WithoutLoad: s, Generation: b.gen,
		Results: []health.Result{{Check: "network_connectivity", Status: s, Time: b.now}},
	}
}

// see observes one report and moves on a second.
func (b *bench) see(s health.Status) (Observation, health.Report) {
	r := b.report(s)
	o := b.Observe(b.now, r)
	b.now = b.now.Add(time.Second)
	return o, r
}

func (b *bench) propose(a Action, r health.Report) Decision {
	return b.Decide(b.now, Proposal{Action: a, Rule: "test", Reason: "because"}, r, allActions())
}

// try lets an attempt begin and its action end well.
func (b *bench) try(t *testing.T, a Action) {
	t.Helper()
	_, r := b.see(health.Critical)
	d := b.propose(a, r)
	if d.Verdict != Run {
		t.Fatalf("%s at %v: %s by %s (%s), want run", a, b.now.Sub(noon), d.Verdict, d.Rule, d.Reason)
	}
	if e := b.Finished(b.now, d.Attempt, nil, false); e != nil {
		t.Fatalf("an action that worked was judged at once: %+v", e)
	}
}

// until observes reports of one status until an attempt is judged.
func (b *bench) until(t *testing.T, s health.Status) Event {
	t.Helper()
	for range 1000 {
		if o, _ := b.see(s); o.Judged != nil {
			return *o.Judged
		}
	}
	t.Fatal("the attempt is never judged")
	return Event{}
}

// Row 30.
func TestManagerStartsEnabledWithABreakerAndNothingInProgress(t *testing.T) {
	s := NewManager(DefaultConfig(), noon).Snapshot()
	if !s.Enabled || s.InProgress || s.Incident != nil || s.Breaker.State(noon) != Closed || s.Stats.Total != 0 || len(s.Events) != 0 {
		t.Errorf("got %+v", s)
	}
}

// Row 31.
func TestHealthyReportsNeverAskAndQuietClosesAnIncident(t *testing.T) {
	b := newBench()
	for range 100 {
		if o, _ := b.see(health.Healthy); o.Ask || o.Opened != nil {
			t.Fatal("health opened an incident")
		}
	}
	if o, _ := b.see(health.Warning); o.Opened == nil || !strings.HasPrefix(o.Opened.ID, "inc-") {
		t.Fatal("a warning opened no incident")
	}
	for i := range 60 {
		o, _ := b.see(health.Healthy)
		if o.Closed != nil {
			if i != 30 {
				t.Errorf("closed after %d healthy seconds, want 30", i)
			}
			return
		}
	}
	t.Error("30 s of health did not close the incident")
}

// Row 32.
func TestDisabledManagerNeverAsksEvenWhenCritical(t *testing.T) {
	b := newBench()
	b.SetEnabled(false)
	for range 50 {
		o, r := b.see(health.Critical)
		if o.Ask {
			t.Fatal("a disabled manager asks")
		}
		if d := b.propose(RestartService, r); d.Verdict != Suppressed || d.Rule != RuleDisabled {
			t.Fatalf("a disabled manager decides %+v", d)
		}
	}
	b.SetEnabled(true)
	if o, _ := b.see(health.Critical); !o.Ask {
		t.Error("enabled again, it does not ask")
	}
}

// Rows 33 and 34.
func TestLogWarningSucceedsTakesTimeAndIsCountedButIsNoAttempt(t *testing.T) {
	b := newBench()
	_, r := b.see(health.Warning)
	if d := b.propose(LogWarning, r); d.Verdict != Run || d.Attempt != "" {
		t.Fatalf("got %+v", d)
	}
	e := b.WarningLogged(b.now, b.propose(LogWarning, r), 0)
	if !e.Success || e.Duration <= 0 {
		t.Errorf("event %+v", e)
	}
	s := b.Snapshot()
	if s.Stats.Total != 1 || s.Stats.Successful != 1 || s.Stats.Actions[LogWarning] != 1 {
		t.Errorf("stats %+v", s.Stats)
	}
	if len(s.Incident.Attempts) != 0 || !s.LastAttempt.IsZero() || s.InProgress {
		t.Error("a logged warning counts as an attempt")
	}
	if d := b.propose(LogWarning, r); d.Verdict != Suppressed || d.Rule != RuleWarningRepeated {
		t.Errorf("a second warning in one incident: %+v", d)
	}
}

// Row 35.
func TestRecoveryHistoryIsNewestFirstAndBounded(t *testing.T) {
	b := newBench()
	for range 150 {
		_, r := b.see(health.Warning)
		b.WarningLogged(b.now, b.propose(LogWarning, r), 0)
	}
	events := b.Snapshot().Events
	if len(events) != 100 {
		t.Fatalf("%d events kept, want 100", len(events))
	}
	for i := 1; i < len(events); i++ {
		if !events[i].Time.Before(events[i-1].Time) {
			t.Fatal("not newest first")
		}
	}
}

func TestAttemptIsCuredByThreeHealthyReportsAfterTheGrace(t *testing.T) {
	b := newBench()
	b.try(t, ClearConnections)
	ended := b.now
	e := b.until(t, health.Healthy)
	if e.Outcome != Cured || !e.Success {
		t.Fatalf("got %+v", e)
	}
	if took := b.now.Sub(ended); took < 12*time.Second || took > 14*time.Second {
		t.Errorf("judged after %v, want the grace of 10 s and three reports", took)
	}
	if s := b.Snapshot(); s.Incident != nil || s.Breaker.Status(b.now).Failures != 0 {
		t.Errorf("a cure does not close the incident: %+v", s.Incident)
	}
}

func TestAReportThatRestsOnAnEarlierOneIsNoProofOfACure(t *testing.T) {
	b := newBench()
	b.try(t, ClearConnections)
	b.now = b.now.Add(b.cfg.Grace)
	for range 10 {
		r := b.report(health.Healthy)
		r.Results[0].Carried = true
		if o := b.Observe(b.now, r); o.Judged != nil {
			t.Fatalf("a healthy report that was carried over judged the attempt: %+v", o.Judged)
		}
		b.now = b.now.Add(time.Second)
	}
	for n := range b.cfg.CureReports {
		o, _ := b.see(health.Healthy)
		if last := n == b.cfg.CureReports-1; (o.Judged != nil) != last {
			t.Fatalf("after %d proofs the judgement is %+v", n+1, o.Judged)
		}
	}
}

func TestAttemptIsNotCuredWhenHealthDoesNotComeBackInTime(t *testing.T) {
	b := newBench()
	b.try(t, ClearConnections)
	ended := b.now
	e := b.until(t, health.Critical)
	if e.Outcome != NotCured || e.Success {
		t.Fatalf("got %+v", e)
	}
	if took := b.now.Sub(ended); took < 40*time.Second || took > 42*time.Second {
		t.Errorf("judged after %v, want the grace of 10 s and the timeout of 30 s", took)
	}
	if f := b.Snapshot().Breaker.Status(b.now).Failures; f != 1 {
		t.Errorf("the breaker counts %d failures, want 1: it counts the cure and not the return value", f)
	}
}

func TestAttemptThatFailsOrTimesOutIsOverAtOnce(t *testing.T) {
	for _, c := range []struct {
		err      error
		timedOut bool
		want     Outcome
	}{{errors.New("hub: not ready in time"), false, Failed}, {errors.New("deadline"), true, TimedOut}} {
		b := newBench()
		_, r := b.see(health.Critical)
		d := b.propose(RestartService, r)
		e := b.Finished(b.now, d.Attempt, c.err, c.timedOut)
		if e == nil || e.Outcome != c.want || e.Success || e.Err == "" {
			t.Errorf("got %+v, want %s", e, c.want)
		}
		if s := b.Snapshot(); s.InProgress || s.Breaker.Status(b.now).Failures != 1 || s.Incident.Attempts[0].Outcome != c.want {
			t.Errorf("got %+v", s)
		}
	}
}

func TestALateEndOfATimedOutActionChangesNothing(t *testing.T) {
	b := newBench()
	_, r := b.see(health.Critical)
	d := b.propose(RestartService, r)
	b.Finished(b.now, d.Attempt, errors.New("deadline"), true)
	if e := b.Finished(b.now, d.Attempt, nil, false); e != nil {
		t.Errorf("the late end was booked: %+v", e)
	}
}

func TestNothingIsAskedWhileAnAttemptRunsOrIsJudgedOrSettles(t *testing.T) {
	b := newBench()
	_, r := b.see(health.Critical)
	d := b.propose(ClearConnections, r)
	if o, _ := b.see(health.Critical); o.Ask {
		t.Error("asked while the action runs")
	}
	b.Finished(b.now, d.Attempt, nil, false)
	for range 39 {
		if o, _ := b.see(health.Critical); o.Ask || o.Judged != nil {
			t.Fatal("asked or judged before the time is over")
		}
	}
	if d := b.propose(RestartService, r); d.Rule != RuleInProgress {
		t.Errorf("a second attempt: %+v", d)
	}
}

func TestCountingBeginsAnewAfterAnAttemptsGrace(t *testing.T) {
	b := newBench(func(c *Config) { c.Timeout = 2 * time.Second })
	for range 5 {
		b.see(health.Critical)
	}
	b.try(t, ClearConnections)
	ended := b.now
	b.until(t, health.Critical)
	_, r := b.see(health.Critical)
	req := b.Request(b.now, r, allActions())
	for _, h := range req.History {
		if h.Time.Before(ended.Add(10 * time.Second)) {
			t.Errorf("a report from %v after the attempt is still counted", h.Time.Sub(ended))
		}
	}
	if len(req.History) == 0 || req.History[0].Sequence != r.Sequence {
		t.Error("the current report is not the first of the history")
	}
}

func TestAnotherHubStartsWithFreshCounters(t *testing.T) {
	b := newBench()
	for range 5 {
		b.see(health.Critical)
	}
	b.gen = 2
	if o, r := b.see(health.Critical); o.Ask {
		t.Error("asked about a hub that is one second old")
	} else if d := b.propose(ClearConnections, r); d.Rule != RuleSettling {
		t.Errorf("got %+v", d)
	}
	b.now = b.now.Add(10 * time.Second)
	o, r := b.see(health.Critical)
	if !o.Ask || len(b.Request(b.now, r, nil).History) != 1 {
		t.Error("after the grace of the new hub, counting does not begin with one")
	}
}

func TestGuard(t *testing.T) {
	load := func(r health.Report) health.Report { r.WithoutLoad = health.Healthy; return r }
	for _, c := range []struct {
		name    string
		status  health.Status
		action  Action
		mutate  func(health.Report) health.Report
		actions func([]ActionState) []ActionState
		want    Verdict
		rule    string
	}{
		{"nothing proposed", health.Critical, None, nil, nil, Nothing, "test"},
		{"an empty proposal is nothing", health.Critical, "", nil, nil, Nothing, "test"},
		{"a word nobody knows", health.Critical, "reboot_the_moon", nil, nil, Refused, RuleUnknownAction},
		{"emergency from a warning", health.Warning, EmergencyStop, nil, nil, Suppressed, RuleNeedsCritical},
		{"emergency from a healthy state", health.Healthy, EmergencyStop, nil, nil, Suppressed, RuleHealthy},
		{"all unknown", health.Unknown, ClearConnections, nil, nil, Suppressed, RuleNothingKnown},
		{"all unknown may be logged", health.Unknown, LogWarning, nil, nil, Run, "test"},
		{"only load", health.Critical, RestartService, load, nil, Suppressed, RuleOnlyLoad},
		{"only load may be logged", health.Critical, LogWarning, load, nil, Run, "test"},
		{"connections of a dead hub", health.Critical, ClearConnections, nil, func(all []ActionState) []ActionState {
			all[2] = ActionState{Action: ClearConnections, Reason: "no hub is running"}
			return all
		}, Suppressed, RuleNotApplicable},
		{"critical may restart", health.Critical, RestartService, nil, nil, Run, "test"},
		{"critical may stop", health.Critical, EmergencyStop, nil, nil, Run, "test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench()
			b.see(health.Warning)
			_, r := b.see(c.status)
			if c.mutate != nil {
				r = c.mutate(r)
			}
			actions := allActions()
			if c.actions != nil {
				actions = c.actions(actions)
			}
			d := b.Decide(b.now, Proposal{Action: c.action, Rule: "test"}, r, actions)
			if d.Verdict != c.want || d.Rule != c.rule {
				t.Errorf("%s by %s (%s), want %s by %s", d.Verdict, d.Rule, d.Reason, c.want, c.rule)
			}
		})
	}
}

func TestTheIntervalBetweenAttemptsIsKeptAcrossIncidents(t *testing.T) {
	b := newBench()
	b.try(t, ClearConnections)
	started := b.Snapshot().LastAttempt
	if e := b.until(t, health.Healthy); e.Outcome != Cured {
		t.Fatal("not cured")
	}
	_, r := b.see(health.Critical)
	if d := b.propose(ClearConnections, r); d.Rule != RuleCooldown {
		t.Errorf("%v after the attempt: %+v, want the cooldown of 60 s", b.now.Sub(started), d)
	}
	b.now = started.Add(60 * time.Second)
	_, r = b.see(health.Critical)
	if d := b.propose(ClearConnections, r); d.Verdict != Run {
		t.Errorf("after 60 s: %+v; and a cure resets the ladder", d)
	}
}

func TestARungThatDidNotHelpIsNotTriedAgainAndAttemptsAreLimited(t *testing.T) {
	b := newBench(func(c *Config) { c.MaxAttempts = 2; c.MinInterval = 0; c.Timeout = time.Second })
	b.try(t, ClearConnections)
	b.until(t, health.Critical)
	_, r := b.see(health.Critical)
	if d := b.propose(ClearConnections, r); d.Rule != RuleAlreadyTried {
		t.Errorf("the same rung again: %+v", d)
	}
	b.try(t, RestartService)
	b.until(t, health.Critical)
	for range 100 {
		_, r = b.see(health.Critical)
		if d := b.propose(EmergencyStop, r); d.Rule != RuleAttemptsUsed {
			t.Fatalf("a third of two attempts: %+v", d)
		}
	}
}

func TestAnOpenBreakerBlocksAttemptsAndHalfOpenLetsOneThrough(t *testing.T) {
	b := newBench(func(c *Config) {
		c.MinInterval, c.MaxAttempts = 0, 100
		c.Breaker = BreakerConfig{FailureThreshold: 2, Timeout: 100 * time.Second, SuccessThreshold: 1}
	})
	for _, a := range []Action{ClearConnections, RestartService} {
		_, r := b.see(health.Critical)
		d := b.propose(a, r)
		b.Finished(b.now, d.Attempt, errors.New("no"), false)
		b.now = b.now.Add(10 * time.Second)
	}
	_, r := b.see(health.Critical)
	if d := b.propose(EmergencyStop, r); d.Rule != RuleBreaker {
		t.Fatalf("got %+v, want the open breaker", d)
	}
	b.now = b.now.Add(100 * time.Second)
	_, r = b.see(health.Critical)
	if d := b.propose(EmergencyStop, r); d.Verdict != Run {
		t.Fatalf("half-open: %+v", d)
	}
}

func TestOneOldFailureNeverWeighsOnANewIncident(t *testing.T) {
	b := newBench()
	b.try(t, ClearConnections)
	b.until(t, health.Healthy)
	b.now = b.now.Add(time.Hour)
	o, r := b.see(health.Critical)
	if o.Opened == nil || len(o.Opened.Attempts) != 0 {
		t.Fatalf("got %+v", o.Opened)
	}
	if req := b.Request(b.now, r, nil); len(req.History) != 1 || len(req.Incident.Attempts) != 0 {
		t.Errorf("the new incident sees %d reports and %d attempts of the old", len(req.History), len(req.Incident.Attempts))
	}
}

func TestEffectsAreRememberedByCause(t *testing.T) {
	b := newBench(func(c *Config) { c.MinInterval = 0 })
	b.try(t, ClearConnections)
	b.until(t, health.Critical)
	b.try(t, RestartService)
	b.until(t, health.Healthy)
	_, r := b.see(health.Critical)
	got := b.Request(b.now, r, nil).Effects
	if len(got) != 2 || got[0].Action != ClearConnections || got[0].NotCured != 1 || got[1].Action != RestartService || got[1].Cured != 1 || got[0].Cause != "network_connectivity" {
		t.Errorf("got %+v", got)
	}
}

// Whatever happens in whatever order: the limits hold.
func TestLimitsHoldUnderRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		var starts []time.Time
		running := ""
		perIncident := map[string]map[Action]int{}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			s := health.Status(rapid.IntRange(0, 3).Draw(t, "status"))
			if rapid.IntRange(0, 30).Draw(t, "hub") == 0 {
				b.gen++
			}
			b.now = b.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "pause")) * time.Second)
			o, r := b.see(s)
			if running != "" && rapid.Bool().Draw(t, "ends") {
				var err error
				if rapid.Bool().Draw(t, "fails") {
					err = errors.New("no")
				}
				b.Finished(b.now, running, err, false)
				running = ""
				continue
			}
			if !o.Ask {
				continue
			}
			action := Actions()[rapid.IntRange(0, 4).Draw(t, "action")]
			d := b.propose(action, r)
			if d.Verdict != Run {
				continue
			}
			if action == LogWarning {
				b.WarningLogged(b.now, d, 0)
				continue
			}
			if action == None {
				t.Fatal("none is run")
			}
			if running != "" {
				t.Fatal("two attempts at once")
			}
			if s == health.Unknown || s == health.Healthy || (action == EmergencyStop && s != health.Critical) {
				t.Fatalf("%s from %s", action, s)
			}
			running = d.Attempt
			starts = append(starts, b.now)
			if n := len(starts); n > 1 && starts[n-1].Sub(starts[n-2]) < 60*time.Second {
				t.Fatalf("attempts %v apart", starts[n-1].Sub(starts[n-2]))
			}
			if perIncident[d.Incident] == nil {
				perIncident[d.Incident] = map[Action]int{}
			}
			if perIncident[d.Incident][action]++; perIncident[d.Incident][action] > 1 || len(perIncident[d.Incident]) > 5 {
				t.Fatalf("incident %s: %v", d.Incident, perIncident[d.Incident])
			}
		}
	})
}
