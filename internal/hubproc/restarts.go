package hubproc

import "time"

// RestartPolicy bounds how often a hub that ends is replaced.
type RestartPolicy struct {
	// Limit replacements within Window are made; the next exit gives up.
	Limit  int
	Window time.Duration
	// An exit within Quick of the start is followed by a pause: FirstPause,
	// doubling with each such exit in a row, at most MaxPause. Any other exit
	// is followed by none.
	Quick      time.Duration
	FirstPause time.Duration
	MaxPause   time.Duration
}

// restarts applies a RestartPolicy. It reads no clock.
type restarts struct {
	policy RestartPolicy
	made   []time.Time // within the window, oldest first
	quick  int         // quick exits in a row
}

// next is asked when a hub ended at now after it had lived so long, and answers
// after which pause to start the next one, or false: not at all.
func (r *restarts) next(now time.Time, lived time.Duration) (pause time.Duration, ok bool) {
	r.forget(now)
	if len(r.made) >= r.policy.Limit {
		return 0, false
	}
	if lived >= r.policy.Quick {
		r.quick = 0
	} else {
		pause = r.policy.FirstPause
		for range r.quick {
			if pause >= r.policy.MaxPause {
				break
			}
			pause *= 2
		}
		pause = min(pause, r.policy.MaxPause)
		r.quick++
	}
	r.made = append(r.made, now)
	return pause, true
}

// forget drops what the window no longer holds, and what a clock that was set
// back has put into the future.
func (r *restarts) forget(now time.Time) {
	kept := r.made[:0]
	for _, t := range r.made {
		if age := now.Sub(t); age >= 0 && age < r.policy.Window {
			kept = append(kept, t)
		}
	}
	r.made = kept
}

// recent copies the replacements within the window.
func (r *restarts) recent(now time.Time) []time.Time {
	r.forget(now)
	return append([]time.Time(nil), r.made...)
}
