package hubproc

import (
	"strings"
	"testing"
	"time"
)

var epoch = time.Unix(1_700_000_000, 0)

func TestReplacementsArePacedAndBounded(t *testing.T) {
	const s = time.Second
	r := restarts{policy: DefaultOptions().Restarts}
	for _, step := range []struct {
		at, lived, pause time.Duration
		ok               bool
		why              string
	}{
		{0 * s, 60 * s, 0, true, "an exit after a while is replaced at once"},
		{1 * s, 1 * s, s / 2, true, "the first quick exit pauses half a second"},
		{2 * s, s / 2, 1 * s, true, "the second in a row twice as long"},
		{14 * s, 11 * s, 0, true, "an exit that was not quick is replaced at once"},
		{15 * s, 1 * s, s / 2, true, "and begins the pauses anew"},
		{16 * s, 1 * s, 0, false, "the sixth exit within 60 s is beyond the budget"},
		{59 * s, 40 * s, 0, false, "also when it was not quick"},
		{60 * s, 44 * s, 0, true, "the first replacement has left the window"},
		{60*s + 1, 1, 0, false, "and only that one"},
		{300 * s, 240 * s, 0, true, "long after, all is forgotten"},
	} {
		pause, ok := r.next(epoch.Add(step.at), step.lived)
		if pause != step.pause || ok != step.ok {
			t.Errorf("exit at +%v after %v: pause %v, %v, want %v, %v: %s", step.at, step.lived, pause, ok, step.pause, step.ok, step.why)
		}
	}
}

func TestPausesDoubleUpToTheirMaximum(t *testing.T) {
	r := restarts{policy: RestartPolicy{Limit: 100, Window: time.Hour, Quick: 10 * time.Second, FirstPause: 500 * time.Millisecond, MaxPause: 30 * time.Second}}
	var got []string
	for i := range 9 {
		pause, _ := r.next(epoch.Add(time.Duration(i)*time.Minute), 0)
		got = append(got, pause.String())
	}
	if want := "500ms 1s 2s 4s 8s 16s 30s 30s 30s"; strings.Join(got, " ") != want {
		t.Errorf("pauses are %v, want %s", got, want)
	}
}

func TestAClockSetBackDoesNotSpendTheBudget(t *testing.T) {
	r := restarts{policy: DefaultOptions().Restarts}
	for range 5 {
		r.next(epoch.Add(time.Hour), time.Minute)
	}
	if _, ok := r.next(epoch, time.Minute); !ok {
		t.Error("replacements in the future count against the present")
	}
}

func TestVerdictOnAMissedHeartbeat(t *testing.T) {
	asleep := look{known: true}
	working := look{known: true, usedCPU: true}
	for _, c := range []struct {
		silent time.Duration // since the last answer
		look   look
		want   verdict
		cause  string
		why    string
	}{
		{1500 * time.Millisecond, look{known: true, stopped: true}, hung, "stopped by a signal", "stopped"},
		{1500 * time.Millisecond, look{known: true, stopped: true, usedCPU: true}, hung, "stopped by a signal", "stopped after some work"},
		{1500 * time.Millisecond, asleep, hung, "no processor time", "it does nothing about the question"},
		{1500 * time.Millisecond, working, busy, "", "it works"},
		{1500 * time.Millisecond, look{known: true, runnable: true}, busy, "", "it would work, others have the processor"},
		{1500 * time.Millisecond, look{}, busy, "", "nobody can look here"},
		{4999 * time.Millisecond, working, busy, "", "just within the limit"},
		{5000 * time.Millisecond, working, hung, "busy, but", "five seconds are enough"},
		{5000 * time.Millisecond, look{}, hung, "busy, but", "the limit holds without /proc"},
	} {
		p := pulse{deadline: time.Second, busyLimit: 5 * time.Second, lateness: 250 * time.Millisecond}
		p.ask(epoch)
		p.answer(epoch, epoch)
		now := epoch.Add(c.silent)
		p.ask(now.Add(-time.Second))
		got, cause := p.judge(now, c.look)
		if got != c.want || !strings.Contains(cause, c.cause) || (c.cause == "") != (cause == "") {
			t.Errorf("silent for %v, %+v: %v %q, want %v %q: %s", c.silent, c.look, got, cause, c.want, c.cause, c.why)
		}
		if p.missed != 1 || !p.asked.IsZero() {
			t.Errorf("%s: missed %d and still waiting %v, want 1 and a closed question", c.why, p.missed, !p.asked.IsZero())
		}
	}
}

func TestQuestionIsOverdueAfterDeadlineAndLastCall(t *testing.T) {
	ms := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Millisecond) }
	p := pulse{deadline: time.Second, lastCall: 50 * time.Millisecond, busyLimit: 5 * time.Second, lateness: 250 * time.Millisecond}
	if p.overdue(ms(5000)) {
		t.Error("nothing was asked, and it is overdue")
	}
	p.ask(ms(0))
	for _, step := range []struct {
		at, due int
		want    bool
		why     string
	}{
		{999, 1000, false, "the deadline is not over"},
		{1100, 1150, false, "noticed 100 ms late: the last call begins now"},
		{1149, 1150, false, "the last call"},
		{1150, 1150, true, "over"},
	} {
		if got := p.overdue(ms(step.at)); got != step.want || !p.due().Equal(ms(step.due)) {
			t.Errorf("at %d ms: overdue %v, look again at %v, want %v and %d ms: %s", step.at, got, p.due().Sub(epoch), step.want, step.due, step.why)
		}
	}
	p.judge(ms(1150), look{known: true, usedCPU: true})
	p.ask(ms(1150))
	p.answer(ms(1200), ms(0))
	if p.missed != 0 || p.asked.IsZero() || p.overdue(ms(2149)) {
		t.Error("a late answer to the first question is a sign of life and leaves the second one open")
	}
	p.answer(ms(1300), ms(1150))
	if !p.asked.IsZero() {
		t.Error("the answered question is still open")
	}
}

func TestOwnPauseIsNotHeldAgainstTheHub(t *testing.T) {
	p := pulse{deadline: time.Second, busyLimit: 5 * time.Second, lateness: 250 * time.Millisecond}
	p.ask(epoch)
	if p.wake(epoch.Add(350*time.Millisecond), epoch.Add(100*time.Millisecond)) {
		t.Error("250 ms late is taken for a pause; want more than that")
	}
	awake := epoch.Add(8 * time.Second)
	if !p.wake(awake, epoch.Add(100*time.Millisecond)) {
		t.Fatal("8 s late is not taken for a pause")
	}
	if p.overdue(awake) || !p.asked.IsZero() {
		t.Error("the question from before the pause still counts")
	}
	p.ask(awake)
	if got, cause := p.judge(awake.Add(time.Second), look{known: true, usedCPU: true}); got != busy {
		t.Errorf("hung (%s): the silence of the pause was counted", cause)
	}
}
