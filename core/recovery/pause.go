package recovery

import (
	"errors"
	"fmt"
	"time"
)

// MaxPause is the longest time for which recovery can be paused: a pause that
// somebody forgot ends.
const MaxPause = 30 * 24 * time.Hour

// Pause is a time in which no attempt begins. It ends by itself.
type Pause struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

// Active says whether the pause holds at the given time. A nil pause never does.
func (p *Pause) Active(now time.Time) bool { return p != nil && now.Before(p.Until) }

// Remaining is how long it still holds.
func (p *Pause) Remaining(now time.Time) time.Duration {
	if !p.Active(now) {
		return 0
	}
	return p.Until.Sub(now)
}

// ErrBadPause is returned for a pause without a reason, or of no or too long a time.
var ErrBadPause = errors.New("a pause needs a reason and a time of up to 30 days")

// Pause begins a pause, or gives the present one another end. An attempt that is
// under way goes on; warnings are logged all the same.
func (m *Manager) Pause(now time.Time, d time.Duration, h Hand) (Pause, error) {
	if d <= 0 || d > MaxPause || h.Reason == "" {
		return Pause{}, fmt.Errorf("%w: reason %q, %v", ErrBadPause, h.Reason, d)
	}
	since := now
	if m.pause.Active(now) {
		since = m.pause.Since
	}
	m.pause = &Pause{By: h.By, Reason: h.Reason, Since: since, Until: now.Add(d)}
	return *m.pause, nil
}

// Unpause ends the pause; false: there was none.
func (m *Manager) Unpause(now time.Time) bool {
	was := m.pause.Active(now)
	m.pause = nil
	return was
}

// SafeMode is a time in which host is careful: nothing is recovered
// automatically, and whoever loads plugins loads only those that came with host.
type SafeMode struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	// Healthy is how long health has to be good without a break to end it.
	Healthy time.Duration `json:"healthy_ns"`
}

// SafeModeConfig says when host starts in safe mode.
type SafeModeConfig struct {
	Starts  int           // unclean starts within Window that lead to it; 0: it is never entered
	Window  time.Duration // in which they count
	Healthy time.Duration // of health that ends it
}

// SafeModeAfter judges a list of unclean starts, those that followed a run
// without an orderly end, at the start that is now: it gives the safe mode that
// host is to begin in, or nil. It depends on nothing but its arguments.
func SafeModeAfter(starts []time.Time, now time.Time, cfg SafeModeConfig) *SafeMode {
	n := 0
	for _, s := range starts {
		if age := now.Sub(s); age >= 0 && age < cfg.Window {
			n++
		}
	}
	if cfg.Starts <= 0 || n < cfg.Starts {
		return nil
	}
	return &SafeMode{
		Reason: fmt.Sprintf("host started %d times within %.0f s after ending without an orderly stop", n, cfg.Window.Seconds()),
		Since:  now, Healthy: cfg.Healthy,
	}
}

// NoteStart notes a start of host, after Restore and before anything else, and
// says whether it is in safe mode: because it was before, or because of too many
// unclean starts. Clean says that the run before ended in good order or that
// there was none.
func (m *Manager) NoteStart(now time.Time, clean bool) *SafeMode {
	if !clean {
		m.starts = append(m.starts, now)
		if extra := len(m.starts) - maxStarts; extra > 0 {
			m.starts = append([]time.Time(nil), m.starts[extra:]...)
		}
		if m.safe == nil {
			m.safe = SafeModeAfter(m.starts, now, m.cfg.SafeMode)
		}
	}
	return m.safeMode()
}

// EnterSafeMode begins safe mode until health has been good for that long, or
// LeaveSafeMode. In safe mode already, it changes nothing.
func (m *Manager) EnterSafeMode(now time.Time, reason string, healthy time.Duration) {
	if m.safe == nil {
		m.safe = &SafeMode{Reason: reason, Since: now, Healthy: healthy}
	}
}

// LeaveSafeMode ends it, and forgets the starts that led to it; false: there was none.
func (m *Manager) LeaveSafeMode() bool {
	was := m.safe != nil
	m.safe, m.starts = nil, nil
	return was
}

func (m *Manager) safeMode() *SafeMode {
	if m.safe == nil {
		return nil
	}
	s := *m.safe
	return &s
}
