package recovery

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upkeephub/upkeep/core/health"
)

// fail lets an attempt begin, fail, and its grace pass.
func (b *bench) fail(t *testing.T, a Action) {
	t.Helper()
	_, r := b.see(health.Critical)
	d := b.propose(a, r)
	if d.Verdict != Run {
		t.Fatalf("%s at %v: %s by %s (%s), want run", a, b.now.Sub(noon), d.Verdict, d.Rule, d.Reason)
	}
	b.Finished(b.now, d.Attempt, errors.New("no"), false)
	b.now = b.now.Add(b.cfg.Grace)
}

// recover ends the incident by health alone.
func (b *bench) recover(t *testing.T) {
	t.Helper()
	for range 1000 {
		if o, _ := b.see(health.Healthy); o.Closed != nil {
			return
		}
	}
	t.Fatal("the incident never closes")
}

func TestPausesGrowWithEachAttemptThatDidNotHelpUpToTheirLimit(t *testing.T) {
	b := newBench(func(c *Config) {
		c.MinInterval, c.Budget = 60*time.Second, BudgetConfig{MaxInterval: 200 * time.Second}
		c.MaxAttempts, c.Breaker.FailureThreshold = 100, 100
	})
	own := func(n int) Action { return Action("own_" + string(rune('a'+n))) }
	actions := allActions()
	for n := range 6 {
		actions = append(actions, ActionState{Action: own(n), Applicable: true})
	}
	for n, want := range []time.Duration{0, 60 * time.Second, 120 * time.Second, 200 * time.Second, 200 * time.Second} {
		last := b.seen.last
		for range 10_000 {
			_, r := b.see(health.Critical)
			d := b.Decide(b.now, Proposal{Action: own(n)}, r, actions)
			if d.Verdict == Run {
				b.Finished(b.now, d.Attempt, errors.New("no"), false)
				break
			}
		}
		if got := b.seen.last.Sub(last); n > 0 && (got < want || got > want+2*time.Second) {
			t.Errorf("attempt %d began %v after the one before, want %v", n+1, got, want)
		}
	}
	if b.CloseBreaker(Hand{At: b.now}); b.seen.failures != 5 {
		t.Errorf("%d failures in a row, want 5", b.seen.failures)
	}
}

func TestJitterOnlyLengthensAPauseAndIsTheSameInEveryReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultConfig()
		cfg.Budget.Jitter = rapid.Float64Range(0, 1).Draw(t, "jitter")
		b := book{failures: rapid.IntRange(1, 200).Draw(t, "failures"), attempts: rapid.Uint64().Draw(t, "attempts")}
		seed := rapid.Uint64().Draw(t, "seed")
		pause, plain := b.pause(cfg, seed), func() time.Duration { c := cfg; c.Budget.Jitter = 0; return b.pause(c, seed) }()
		if pause < plain || float64(pause) > float64(plain)*(1+cfg.Budget.Jitter)+1 || plain < cfg.MinInterval || plain > cfg.Budget.MaxInterval {
			t.Fatalf("a pause of %v instead of %v with a jitter of %v", pause, plain, cfg.Budget.Jitter)
		}
		if again := b.pause(cfg, seed); again != pause {
			t.Fatalf("first %v, then %v", pause, again)
		}
	})
	seen := map[float64]bool{}
	for n := range uint64(1000) {
		f := fraction(7, n)
		if f < 0 || f >= 1 || seen[f] {
			t.Fatalf("the fraction of %d is %v", n, f)
		}
		seen[f] = true
	}
}

func TestBudgetsHoldForAnHourOverAllIncidentsAndForEachCause(t *testing.T) {
	for _, c := range []struct {
		name   string
		budget BudgetConfig
		rule   string
	}{
		{"an hour", BudgetConfig{PerHour: 2}, RuleBudgetHour},
		{"a cause", BudgetConfig{PerCause: 2}, RuleBudgetCause},
	} {
		b := newBench(func(cfg *Config) { cfg.MinInterval, cfg.Budget = 0, c.budget })
		first := b.now
		b.fail(t, RestartService)
		b.recover(t)
		b.fail(t, RestartService)
		b.recover(t)
		_, r := b.see(health.Critical)
		d := b.propose(RestartService, r)
		if d.Verdict != Suppressed || d.Rule != c.rule {
			t.Errorf("%s: a third attempt of two: %+v", c.name, d)
		}
		other := r
		other.Results = []health.Result{{Check: "another", Status: health.Critical}}
		b.recover(t)
		b.Observe(b.now, other)
		if d := b.propose(RestartService, other); (d.Verdict == Run) != (c.budget.PerCause > 0) {
			t.Errorf("%s: against another cause: %+v", c.name, d)
		}
		b.attempt = nil
		b.now = first.Add(time.Hour + time.Second)
		_, r = b.see(health.Critical)
		if d := b.Preview(b.now, Proposal{Action: ClearConnections}, r, allActions()); d.Verdict != Run {
			t.Errorf("%s: an hour later: %+v", c.name, d)
		}
	}
}

func TestAnIncurableFaultStopsAtTheBudgetAndIsToldOnce(t *testing.T) {
	b := newBench(func(c *Config) {
		c.MinInterval, c.MaxAttempts, c.Disabled = 0, 100, map[Action]bool{EmergencyStop: true}
		c.Budget = BudgetConfig{PerHour: 3}
		c.Breaker.FailureThreshold = 100
	})
	var kept []Decision
	attempts := 0
	for range 3000 {
		o, r := b.see(health.Critical)
		if !o.Ask {
			continue
		}
		action := ClearConnections
		if b.incident.tried(ClearConnections) {
			action = RestartService
		}
		d := b.propose(action, r)
		kept = Keep(kept, d, 100)
		if d.Verdict == Run {
			attempts++
			b.Finished(b.now, d.Attempt, errors.New("no"), false)
		}
	}
	if attempts != 2 {
		t.Errorf("%d attempts, want one of each rung", attempts)
	}
	if len(kept) > 4 || kept[0].Repeated < 2900 || kept[0].Rule != RuleAlreadyTried || !kept[0].First.Before(kept[0].Time) {
		t.Errorf("%d decisions are kept, the newest %+v; want each reason once, with how often", len(kept), kept[0])
	}
}

func TestWhatIsRememberedOfAnEffectFadesByHalfInItsHalfLife(t *testing.T) {
	b := newBench(func(c *Config) { c.MinInterval = 0; c.HalfLife = time.Hour })
	b.fail(t, ClearConnections)
	learnt := b.seen.effects.sorted()[0].Last
	b.now = learnt.Add(time.Hour)
	_, r := b.see(health.Critical)
	e := b.Request(learnt.Add(time.Hour), r, nil).Effects[0]
	if e.NotCured != 1 || e.NotCuredWeight < 0.499 || e.NotCuredWeight > 0.501 {
		t.Errorf("after one half-life: %+v", e)
	}
	m := memory{}
	m.learn("a", RestartService, false, noon, time.Hour)
	m.learn("a", RestartService, true, noon.Add(2*time.Hour), time.Hour)
	m.learn("a", RestartService, true, noon.Add(2*time.Hour), 0)
	if e := m.sorted()[0]; e.NotCuredWeight != 0.25 || e.CuredWeight != 2 || e.Cured != 2 || e.NotCured != 1 {
		t.Errorf("learnt over two half-lives: %+v", e)
	}
}

func TestTheOldestEffectGivesWayWhenThereAreTooMany(t *testing.T) {
	m := memory{}
	for n := range maxEffects + 50 {
		m.learn(string(rune(n)), RestartService, true, noon.Add(time.Duration(n)*time.Second), time.Hour)
	}
	if len(m) != maxEffects {
		t.Errorf("%d effects are kept", len(m))
	}
	if _, is := m[effectKey{string(rune(0)), RestartService}]; is {
		t.Error("the oldest is still there")
	}
}

func TestTheEndOfTheServiceTeachesNothing(t *testing.T) {
	b := newBench(func(c *Config) { c.MinInterval = 0 })
	b.try(t, EmergencyStop)
	if e := b.until(t, health.Healthy); e.Outcome != Cured || len(b.seen.effects) != 0 {
		t.Errorf("an emergency stop is remembered: %+v", b.seen.effects)
	}
}

func TestEachActionHasItsOwnDeadline(t *testing.T) {
	b := newBench(func(c *Config) {
		c.MinInterval = 0
		c.Deadlines = map[Action]time.Duration{RestartService: 5 * time.Second}
	})
	_, r := b.see(health.Critical)
	if d := b.Preview(b.now, Proposal{Action: ClearConnections}, r, allActions()); d.Deadline != 30*time.Second {
		t.Errorf("clear_connections may take %v, want recovery_timeout", d.Deadline)
	}
	if d := b.Preview(b.now, Proposal{Action: RestartService}, r, allActions()); d.Deadline != 5*time.Second {
		t.Errorf("restart_service may take %v, want 5s", d.Deadline)
	}
}

func TestADecisionSaysWhatItWasMadeOnAndWhyNothingElse(t *testing.T) {
	b := newBench()
	_, r := b.see(health.Warning)
	req := b.Request(b.now, r, allActions())
	d := b.Decide(b.now, Proposal{Action: ClearConnections, Rule: "warned", Reason: "twice", Plugin: "graded", Request: req.ID}, r, allActions())
	if d.ID == "" || d.Inputs.Request != req.ID || d.Inputs.Report != r.Sequence || len(d.Inputs.Digest) != 64 || d.Inputs.Checks["network_connectivity"] != health.Warning || d.Proposal.Plugin != "graded" {
		t.Errorf("inputs %+v of %+v", d.Inputs, d.Proposal)
	}
	why := map[Action]string{}
	for _, a := range d.Alternatives {
		why[a.Action] = a.Rule
		if a.Reason == "" {
			t.Errorf("no reason why not %s", a.Action)
		}
	}
	if len(why) != 4 || why[QuarantineOffender] != RuleNotProposed || why[EmergencyStop] != RuleNeedsCritical || why[RestartService] != RuleNotProposed || why[LogWarning] != RuleNotProposed {
		t.Errorf("alternatives %v", why)
	}
	if r.Status = health.Critical; inputsOf(r, "").Digest == d.Inputs.Digest {
		t.Error("another report has the same digest")
	}
}

func TestAPreviewChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(drawConfig(t))
		drawScript(t).play(b)
		before := through(t, b.State(Moment{Wall: b.now}))
		r := b.report(health.Critical)
		for _, a := range Actions() {
			b.Preview(b.now, Proposal{Action: a}, r, allActions())
			b.Preview(b.now, Proposal{Action: a, By: "ada"}, r, allActions())
		}
		if after := through(t, b.State(Moment{Wall: b.now})); !equalJSON(before, after) {
			t.Fatalf("%+v became %+v", before, after)
		}
	})
}
