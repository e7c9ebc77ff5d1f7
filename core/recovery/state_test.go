package recovery

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upkeephub/upkeep/core/health"
)

// through writes a state as JSON and reads it back, as a ledger does.
func through(t interface{ Fatal(...any) }, s State) State {
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back State
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// restart gives the manager that the next host begins with, after so long.
func (b *bench) restart(t interface{ Fatal(...any) }, away time.Duration) *bench {
	s := through(t, b.State(Moment{Wall: b.now}))
	next := &bench{Manager: NewManager(b.cfg, b.now.Add(away)), now: b.now.Add(away), gen: 1, seq: 0}
	if err := next.Restore(Moment{Wall: next.now}, s); err != nil {
		t.Fatal(err)
	}
	return next
}

func TestARestartOfHostResetsNothing(t *testing.T) {
	b := newBench(func(c *Config) {
		c.Breaker = BreakerConfig{FailureThreshold: 1, Timeout: 300 * time.Second, SuccessThreshold: 1}
		c.Approval = ApprovalConfig{Actions: map[Action]bool{RestartService: true}, Timeout: time.Hour}
	})
	b.NoteStart(b.now, false)
	b.try(t, ClearConnections)
	if e := b.until(t, health.Critical); e.Outcome != NotCured {
		t.Fatal(e)
	}
	opened := b.now
	if _, err := b.Pause(b.now, time.Hour, Hand{By: "ada", Reason: "deploy"}); err != nil {
		t.Fatal(err)
	}
	next := b.restart(t, 100*time.Second)
	s := next.Snapshot()
	if got := s.Breaker.Status(next.now); got.State != Open || got.Remaining < 190*time.Second || got.Remaining > 202*time.Second || got.Failures != 1 {
		t.Errorf("100 s after the breaker opened for 300 s (%v ago): %+v", next.now.Sub(opened), got)
	}
	if s.Incident == nil || s.Incident.ID != b.incident.ID || len(s.Incident.Attempts) != 1 || s.Incident.Attempts[0].Outcome != NotCured {
		t.Errorf("the incident is %+v, want %+v", s.Incident, b.incident)
	}
	if !s.Pause.Active(next.now) || s.Pause.Remaining(next.now) != time.Hour-100*time.Second || s.Pause.By != "ada" {
		t.Errorf("the pause is %+v", s.Pause)
	}
	if len(next.starts) != 1 {
		t.Errorf("%d unclean starts are remembered, want 1", len(next.starts))
	}
	next.now = next.now.Add(next.cfg.Grace)
	_, r := next.see(health.Critical)
	if d := next.propose(ClearConnections, r); d.Rule != RuleAlreadyTried {
		t.Errorf("what did not help before the restart: %+v", d)
	}
	if e := next.Request(next.now, r, nil).Effects; len(e) != 1 || e[0].NotCured != 1 {
		t.Errorf("the effects are %+v", e)
	}
	next.Unpause(next.now)
	if d := next.propose(RestartService, r); d.Rule != RuleBreaker {
		t.Errorf("with the breaker open: %+v", d)
	}
}

func TestAnAttemptThatRanWhenHostEndedIsJudgedByTheHealthThatFollows(t *testing.T) {
	for _, c := range []struct {
		status health.Status
		want   Outcome
	}{{health.Healthy, Cured}, {health.Critical, NotCured}} {
		b := newBench()
		_, r := b.see(health.Critical)
		d := b.propose(RestartService, r)
		next := b.restart(t, 2*time.Second)
		if !next.Snapshot().InProgress {
			t.Fatal("the attempt is forgotten")
		}
		if e := next.until(t, c.status); e.Attempt != d.Attempt || e.Outcome != c.want || e.Health != health.Critical {
			t.Errorf("judged %+v, want %s", e, c.want)
		}
	}
}

func TestAWallClockThatIsSetChangesNoWaitingTime(t *testing.T) {
	for _, c := range []struct {
		name string
		step time.Duration // of the wall clock, while host was away for 100 s
		boot string
		want time.Duration // that the breaker stays open
	}{
		{"not set", 0, "", 200 * time.Second},
		{"set back by a year", -365 * 24 * time.Hour, "", 300 * time.Second},
		{"set back by a year, the uptime known", -365 * 24 * time.Hour, "b1", 200 * time.Second},
		{"set forward by a year, the uptime known", 365 * 24 * time.Hour, "b1", 200 * time.Second},
		{"another boot", 0, "b2", 200 * time.Second},
	} {
		b := newBench()
		for range 5 {
			ticket := b.real.breaker.Begin(b.now)
			b.real.breaker.Record(b.now, ticket, false)
		}
		s := through(t, b.State(Moment{Wall: b.now, Boot: "b1", Uptime: time.Hour}))
		now := Moment{Wall: b.now.Add(100*time.Second + c.step), Boot: c.boot, Uptime: time.Hour + 100*time.Second}
		next := NewManager(b.cfg, now.Wall)
		if err := next.Restore(now, s); err != nil {
			t.Fatal(err)
		}
		if got := next.Snapshot().Breaker.Remaining(now.Wall); got != c.want {
			t.Errorf("%s: %v remain, want %v", c.name, got, c.want)
		}
	}
}

func TestAStateOfAnotherVersionIsRefusedAndChangesNothing(t *testing.T) {
	m := NewManager(DefaultConfig(), noon)
	before := m.State(Moment{Wall: noon})
	err := m.Restore(Moment{Wall: noon}, State{Version: StateVersion + 1, Failures: 7})
	version, is := errors.AsType[*VersionError](err)
	if !is || version.Version != StateVersion+1 {
		t.Errorf("got %v", err)
	}
	if after := m.State(Moment{Wall: noon}); !reflect.DeepEqual(before, after) {
		t.Errorf("%+v became %+v", before, after)
	}
}

func TestWhatIsRestoredIsNotChangedByItsManager(t *testing.T) {
	b := newBench(func(c *Config) { c.MinInterval = 0 })
	b.OpenBreaker(Hand{By: "ada", At: b.now})
	b.CloseBreaker(Hand{By: "ada", At: b.now})
	b.try(t, ClearConnections)
	b.until(t, health.Critical)
	s := b.State(Moment{Wall: b.now})
	kept := through(t, s)
	next := &bench{Manager: NewManager(b.cfg, b.now), now: b.now.Add(time.Hour), gen: 1}
	if err := next.Restore(Moment{Wall: next.now.Add(-2 * time.Hour)}, s); err != nil {
		t.Fatal(err)
	}
	next.now = next.now.Add(b.cfg.Grace)
	next.try(t, RestartService)
	if again := through(t, s); !reflect.DeepEqual(kept, again) {
		t.Errorf("a state that was restored is changed to %+v, was %+v", again, kept)
	}
}

func TestAStateSharesNothingWithItsManager(t *testing.T) {
	b := newBench(func(c *Config) { c.MinInterval = 0 })
	b.try(t, ClearConnections)
	s := b.State(Moment{Wall: b.now})
	kept := through(t, s)
	b.until(t, health.Critical)
	b.try(t, RestartService)
	if again := through(t, s); !reflect.DeepEqual(kept, again) {
		t.Errorf("what the manager did later changed a state taken before: %+v, was %+v", again, kept)
	}
}

// script is a random run of reports, proposals and ends of actions, which can be
// played to any manager.
type script []func(b *bench, note func(any))

func drawScript(t *rapid.T) script {
	var s script
	for range rapid.IntRange(1, 120).Draw(t, "steps") {
		status := rapid.SampledFrom([]health.Status{health.Healthy, health.Healthy, health.Warning, health.Critical, health.Critical, health.Unknown}).Draw(t, "status")
		action := rapid.SampledFrom([]Action{None, LogWarning, ClearConnections, RestartService, EmergencyStop}).Draw(t, "action")
		pause := time.Duration(rapid.IntRange(0, 90).Draw(t, "pause")) * time.Second
		fails, answers, yes := rapid.Bool().Draw(t, "fails"), rapid.IntRange(0, 5).Draw(t, "answers") == 0, rapid.Bool().Draw(t, "yes")
		s = append(s, func(b *bench, note func(any)) {
			b.now = b.now.Add(pause)
			o, r := b.see(status)
			note(o)
			act := func(d Decision) {
				note(d)
				switch {
				case d.Verdict != Run:
				case d.Proposal.Action == LogWarning:
					note(b.WarningLogged(b.now, d, 0))
				case fails:
					note(b.Finished(b.now, d.Attempt, errors.New("no"), false))
				default:
					note(b.Finished(b.now, d.Attempt, nil, false))
				}
			}
			if d, over := b.Expire(b.now, r, allActions()); over {
				act(d)
			}
			if a := b.pending(); a != nil && answers {
				if d, err := b.Answer(b.now, a.ID, yes, "ada", r, allActions()); err == nil {
					act(d)
				}
			}
			if o.Ask {
				req := b.Request(b.now, r, allActions())
				note(req)
				act(b.Decide(b.now, Proposal{Action: action, Rule: "drawn", Request: req.ID}, r, allActions()))
			}
		})
	}
	return s
}

// play gives everything that a manager said.
func (s script) play(b *bench) []any {
	var said []any
	for _, step := range s {
		step(b, func(v any) { said = append(said, v) })
	}
	return said
}

func drawConfig(t *rapid.T) func(*Config) {
	interval := time.Duration(rapid.IntRange(0, 100).Draw(t, "interval")) * time.Second
	approve := rapid.Bool().Draw(t, "approve")
	perCause := rapid.IntRange(0, 4).Draw(t, "per cause")
	failures := rapid.IntRange(1, 4).Draw(t, "failures")
	return func(c *Config) {
		c.MinInterval, c.Budget.PerCause, c.Breaker.FailureThreshold = interval, perCause, failures
		c.Approval = ApprovalConfig{Actions: map[Action]bool{RestartService: approve}, Timeout: 2 * time.Minute, Default: failures == 2}
	}
}

// Of two managers that see the same, the one whose host was restarted in
// between, from its ledger and with no time lost, knows what the other knows.
func TestWhatIsRestoredIsWhatWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(drawConfig(t))
		drawScript(t).play(b)
		next := b.restart(t, 0)
		was, is := b.State(Moment{Wall: b.now}), next.State(Moment{Wall: b.now})
		if w, i := through(t, was), through(t, is); !reflect.DeepEqual(w, i) {
			t.Fatalf("restored\n%+v, was\n%+v", i, w)
		}
	})
}

func TestTheSameReportsGiveTheSameDecisionsBitForBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, s := drawConfig(t), drawScript(t)
		first, second := s.play(newBench(cfg)), s.play(newBench(cfg))
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("first\n%+v\nthen\n%+v", first, second)
		}
	})
}

// A dry run decides what would be decided, and nothing of it is remembered.
func TestADryRunDecidesAsALiveRunAndRemembersNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, s := drawConfig(t), drawScript(t)
		dry := newBench(cfg, func(c *Config) { c.DryRun.All = true })
		fresh := through(t, dry.State(Moment{Wall: dry.now}))
		live, rehearsed := s.play(newBench(cfg)), s.play(dry)
		if len(live) != len(rehearsed) {
			t.Fatalf("%d things are said live, %d in the dry run", len(live), len(rehearsed))
		}
		for i := range live {
			if l, d := withoutDryRun(live[i]), withoutDryRun(rehearsed[i]); !reflect.DeepEqual(l, d) {
				t.Fatalf("live\n%+v\ndry\n%+v", l, d)
			}
		}
		kept := through(t, dry.State(Moment{Wall: dry.now}))
		if !reflect.DeepEqual(kept.Breaker, fresh.Breaker) || kept.Failures != 0 || kept.Attempts != 0 || len(kept.Spent)+len(kept.Effects)+len(kept.Approvals) != 0 || kept.Running != nil ||
			(kept.Incident != nil && len(kept.Incident.Attempts) != 0) {
			t.Fatalf("of a dry run is remembered: %+v", kept)
		}
		if n := dry.Snapshot().Stats.Total; n != 0 {
			t.Fatalf("a dry run counts %d recoveries", n)
		}
	})
}

func withoutDryRun(v any) any {
	strip := func(i *Incident) *Incident {
		i = i.clone()
		if i != nil {
			for n := range i.Attempts {
				i.Attempts[n].DryRun = false
			}
		}
		return i
	}
	switch v := v.(type) {
	case Decision:
		v.DryRun = false
		return v
	case *Event:
		if v == nil {
			return v
		}
		e := *v
		e.DryRun = false
		return e
	case Observation:
		v.Opened, v.Closed = strip(v.Opened), strip(v.Closed)
		if v.Judged != nil {
			e := *v.Judged
			e.DryRun = false
			v.Judged = &e
		}
		return v
	case Request:
		v.Incident = *strip(&v.Incident)
		return v
	}
	return v
}
