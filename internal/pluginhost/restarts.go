package pluginhost

import "time"

// RestartPolicy says when a plugin that exited is started again.
type RestartPolicy struct {
	// Healthy is how long a plugin must have run for its exit to count as the
	// first: that one is restarted at once.
	Healthy time.Duration
	// First pause; each further exit doubles it, up to Longest.
	First, Longest time.Duration
	// Crashes within Window lead to quarantine. A process that host replaced
	// because its calls timed out while it answered its health calls is no
	// crash: what it looks at may be what hangs, and once that is cured the
	// checker must be there.
	Crashes int
	Window  time.Duration
}

// DefaultRestartPolicy restarts at once after 60 s of health, then after 0.5 s
// doubling to 60 s; 5 crashes in 10 min are quarantine.
func DefaultRestartPolicy() RestartPolicy {
	return RestartPolicy{
		Healthy: 60 * time.Second, First: 500 * time.Millisecond, Longest: 60 * time.Second,
		Crashes: 5, Window: 10 * time.Minute,
	}
}

// restarts applies a RestartPolicy to one plugin. It reads no clock.
type restarts struct {
	policy  RestartPolicy
	streak  int         // exits since the plugin was last healthy for long
	crashes []time.Time // within the window, oldest first; at most policy.Crashes
}

// exited books the end of a process that began to run at started. It returns
// the pause before the next start, without jitter, or quarantine instead.
func (r *restarts) exited(now, started time.Time) (pause time.Duration, quarantine bool) {
	kept := r.crashes[:0]
	for _, t := range r.crashes {
		if now.Sub(t) < r.policy.Window {
			kept = append(kept, t)
		}
	}
	r.crashes = append(kept, now)
	if len(r.crashes) >= r.policy.Crashes {
		return 0, true
	}
	return r.pause(now, started), false
}

// hindered books a start that failed for want of the host's own resources,
// which is a reason to wait and no crash of the plugin.
func (r *restarts) hindered(now, started time.Time) time.Duration {
	if r.streak == 0 {
		r.streak = 1 // never at once: what is missing will not be there yet
	}
	return r.pause(now, started)
}

// pause is how long to wait after the end of a process that began to run at
// started, and books nothing but the streak.
func (r *restarts) pause(now, started time.Time) time.Duration {
	if now.Sub(started) >= r.policy.Healthy {
		r.streak = 0
	}
	n := r.streak
	r.streak++
	if n == 0 {
		return 0
	}
	pause := r.policy.First
	for ; n > 1 && pause < r.policy.Longest; n-- {
		pause *= 2
	}
	return min(pause, r.policy.Longest)
}

// forgive forgets everything: the plugin was released by hand.
func (r *restarts) forgive() { r.streak, r.crashes = 0, nil }

// jitter shortens a pause by up to a quarter, so that plugins that died
// together do not start together; roll is in [0, 1).
func jitter(pause time.Duration, roll float64) time.Duration {
	return time.Duration(float64(pause) * (1 - roll/4))
}
