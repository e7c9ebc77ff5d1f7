package pluginhost

import (
	"errors"
	"sync"

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// gate reads the lock of the plugin directory before each start, so that a new
// lock counts from the next start on, and remembers what it found.
type gate struct {
	open bool // the lock is not looked at

	mu     sync.Mutex
	policy plugintrust.Policy
	last   plugintrust.State
	err    error
}

// read reads the lock and its signature. Once there was a lock, there has to be
// one: whoever may remove a file could otherwise have anything run.
func (g *gate) read() (plugintrust.State, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return plugintrust.State{}, nil
	}
	g.last, g.err = g.policy.Read()
	if g.last.Locked {
		g.policy.RequireChecksums = true
	}
	return g.last, g.err
}

// Trust is what the plugin directory's lock said when it was last read.
type Trust struct {
	// Required: no plugin is run without a lock.
	Required bool
	// Locked: there is a lock, and it may be believed.
	Locked bool
	// Keys is how many keys are trusted to sign it; with none, no signature is asked for.
	Keys int
	// SignedBy is the fingerprint of the key that signed it; empty: not verified.
	SignedBy string
	// Unverified: there is a signature, but no key to verify it with.
	Unverified bool
	// Error is why no plugin is run, and Hint what to do about it; both are empty when all is well.
	Error, Hint string
	// Warnings are one sentence each: what is allowed but not wise.
	Warnings []string
}

func (g *gate) trust() Trust {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := Trust{
		Required: g.policy.RequireChecksums || len(g.policy.Keys) > 0, Locked: g.last.Locked, Keys: len(g.policy.Keys),
		SignedBy: g.last.SignedBy, Unverified: g.last.Unverified, Warnings: g.last.Warnings,
	}
	if g.err != nil {
		t.Error = g.err.Error()
		var hinter interface{ Hint() string }
		if errors.As(g.err, &hinter) {
			t.Hint = hinter.Hint()
		}
	}
	return t
}
