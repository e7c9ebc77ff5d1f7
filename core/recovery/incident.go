package recovery

import (
	"slices"
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
	ID      string    `json:"id"` // begins with "att-"
	Action  Action    `json:"action"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`  // zero while the action runs
	Judged  time.Time `json:"judged,omitzero"` // zero while the outcome is pending
	Outcome Outcome   `json:"outcome"`
	Err     string    `json:"error,omitempty"`
	By      string    `json:"by,omitempty"`      // who ordered it; empty: the strategy did
	DryRun  bool      `json:"dry_run,omitempty"` // nothing was done
}

// Incident is a stretch of trouble: it opens when health leaves healthy and
// closes when an attempt cured it or health has been good long enough. All
// counters belong to it, so that an old failure never weighs on a new one. An
// order by hand to a healthy hub opens one too, without causes.
type Incident struct {
	ID            string    `json:"id"` // begins with "inc-"
	Opened        time.Time `json:"opened"`
	Causes        []string  `json:"causes,omitempty"` // checks that were not healthy, sorted
	Attempts      []Attempt `json:"attempts,omitempty"`
	WarningLogged time.Time `json:"warning_logged,omitzero"` // zero: not yet
	Denied        []Action  `json:"denied,omitempty"`        // to which a person, or the deadline, said no
}

// tried says whether the incident has an attempt of that action.
func (i *Incident) tried(a Action) bool {
	return i != nil && slices.ContainsFunc(i.Attempts, func(at Attempt) bool { return at.Action == a })
}

// put replaces the attempt of the same id.
func (i *Incident) put(a Attempt) {
	for n := range i.Attempts {
		if i.Attempts[n].ID == a.ID {
			i.Attempts[n] = a
		}
	}
}

// addCauses adds the checks that are not healthy.
func (i *Incident) addCauses(causes []string) {
	for _, c := range causes {
		if n, found := slices.BinarySearch(i.Causes, c); !found {
			i.Causes = slices.Insert(i.Causes, n, c)
		}
	}
}

func (i *Incident) clone() *Incident {
	if i == nil {
		return nil
	}
	c := *i
	c.Causes = slices.Clone(i.Causes)
	c.Attempts = slices.Clone(i.Attempts)
	c.Denied = slices.Clone(i.Denied)
	return &c
}

// Request is everything a strategy needs to decide.
type Request struct {
	ID       string // begins with "req-"
	Now      time.Time
	Report   health.Report
	Incident Incident
	// History has the reports since counting began anew, newest first, the
	// current one included, at most 20.
	History     []health.Report
	Transitions []health.Transition // of the failure window, oldest first
	Actions     []ActionState
	Effects     []Effect // with the weights that they have at Now
}

// Event is one action taken, as it stands in the recovery history.
type Event struct {
	Time     time.Time     `json:"time"` // when it began
	Incident string        `json:"incident"`
	Attempt  string        `json:"attempt,omitempty"` // id; empty for a logged warning
	Action   Action        `json:"action"`
	Health   health.Status `json:"health"` // that led to it
	Success  bool          `json:"success"`
	Outcome  Outcome       `json:"outcome"`
	Duration time.Duration `json:"duration_ns"` // of the action
	Judged   time.Time     `json:"judged"`
	Err      string        `json:"error,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	By       string        `json:"by,omitempty"` // who ordered it; empty: the strategy did
	DryRun   bool          `json:"dry_run,omitempty"`
}

// Stats count what recovery did since the start of host, dry runs left out.
type Stats struct {
	Total, Successful, Failed int
	Actions                   map[Action]int
	Duration                  time.Duration // sum over the actions
}
