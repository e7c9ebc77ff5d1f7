package recovery

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upkeephub/upkeep/core/health"
)

func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestAPauseHoldsBackAttemptsAndEndsByItself(t *testing.T) {
	b := newBench()
	for _, bad := range []struct {
		d      time.Duration
		reason string
	}{{0, "why"}, {-time.Second, "why"}, {MaxPause + 1, "why"}, {time.Hour, ""}} {
		if _, err := b.Pause(b.now, bad.d, Hand{By: "ada", Reason: bad.reason}); !errors.Is(err, ErrBadPause) {
			t.Errorf("a pause of %v because of %q: %v", bad.d, bad.reason, err)
		}
	}
	if _, err := b.Pause(b.now, time.Minute, Hand{By: "ada", Reason: "deploy"}); err != nil {
		t.Fatal(err)
	}
	_, r := b.see(health.Critical)
	if d := b.propose(RestartService, r); d.Verdict != Suppressed || d.Rule != RulePaused {
		t.Errorf("while paused: %+v", d)
	}
	if d := b.propose(LogWarning, r); d.Verdict != Run {
		t.Errorf("a warning while paused: %+v", d)
	}
	b.now = b.now.Add(time.Minute)
	_, r = b.see(health.Critical)
	if d := b.propose(RestartService, r); d.Verdict != Run {
		t.Errorf("after the pause: %+v", d)
	}
	if b.Unpause(b.now) {
		t.Error("a pause that is over can be ended")
	}
}

// waiting is a manager that waits for a yes to restart_service.
func waiting(t *testing.T, answer bool) (*bench, Decision, health.Report) {
	t.Helper()
	b := newBench(func(c *Config) {
		c.Approval = ApprovalConfig{Actions: map[Action]bool{RestartService: true}, Timeout: 100 * time.Second, Default: answer}
	})
	_, r := b.see(health.Critical)
	d := b.propose(RestartService, r)
	if d.Verdict != Waiting || d.Rule != RuleNeedsApproval || d.Approval == "" || d.Attempt != "" {
		t.Fatalf("got %+v", d)
	}
	return b, d, r
}

func TestAYesBeginsTheAttemptAndANoHoldsTheActionForTheIncident(t *testing.T) {
	b, asked, r := waiting(t, false)
	if d := b.propose(RestartService, r); d.Rule != RuleApproving {
		t.Errorf("asked again: %+v", d)
	}
	d, err := b.Answer(b.now, asked.Approval, true, "ada", r, allActions())
	if err != nil || d.Verdict != Run || d.Attempt == "" || d.Approval != asked.Approval {
		t.Errorf("after the yes: %+v, %v", d, err)
	}

	b, asked, r = waiting(t, true)
	d, err = b.Answer(b.now, asked.Approval, false, "ada", r, allActions())
	if err != nil || d.Verdict != Suppressed || d.Rule != RuleDenied {
		t.Errorf("after the no: %+v, %v", d, err)
	}
	_, r = b.see(health.Critical)
	if d := b.propose(RestartService, r); d.Rule != RuleDenied {
		t.Errorf("proposed again after the no: %+v", d)
	}
}

func TestSilenceIsTheConfiguredAnswerAtTheDeadline(t *testing.T) {
	for _, answer := range []bool{true, false} {
		b, asked, _ := waiting(t, answer)
		until := b.approvals[0].Until
		r := b.report(health.Critical)
		if _, over := b.Expire(until.Add(-1), r, allActions()); over {
			t.Error("expired before its deadline")
		}
		if _, err := b.Answer(until, asked.Approval, !answer, "ada", r, allActions()); err == nil {
			t.Error("answered at its deadline, which is too late")
		}
		d, over := b.Expire(until, r, allActions())
		if !over || (d.Verdict == Run) != answer {
			t.Errorf("with the default %t: %+v, %t", answer, d, over)
		}
		if a := b.approvals[0]; a.By != ByDeadline {
			t.Errorf("answered by %q", a.By)
		}
	}
}

func TestAYesToWhatIsNoLongerRightDoesNothing(t *testing.T) {
	b, asked, _ := waiting(t, false)
	d, err := b.Answer(b.now, asked.Approval, true, "ada", b.report(health.Healthy), allActions())
	if err != nil || d.Verdict != Suppressed || d.Rule != RuleHealthy || b.attempt != nil {
		t.Errorf("a yes when health is back: %+v, %v", d, err)
	}
	b, asked, _ = waiting(t, true)
	b.recover(t)
	if _, err := b.Answer(b.now, asked.Approval, true, "ada", b.report(health.Healthy), allActions()); err == nil || b.approvals[0].Answer != Lapsed {
		t.Errorf("the incident is closed, and the question is %s, %v", b.approvals[0].Answer, err)
	}
}

func TestAnAttemptByHandMakesAQuestionLapse(t *testing.T) {
	b, asked, r := waiting(t, true)
	if d := b.Decide(b.now, Proposal{Action: ClearConnections, By: "ada"}, r, allActions()); d.Verdict != Run {
		t.Fatal(d)
	}
	if b.approvals[0].Answer != Lapsed {
		t.Errorf("the question is %s while another action runs", b.approvals[0].Answer)
	}
	if _, err := b.Answer(b.now, asked.Approval, true, "bob", r, allActions()); err == nil {
		t.Error("it can still be answered")
	}
}

// Whoever comes first, and whatever comes at the same time: one answer, once.
func TestAQuestionHasExactlyOneAnswerInEveryRace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(func(c *Config) {
			c.Approval = ApprovalConfig{Actions: map[Action]bool{RestartService: true}, Timeout: 5 * time.Second, Default: rapid.Bool().Draw(t, "default")}
		})
		_, r := b.see(health.Critical)
		asked := b.propose(RestartService, r)
		answers, attempts := 0, 0
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			before := b.approvals[0].Answer
			var d Decision
			switch rapid.SampledFrom([]string{"yes", "no", "expire", "restart", "by hand", "healthy"}).Draw(t, "step") {
			case "yes":
				d, _ = b.Answer(b.now, asked.Approval, true, "ada", r, allActions())
			case "no":
				d, _ = b.Answer(b.now, asked.Approval, false, "bob", r, allActions())
			case "expire":
				b.now = b.now.Add(time.Duration(rapid.IntRange(0, 6).Draw(t, "later")) * time.Second)
				d, _ = b.Expire(b.now, r, allActions())
			case "restart":
				next := b.restart(t, 0)
				next.settled = b.settled
				b = next
			case "by hand":
				d = b.Decide(b.now, Proposal{Action: ClearConnections, By: "eve"}, r, allActions())
				if d.Verdict == Run {
					b.Finished(b.now, d.Attempt, nil, false)
				}
				d = Decision{}
			case "healthy":
				b.see(health.Healthy)
			}
			if d.Attempt != "" {
				attempts++
			}
			if after := b.approvals[0].Answer; after != before {
				answers++
				if before != Unanswered {
					t.Fatalf("%s became %s", before, after)
				}
			}
		}
		if answers > 1 || attempts > 1 || attempts == 1 && b.approvals[0].Answer != Approved {
			t.Fatalf("%d answers, %d attempts, %+v", answers, attempts, b.approvals[0])
		}
		if _, err := b.Answer(b.now, "apr-never", true, "ada", r, allActions()); !errors.Is(err, ErrNoApproval) {
			t.Fatalf("an unknown question: %v", err)
		}
	})
}

func TestWhatAPersonForcesIsNotHeldUpAndUsesNothingUp(t *testing.T) {
	b := newBench(func(c *Config) {
		c.DryRun.All = true
		c.Approval.Actions = map[Action]bool{RestartService: true}
	})
	b.OpenBreaker(Hand{By: "ada", At: b.now})
	b.EnterSafeMode(b.now, "test", time.Hour)
	if _, err := b.Pause(b.now, time.Hour, Hand{By: "ada", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	b.SetEnabled(false)
	_, r := b.see(health.Healthy)
	d := b.Decide(b.now, Proposal{Action: RestartService, By: "ada", Force: true}, r, allActions())
	if d.Verdict != Run || d.DryRun || d.Attempt == "" || d.Incident == "" {
		t.Fatalf("got %+v", d)
	}
	if d := b.Decide(b.now, Proposal{Action: ClearConnections, By: "ada"}, r, allActions()); d.Rule != RuleInProgress {
		t.Errorf("a second attempt at the same time: %+v", d)
	}
	b.Finished(b.now, d.Attempt, nil, false)
	if e := b.until(t, health.Healthy); e.Outcome != Cured || e.By != "ada" || b.incident != nil {
		t.Errorf("judged %+v", e)
	}
	if len(b.seen.spent)+len(b.seen.effects)+b.seen.failures != 0 {
		t.Errorf("it used something up: %+v", b.seen)
	}
	if d := b.Decide(b.now, Proposal{Action: EmergencyStop, By: "ada"}, b.report(health.Warning), allActions()); d.Rule != RuleNeedsCritical {
		t.Errorf("an emergency stop of a hub that is not critical: %+v", d)
	}
	if d := b.Decide(b.now, Proposal{Action: "reboot_the_moon", By: "ada"}, r, allActions()); d.Verdict != Refused {
		t.Errorf("an action that nobody has: %+v", d)
	}
}

func TestWhatAPersonOrdersIsHeldUpByEveryLimitUnlessForced(t *testing.T) {
	for _, c := range []struct {
		rule string
		hold func(b *bench)
	}{
		{RulePaused, func(b *bench) { _, _ = b.Pause(b.now, time.Hour, Hand{By: "bob", Reason: "test"}) }},
		{RuleBreaker, func(b *bench) { b.OpenBreaker(Hand{By: "bob", At: b.now}) }},
		{RuleSafeMode, func(b *bench) { b.EnterSafeMode(b.now, "test", time.Hour) }},
		{RuleBudgetHour, func(b *bench) { b.cfg.Budget.PerHour = 1; b.seen.spend(b.now, nil) }},
		{RuleCooldown, func(b *bench) { b.cfg.MinInterval = time.Hour; b.seen.last = b.now }},
	} {
		for _, sick := range []bool{false, true} {
			b := newBench()
			_, r := b.see(health.Healthy)
			if sick {
				_, r = b.see(health.Critical)
			}
			b.cfg.MinInterval = 0
			c.hold(b)
			p := Proposal{Action: RestartService, By: "ada", Reason: "because"}
			if d := b.Decide(b.now, p, r, allActions()); d.Verdict != Suppressed || d.Rule != c.rule || d.Attempt != "" {
				t.Errorf("%s, sick %t: %s by %s: %s", c.rule, sick, d.Verdict, d.Rule, d.Reason)
			}
			p.Force = true
			if d := b.Decide(b.now, p, r, allActions()); d.Verdict != Run || d.Attempt == "" {
				t.Errorf("%s, sick %t, forced: %s by %s: %s", c.rule, sick, d.Verdict, d.Rule, d.Reason)
			}
		}
	}
}

func TestAnEmergencyStopOfAHubThatIsNotCriticalIsForcedByAPersonOnly(t *testing.T) {
	b := newBench()
	_, r := b.see(health.Warning)
	for _, c := range []struct {
		p    Proposal
		want Verdict
	}{
		{Proposal{Action: EmergencyStop, By: "ada"}, Suppressed},
		{Proposal{Action: EmergencyStop, Plugin: "graded", Force: true}, Suppressed},
		{Proposal{Action: EmergencyStop, By: "ada", Force: true}, Run},
	} {
		if d := b.Preview(b.now, c.p, r, allActions()); d.Verdict != c.want {
			t.Errorf("%+v: %s by %s", c.p, d.Verdict, d.Rule)
		}
	}
}

func TestADryRunForOneRungOrOnePluginCarriesOutTheRest(t *testing.T) {
	b := newBench(func(c *Config) {
		c.DryRun = DryRunConfig{Actions: map[Action]bool{RestartService: true}, Plugins: map[string]bool{"new": true}}
	})
	_, r := b.see(health.Critical)
	for _, c := range []struct {
		p    Proposal
		want bool
	}{
		{Proposal{Action: ClearConnections, Plugin: "old"}, false},
		{Proposal{Action: RestartService, Plugin: "old"}, true},
		{Proposal{Action: ClearConnections, Plugin: "new"}, true},
		{Proposal{Action: RestartService, Plugin: "new", By: "ada"}, false},
	} {
		if d := b.Preview(b.now, c.p, r, allActions()); d.DryRun != c.want || d.Verdict != Run {
			t.Errorf("%+v: %+v, want a dry run: %t", c.p, d, c.want)
		}
	}
}

func TestWhenTheDryRunEndsNothingOfItIsLeft(t *testing.T) {
	b := newBench(func(c *Config) { c.DryRun.All, c.MinInterval, c.Breaker.FailureThreshold = true, 0, 1 })
	b.try(t, ClearConnections)
	b.until(t, health.Critical)
	if b.seen.breaker.State(b.now) != Open {
		t.Fatal("the dry run does not count as a live run would")
	}
	live := b.cfg
	live.DryRun = DryRunConfig{}
	b.Configure(live)
	_, r := b.see(health.Critical)
	if d := b.propose(ClearConnections, r); d.Verdict != Run || d.DryRun {
		t.Errorf("after the dry run: %+v", d)
	}
}

func TestFiveUncleanStartsInAMinuteAreSafeMode(t *testing.T) {
	cfg := DefaultConfig().SafeMode
	for _, c := range []struct {
		name   string
		starts []float64 // seconds
		now    float64
		want   bool
	}{
		{"five within a minute", []float64{0, 10, 20, 30, 40}, 40, true},
		{"four", []float64{10, 20, 30, 40}, 40, false},
		{"five within more", []float64{0, 20, 30, 40, 60}, 60, false},
		{"the future does not count", []float64{0, 10, 20, 30, 400}, 40, false},
		{"none", nil, 0, false},
	} {
		var starts []time.Time
		for _, s := range c.starts {
			starts = append(starts, at(s))
		}
		if got := SafeModeAfter(starts, at(c.now), cfg); (got != nil) != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if SafeModeAfter([]time.Time{at(0)}, at(0), SafeModeConfig{Window: time.Minute}) != nil {
		t.Error("switched off, it is entered all the same")
	}
}

func TestInSafeModeNothingIsRecoveredUntilHealthWasGoodForTenMinutes(t *testing.T) {
	b := newBench()
	for n := range 5 {
		safe := b.NoteStart(b.now, false)
		if (safe != nil) != (n == 4) {
			t.Fatalf("after %d unclean starts: %+v", n+1, safe)
		}
		b = b.restart(t, 10*time.Second)
	}
	if b.NoteStart(b.now, true) == nil {
		t.Error("a clean start ends safe mode")
	}
	b.now = b.now.Add(b.cfg.Grace)
	_, r := b.see(health.Critical)
	if d := b.propose(RestartService, r); d.Verdict != Suppressed || d.Rule != RuleSafeMode {
		t.Errorf("in safe mode: %+v", d)
	}
	well := b.now
	for {
		o, _ := b.see(health.Healthy)
		if o.SafeModeOver {
			break
		}
		if b.now.Sub(well) > time.Hour {
			t.Fatal("health does not end safe mode")
		}
	}
	if d := b.now.Sub(well); d < 10*time.Minute || d > 10*time.Minute+2*time.Second {
		t.Errorf("safe mode ended after %v of health", d)
	}
	b.EnterSafeMode(b.now, "test", time.Hour)
	if !b.LeaveSafeMode() || b.LeaveSafeMode() {
		t.Error("it is not left when somebody says so, once")
	}
}
