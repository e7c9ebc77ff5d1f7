package pluginhost

import (
	"testing"
	"time"
)

func TestInstanceWaitsLongerAfterEachCrash(t *testing.T) {
	type step struct {
		at         time.Duration // of the exit
		lived      time.Duration
		pause      time.Duration
		quarantine bool
		why        string
	}
	p := DefaultRestartPolicy()
	for name, steps := range map[string][]step{
		"crash loop": {
			{0, 0, 0, false, "the first exit restarts at once"},
			{1 * time.Second, time.Second, 500 * time.Millisecond, false, "the second soon after waits"},
			{3 * time.Second, time.Second, time.Second, false, "each further one waits twice as long"},
			{6 * time.Second, time.Second, 2 * time.Second, false, "each further one waits twice as long"},
			{10 * time.Second, time.Second, 0, true, "five in ten minutes are quarantine"},
		},
		"rare crashes": {
			{0, time.Hour, 0, false, "the first exit restarts at once"},
			{3 * time.Minute, 3 * time.Minute, 0, false, "60 s of health earn a restart at once"},
			{6 * time.Minute, 59 * time.Second, 500 * time.Millisecond, false, "59 s do not"},
			{9 * time.Minute, 60 * time.Second, 0, false, "60 s do"},
			{10*time.Minute + time.Second, 61 * time.Second, 0, false, "the first crash has left the window"},
			{10*time.Minute + 2*time.Second, time.Second, 0, true, "now there are five again"},
		},
	} {
		r := restarts{policy: p}
		start := time.Unix(1e9, 0)
		for _, s := range steps {
			now := start.Add(s.at)
			pause, quarantine := r.exited(now, now.Add(-s.lived))
			if pause != s.pause || quarantine != s.quarantine {
				t.Errorf("%s at +%v: pause %v, quarantine %v, want %v, %v: %s", name, s.at, pause, quarantine, s.pause, s.quarantine, s.why)
			}
		}
		r.forgive()
		if pause, quarantine := r.exited(start.Add(11*time.Minute), start.Add(11*time.Minute)); pause != 0 || quarantine {
			t.Errorf("%s, released: pause %v, quarantine %v, want none", name, pause, quarantine)
		}
	}
}

func TestPauseNeverExceedsTheLongest(t *testing.T) {
	r := restarts{policy: DefaultRestartPolicy()}
	r.policy.Crashes = 1000
	now := time.Unix(1e9, 0)
	last := time.Duration(0)
	for n := range 100 {
		pause, _ := r.exited(now, now)
		if pause < last || pause > time.Minute {
			t.Fatalf("exit %d: pause %v after %v", n, pause, last)
		}
		last = pause
	}
	if last != time.Minute {
		t.Errorf("after 100 exits the pause is %v, want 1m0s", last)
	}
	for _, roll := range []float64{0, 0.5, 0.999} {
		if j := jitter(last, roll); j > last || j < last*3/4 {
			t.Errorf("jitter made %v of %v", j, last)
		}
	}
}

func TestWantOfHostResourcesIsNoCrashOfThePlugin(t *testing.T) {
	r := restarts{policy: DefaultRestartPolicy()}
	now := time.Unix(1e9, 0)
	for n := range 50 {
		if pause := r.hindered(now, now); pause < 500*time.Millisecond {
			t.Fatalf("attempt %d: pause %v, want at least 0.5 s: what is missing is not there at once", n, pause)
		}
	}
	if _, quarantine := r.exited(now, now); quarantine {
		t.Error("quarantined for what the host lacked")
	}
}
