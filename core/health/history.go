package health

import (
	"slices"
	"sync"
	"time"
)

// History keeps the newest reports, a fixed number of them; the oldest gives
// way when it is full. It is safe for concurrent use and never blocks long.
type History struct {
	mu          sync.RWMutex
	ring        []Report
	next        int
	count       int
	transitions []Transition
	stats       Stats
	totalTook   time.Duration
}

// Stats are the monitor's own counters since the start of host.
type Stats struct {
	ChecksPerformed uint64
	ChecksFailed    uint64
	AverageDuration time.Duration
	LastCheck       time.Time
}

// maxTransitions bounds what is remembered of changes; the oldest give way.
const maxTransitions = 256

// NewHistory makes a history for size reports; a size below 1 is taken as 1.
func NewHistory(size int) *History {
	return &History{ring: make([]Report, max(1, size))}
}

// Add appends a report. It returns the transition that the report makes, and
// whether there is one; the first report is a transition from Unknown.
func (h *History) Add(r Report) (Transition, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := Unknown
	if h.count > 0 {
		before = h.ring[(h.next-1+len(h.ring))%len(h.ring)].Status
	}
	h.ring[h.next] = r
	h.next = (h.next + 1) % len(h.ring)
	h.count = min(h.count+1, len(h.ring))
	for _, res := range r.Results {
		h.stats.ChecksPerformed++
		if len(res.Errors) > 0 && res.Status == Unknown {
			h.stats.ChecksFailed++
		}
		h.totalTook += res.Duration
	}
	if h.stats.ChecksPerformed > 0 {
		h.stats.AverageDuration = h.totalTook / time.Duration(h.stats.ChecksPerformed)
	}
	h.stats.LastCheck = r.Time
	if before == r.Status {
		return Transition{}, false
	}
	change := Transition{Time: r.Time, From: before, To: r.Status}
	h.transitions = append(h.transitions, change)
	if len(h.transitions) > maxTransitions {
		h.transitions = append([]Transition(nil), h.transitions[1:]...)
	}
	return change, true
}

// Size is the number of reports that fit.
func (h *History) Size() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.ring)
}

// Resize changes the number of reports that fit; a size below 1 is taken as 1.
// The newest are kept.
func (h *History) Resize(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	size = max(1, size)
	if size == len(h.ring) {
		return
	}
	kept := h.newest(size)
	slices.Reverse(kept)
	h.ring = make([]Report, size)
	h.count = copy(h.ring, kept)
	h.next = h.count % size
}

// Len is the number of reports kept.
func (h *History) Len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.count
}

// Latest returns the newest report, and whether there is one.
func (h *History) Latest() (Report, bool) {
	if newest := h.Newest(1); len(newest) == 1 {
		return newest[0], true
	}
	return Report{}, false
}

// Newest returns up to n reports, newest first. Order is that of Add, whatever
// the clock did meanwhile. n below 1 gives none.
func (h *History) Newest(n int) []Report {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.newest(n)
}

func (h *History) newest(n int) []Report {
	n = max(0, min(n, h.count))
	out := make([]Report, 0, n)
	for i := 1; i <= n; i++ {
		out = append(out, h.ring[(h.next-i+len(h.ring))%len(h.ring)])
	}
	return out
}

// Transitions returns the changes not older than since, oldest first.
func (h *History) Transitions(since time.Time) []Transition {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out []Transition
	for _, t := range h.transitions {
		if !t.Time.Before(since) {
			out = append(out, t)
		}
	}
	return out
}

// Stats returns the counters.
func (h *History) Stats() Stats {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.stats
}

// Aggregate is the summary of the reports of a window.
type Aggregate struct {
	Window       time.Duration
	Checks       int
	Status       Status
	Distribution map[Status]int
	// Metrics is the mean number of metrics in a report.
	Metrics  float64
	Errors   int
	Duration time.Duration // mean
	Stats    Stats
}

// Aggregate summarises the reports of the window that ends at now. The status
// follows the reference's rule: any critical report is critical, more than 30 %
// warnings are a warning, more than 50 % unknown are unknown, else healthy; an
// empty window is unknown.
func (h *History) Aggregate(window time.Duration, now time.Time) Aggregate {
	a := Aggregate{Window: window, Distribution: map[Status]int{}, Stats: h.Stats()}
	since := now.Add(-window)
	var took time.Duration
	var metrics int
	for _, r := range h.Newest(h.Size()) {
		if r.Time.Before(since) {
			continue
		}
		a.Checks++
		a.Distribution[r.Status]++
		metrics += len(r.Metrics())
		a.Errors += len(r.Errors())
		took += r.Duration
	}
	if a.Checks == 0 {
		return a
	}
	n := float64(a.Checks)
	a.Metrics = float64(metrics) / n
	a.Duration = took / time.Duration(a.Checks)
	switch {
	case a.Distribution[Critical] > 0:
		a.Status = Critical
	case float64(a.Distribution[Warning]) > 0.3*n:
		a.Status = Warning
	case float64(a.Distribution[Unknown]) > 0.5*n:
		a.Status = Unknown
	default:
		a.Status = Healthy
	}
	return a
}
