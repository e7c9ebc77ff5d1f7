package recovery

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

// record ends the attempt that is under way, or one that begins and ends at once.
func record(b *Breaker, now time.Time, success bool) {
	ticket := b.r.Begun
	if ticket == 0 {
		ticket = b.Begin(now)
	}
	b.Record(now, ticket, success)
}

func fiveFailures() Breaker {
	return NewBreaker(BreakerConfig{FailureThreshold: 5, Timeout: 300 * time.Second, SuccessThreshold: 3}, noon)
}

func opened() Breaker {
	b := fiveFailures()
	for range 5 {
		record(&b, at(0), false)
	}
	return b
}

// Row 20.
func TestBreakerStartsClosedWithZeroCountsAndItsSettings(t *testing.T) {
	b := fiveFailures()
	s := b.Status(at(10))
	if s.State != Closed || s.Failures != 0 || s.Successes != 0 || !s.CanProceed || s.Config.FailureThreshold != 5 || s.Config.Timeout != 300*time.Second || s.Config.SuccessThreshold != 3 {
		t.Errorf("got %+v", s)
	}
	if s.InState != 10*time.Second {
		t.Errorf("in state %v, want 10s", s.InState)
	}
}

// Row 21.
func TestBreakerBelowTheThresholdStaysClosedAndASuccessForgetsFailures(t *testing.T) {
	b := fiveFailures()
	for range 4 {
		record(&b, at(1), false)
	}
	if b.State(at(2)) != Closed || !b.CanProceed(at(2)) {
		t.Error("four of five failures opened it")
	}
	record(&b, at(3), true)
	for range 4 {
		record(&b, at(4), false)
	}
	if b.State(at(5)) != Closed {
		t.Error("failures before a success still count")
	}
}

// Row 22.
func TestBreakerOpensAtTheThreshold(t *testing.T) {
	b := opened()
	if b.State(at(1)) != Open || b.CanProceed(at(1)) {
		t.Error("five failures did not open it")
	}
	if left := b.Remaining(at(100)); left != 200*time.Second {
		t.Errorf("remaining %v, want 200s", left)
	}
}

// Row 23.
func TestBreakerIsHalfOpenAfterItsTimeout(t *testing.T) {
	b := opened()
	if b.State(at(299.9)) != Open {
		t.Error("open time is over too early")
	}
	if b.State(at(300)) != HalfOpen || !b.CanProceed(at(300)) {
		t.Error("after the timeout it does not let a trial through")
	}
	if s := b.Status(at(310)); s.InState != 10*time.Second || s.Remaining != 0 {
		t.Errorf("half-open began when the open time was over: %+v", s)
	}
}

// Row 24.
func TestBreakerHalfOpenLetsOneTrialThroughAndClosesAfterSuccesses(t *testing.T) {
	b := opened()
	for i := range 3 {
		now := at(300 + float64(i))
		if !b.CanProceed(now) {
			t.Fatalf("trial %d is refused", i)
		}
		b.Begin(now)
		if b.CanProceed(now) {
			t.Fatalf("two trials at once")
		}
		if b.State(now) != HalfOpen {
			t.Fatalf("state %s during trial %d", b.State(now), i)
		}
		record(&b, now, true)
	}
	if s := b.Status(at(303)); s.State != Closed || s.Failures != 0 || s.Successes != 0 {
		t.Errorf("after three successes: %+v", s)
	}
}

// Row 25.
func TestBreakerReopensOnAFailureInHalfOpen(t *testing.T) {
	b := opened()
	b.Begin(at(300))
	record(&b, at(300), true)
	b.Begin(at(301))
	record(&b, at(301), false)
	if b.State(at(302)) != Open || b.Remaining(at(302)) != 299*time.Second {
		t.Errorf("state %s, remaining %v", b.State(at(302)), b.Remaining(at(302)))
	}
}

func TestReadingTheBreakerNeverChangesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := fiveFailures()
		now := noon
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "pause")) * time.Second)
			if b.CanProceed(now) {
				b.Begin(now)
				record(&b, now, rapid.Bool().Draw(t, "success"))
			}
			before := b
			later := now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "later")) * time.Second)
			_, _, _, _ = b.Status(later), b.State(later), b.Remaining(later), b.CanProceed(later)
			if !b.Equal(before) {
				t.Fatalf("reading changed %+v to %+v", before, b)
			}
		}
	})
}

func TestABreakerTakesNewSettingsAndKeepsWhatItCounted(t *testing.T) {
	start := time.Unix(1000, 0)
	b := NewBreaker(BreakerConfig{FailureThreshold: 5, Timeout: 300 * time.Second, SuccessThreshold: 3}, start)
	record(&b, start, false)
	record(&b, start, false)
	b.Configure(BreakerConfig{FailureThreshold: 3, Timeout: 300 * time.Second, SuccessThreshold: 0})
	if b.State(start) != Closed {
		t.Errorf("new settings alone made it %s", b.State(start))
	}
	record(&b, start, false)
	if b.State(start) != Open {
		t.Errorf("three failures leave it %s, want open: the new threshold is 3", b.State(start))
	}
	at := start.Add(20 * time.Second)
	b.Configure(BreakerConfig{FailureThreshold: 3, Timeout: 10 * time.Second, SuccessThreshold: 0})
	if b.State(at) != HalfOpen {
		t.Errorf("after 20 s it is %s, want half-open: the new time is 10 s", b.State(at))
	}
	b.Begin(at)
	record(&b, at, true)
	if b.State(at) != Closed {
		t.Errorf("after one success it is %s, want closed: a threshold below 1 is taken as 1", b.State(at))
	}
}
