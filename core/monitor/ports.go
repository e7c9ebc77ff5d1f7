package monitor

import (
	"context"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

// Request is what a checker gets: nothing that it remembers itself matters.
type Request struct {
	ID      string
	Now     time.Time
	Samples []health.Sample // what it gave back as counters in earlier checks, oldest first
}

// Outcome is what a checker gives.
type Outcome struct {
	Result   health.Result
	Counters map[string]float64 // kept, and given back as a sample in later checks
}

// Checker is all the loop needs of the outside. An error means "I could not
// look" and is recorded as Unknown; bad news about the target is an Outcome,
// never an error. Check should return when ctx ends; if it does not, the loop
// goes on without it and does not call it again until it has returned.
type Checker interface {
	Check(ctx context.Context, req Request) (Outcome, error)
}

// CheckerFunc makes a function a Checker.
type CheckerFunc func(ctx context.Context, req Request) (Outcome, error)

// Check calls the function.
func (f CheckerFunc) Check(ctx context.Context, req Request) (Outcome, error) { return f(ctx, req) }

// Check is a checker with its place in the report.
type Check struct {
	Name string
	// Optional: the check may be unknown without harm to the overall status.
	Optional bool
	// Timeout of one check; zero takes Options.CheckTimeout.
	Timeout time.Duration
	// Rise and Fall of this check; zero takes those of Settings.Damp.
	Rise, Fall int
	// DependsOn names the checks whose illness explains one of this check: then
	// this one is a symptom, which counts for people and, until the cause is
	// gone, in recovery for no more than its cause.
	DependsOn []string
	Checker   Checker
}

// Strategy proposes what to do; see recovery.Request. It is asked with a
// deadline, one question at a time.
type Strategy interface {
	// Decide proposes. The proposal names its plugin, also beside an error.
	Decide(ctx context.Context, req recovery.Request) (recovery.Proposal, error)
}

// Order is an action to be taken.
type Order struct {
	Action   recovery.Action
	Attempt  string // also the idempotency key
	Incident string
	Reason   string
}

// Actor takes actions.
type Actor interface {
	// Actions says which actions there are and whether each can run now. It is
	// called from the loop and must not block.
	Actions() []recovery.ActionState
	// Act takes an action and returns when it is done. Its return value says
	// whether the action worked, not whether it helped.
	Act(ctx context.Context, order Order) error
}

// Subject is what the checkers look at. It lets the loop tell news about the
// present subject from news about one that supervision has replaced meanwhile.
type Subject interface {
	// Generation changes whenever the subject is replaced.
	Generation() uint64
	// Settle returns once supervision has had its say about everything up to
	// the given time: the subject has given a sign of life since, or it has been
	// replaced, or it is given up. It returns early when ctx ends.
	Settle(ctx context.Context, since time.Time)
}

// Hooks tell the outside what happens. Each may be nil. They are called from
// the loop, one at a time, and must not block.
type Hooks struct {
	Report     func(health.Report)
	Transition func(health.Transition, health.Report)
	Incident   func(recovery.Incident, bool) // true: it opened, false: it closed
	Decision   func(recovery.Decision)
	Recovery   func(recovery.Event)
	// State is given what recovery has to remember over a restart of host,
	// whenever that has changed, and before the action of an attempt begins. Of
	// all hooks it alone may take a moment: to write it to a disk.
	State func(recovery.State)
	// SafeModeOver: health has been good long enough to end safe mode.
	SafeModeOver func()
}
