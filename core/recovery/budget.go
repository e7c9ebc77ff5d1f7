package recovery

import (
	"math"
	"slices"
	"time"
)

// BudgetConfig bounds attempts over all incidents.
type BudgetConfig struct {
	PerHour  int // attempts in any hour; 0: any number
	PerCause int // attempts in any hour against the same cause; 0: any number
	// MaxInterval is the longest pause between two attempts: after each attempt
	// that did not cure, the pause is twice as long, from Config.MinInterval on.
	// Below MinInterval it is taken as that.
	MaxInterval time.Duration
	// Jitter lengthens a pause after a failed attempt by up to this share of it,
	// so that hosts that fell ill together do not act together. 0 to 1.
	Jitter float64
}

const budgetWindow = time.Hour

// Spent is an attempt as the budgets count it.
type Spent struct {
	At     time.Time `json:"at"`
	Causes []string  `json:"causes,omitempty"`
}

// book is what attempts use up and teach. A dry run has a book of its own, in
// which it counts as if it had acted.
type book struct {
	breaker  Breaker
	spent    []Spent // of the last hour, oldest first
	last     time.Time
	failures int    // attempts in a row that did not cure
	attempts uint64 // ever; with the seed it gives the jitter
	effects  memory
}

func (b book) clone() book {
	b.spent = slices.Clone(b.spent)
	effects := make(memory, len(b.effects))
	for k, e := range b.effects {
		effects[k] = e
	}
	b.effects = effects
	return b
}

// spend books an attempt that begins.
func (b *book) spend(now time.Time, causes []string) {
	b.attempts++
	b.last = now
	b.spent = slices.DeleteFunc(b.spent, func(s Spent) bool { return now.Sub(s.At) >= budgetWindow })
	b.spent = append(b.spent, Spent{now, slices.Clone(causes)})
	if len(b.spent) > maxSpent {
		b.spent = slices.Delete(b.spent, 0, len(b.spent)-maxSpent)
	}
}

// used counts the attempts of the last hour, and of those against the cause
// that has most of them.
func (b book) used(now time.Time, causes []string) (all, most int, cause string) {
	against := map[string]int{}
	for _, s := range b.spent {
		if now.Sub(s.At) >= budgetWindow {
			continue
		}
		all++
		for _, c := range s.Causes {
			against[c]++
		}
	}
	for _, c := range causes { // sorted, so that the answer is always the same
		if against[c] > most {
			most, cause = against[c], c
		}
	}
	return all, most, cause
}

// pause is the time between the start of the last attempt and the next one.
func (b book) pause(cfg Config, seed uint64) time.Duration {
	if b.failures == 0 {
		return cfg.MinInterval
	}
	longest := float64(max(cfg.MinInterval, cfg.Budget.MaxInterval))
	pause := min(longest, float64(cfg.MinInterval)*math.Exp2(float64(min(b.failures-1, 62))))
	jitter := min(1, max(0, cfg.Budget.Jitter))
	return time.Duration(pause * (1 + jitter*fraction(seed, b.attempts)))
}

// fraction is a number from 0 to 1 that depends on nothing but its arguments
// (SplitMix64), so that a replay waits as long as the original did.
func fraction(seed, n uint64) float64 {
	z := seed + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}
