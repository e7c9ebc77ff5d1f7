package recovery

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelBreaker is a breaker as one would draw it on paper: it ticks once a
// second and acts at every tick, where the real one has no timer.
type modelBreaker struct {
	cfg       BreakerConfig
	state     BreakerState
	left      int   // seconds until half-open
	failures  []int // seconds ago, newest last; without a window since the last success
	successes int
	trial     int // seconds left for the attempt under way in half-open, when it has a deadline
	running   bool
	byHand    bool
}

func (m *modelBreaker) tick() {
	for i := range m.failures {
		m.failures[i]++
	}
	if m.state == Open && !m.byHand {
		if m.left--; m.left == 0 {
			m.state, m.successes = HalfOpen, 0
		}
	}
	if m.state == HalfOpen && m.running && m.cfg.TrialTimeout > 0 {
		if m.trial--; m.trial == 0 {
			m.end(false)
		}
	}
}

func (m *modelBreaker) begin() {
	m.running, m.trial = true, int(m.cfg.TrialTimeout.Seconds())
}

func (m *modelBreaker) end(success bool) {
	if !m.running {
		return
	}
	m.running = false
	if success {
		if m.cfg.FailureWindow == 0 {
			m.failures = nil
		}
		if m.state == HalfOpen {
			if m.successes++; m.successes == m.cfg.SuccessThreshold {
				m.state, m.failures = Closed, nil
			}
		}
		return
	}
	m.failures = append(m.failures, 0)
	count := 0
	for _, ago := range m.failures {
		if m.cfg.FailureWindow == 0 || ago < int(m.cfg.FailureWindow.Seconds()) {
			count++
		}
	}
	if m.state == HalfOpen || m.state == Closed && count >= m.cfg.FailureThreshold {
		m.state, m.left = Open, int(m.cfg.Timeout.Seconds())
	}
}

func (m *modelBreaker) canProceed() bool {
	return m.state == Closed || m.state == HalfOpen && !m.running
}

func TestBreakerFollowsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := func(name string, low, high int) time.Duration {
			return time.Duration(rapid.IntRange(low, high).Draw(t, name)) * time.Second
		}
		cfg := BreakerConfig{
			FailureThreshold: rapid.IntRange(1, 4).Draw(t, "failures"), SuccessThreshold: rapid.IntRange(1, 3).Draw(t, "successes"),
			Timeout: second("timeout", 1, 30),
		}
		if rapid.Bool().Draw(t, "windowed") {
			cfg.FailureWindow = second("window", 1, 60)
		}
		if rapid.Bool().Draw(t, "trials have a deadline") {
			cfg.TrialTimeout = second("trial", 1, 20)
		}
		b, model, now := NewBreaker(cfg, noon), &modelBreaker{cfg: cfg, state: Closed}, noon
		var ticket Ticket
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			switch step := rapid.SampledFrom([]string{"wait", "wait", "attempt", "attempt", "end well", "end badly", "end badly", "open", "close"}).Draw(t, "step"); step {
			case "wait":
				for range rapid.IntRange(1, 40).Draw(t, "seconds") {
					now = now.Add(time.Second)
					model.tick()
				}
			case "attempt":
				if !model.running && b.CanProceed(now) {
					ticket = b.Begin(now)
					model.begin()
				}
			case "end well", "end badly":
				b.Record(now, ticket, step == "end well")
				model.end(step == "end well")
				ticket = 0
			case "open":
				b.OpenByHand(Hand{By: "somebody", At: now})
				model.state, model.byHand, model.running, model.successes = Open, true, false, 0
			case "close":
				b.CloseByHand(Hand{By: "somebody", At: now})
				*model = modelBreaker{cfg: cfg, state: Closed}
			}
			s := b.Status(now)
			if s.State != model.state || s.CanProceed != model.canProceed() {
				t.Fatalf("%s, can proceed %t; want %s, %t", s.State, s.CanProceed, model.state, model.canProceed())
			}
			if want := time.Duration(model.left) * time.Second; model.state == Open && !model.byHand && s.Remaining != want {
				t.Fatalf("%v remain, want %v", s.Remaining, want)
			}
			if model.byHand != (s.State == Open && s.Hand != nil) {
				t.Fatalf("by hand: %+v", s.Hand)
			}
		}
	})
}

func TestFailuresOutsideTheWindowDoNotOpenTheBreakerAndASuccessForgetsNone(t *testing.T) {
	b := NewBreaker(BreakerConfig{FailureThreshold: 3, FailureWindow: time.Minute, Timeout: time.Minute, SuccessThreshold: 1}, noon)
	record(&b, at(0), false)
	record(&b, at(50), false)
	record(&b, at(61), false)
	if b.State(at(61)) != Closed {
		t.Error("a failure of 61 s ago opened it")
	}
	record(&b, at(70), true)
	record(&b, at(80), false)
	if b.State(at(80)) != Open {
		t.Error("three failures within a minute leave it closed because one attempt in between helped")
	}
}

func TestATrialWithoutAnEndIsAFailureAtItsDeadlineAndItsLateEndCountsForNothing(t *testing.T) {
	b := NewBreaker(BreakerConfig{FailureThreshold: 1, Timeout: 100 * time.Second, SuccessThreshold: 1, TrialTimeout: 30 * time.Second}, noon)
	record(&b, at(0), false)
	ticket := b.Begin(at(100))
	if s := b.Status(at(110)); s.State != HalfOpen || s.CanProceed || !s.TrialUntil.Equal(at(130)) {
		t.Errorf("during the trial: %+v", s)
	}
	if left := b.Remaining(at(140)); left != 90*time.Second {
		t.Errorf("10 s after the deadline %v remain, want 90 s: it opened at the deadline", left)
	}
	b.Record(at(150), ticket, true)
	if b.State(at(150)) != Open {
		t.Error("the late success closed it")
	}
	if !b.CanProceed(at(230)) {
		t.Error("after its time it lets no other trial through")
	}
}

func TestABreakerOpenedByHandStaysOpenUntilAHandClosesItAndSaysWho(t *testing.T) {
	b := fiveFailures()
	ticket := b.Begin(at(0))
	b.OpenByHand(Hand{By: "ada", Reason: "deploy", At: at(1)})
	b.Record(at(2), ticket, true)
	if s := b.Status(at(1e6)); s.State != Open || s.CanProceed || s.Hand == nil || s.Hand.By != "ada" || s.Hand.Reason != "deploy" || s.Remaining != 0 {
		t.Errorf("opened by hand, after days: %+v", s)
	}
	b.CloseByHand(Hand{By: "bob", Reason: "done", At: at(1e6)})
	if s := b.Status(at(1e6)); s.State != Closed || !s.CanProceed || s.Hand.By != "bob" || s.Failures != 0 {
		t.Errorf("closed by hand: %+v", s)
	}
	for range 5 {
		record(&b, at(1e6), false)
	}
	if s := b.Status(at(1e6)); s.State != Open || s.Hand != nil || b.State(at(1e6+300)) != HalfOpen {
		t.Errorf("opened by failures after that: %+v", s)
	}
}
