package recovery

import (
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// Outcome of an attempt, judged by the health that followed and never by what
// the action returned.
type Outcome string

const (
	Pending  Outcome = "pending"
	Cured    Outcome = "cured"
	NotCured Outcome = "not_cured"
	// Failed: the action itself reported an error.
	Failed Outcome = "failed"
	// TimedOut: the action did not end before its deadline.
	TimedOut Outcome = "timed_out"
	// Done: the action was taken and is not judged, as a logged warning.
	Done Outcome = "done"
)

// Attempt is one action taken.
type Attempt struct {
	ID      string
	Action  Action
	Started time.Time
	Ended   time.Time // zero while the action runs
	Judged  time.Time // zero while the outcome is pending
	Outcome Outcome
	Err     string
}

// Incident is a stretch of trouble: it opens when health leaves healthy and
// closes when an attempt cured it or health has been good long enough. All
// counters belong to it, so that an old failure never weighs on a new one.
type Incident struct {
	ID            string // begins with "inc-"
	Opened        time.Time
	Causes        []string // checks that were not healthy, sorted
	Attempts      []Attempt
	WarningLogged time.Time // zero: not yet
}

// tried says whether the incident has an attempt of that action.
func (i *Incident) tried(a Action) bool {
	for _, at := range i.Attempts {
		if at.Action == a {
			return true
		}
	}
	return false
}

func (i *Incident) clone() *Incident {
	if i == nil {
		return nil
	}
	c := *i
	c.Causes = append([]string(nil), i.Causes...)
	c.Attempts = append([]Attempt(nil), i.Attempts...)
	return &c
}

// Effect is what is remembered of an action against a cause.
type Effect struct {
	Cause    string
	Action   Action
	Cured    int
	NotCured int
	Last     time.Time
}

// Request is everything a strategy needs to decide.
type Request struct {
	Now      time.Time
	Report   health.Report
	Incident Incident
	// History has the reports since counting began anew, newest first, the
	// current one included, at most 20.
	History     []health.Report
	Transitions []health.Transition // of the failure window, oldest first
	Actions     []ActionState
	Effects     []Effect
}

// Proposal is what a strategy wants done.
type Proposal struct {
	Action Action
	Reason string // a sentence for people
	Rule   string // a stable name for programs
}
