package sdk

import (
	"context"
	"time"
)

// Strategy says what should be done now. It proposes; the host acts, behind
// cooldown, budget and breaker. Decide is pure: the same situation gives the
// same proposal, at any time, in any process.
type Strategy interface {
	Decide(ctx context.Context, s Situation) (Proposal, error)
}

// Executor performs the actions that the plugin itself brings along and names
// in Info.Actions. The sdk calls Execute once for each idempotency key while
// the process lives: a repeated call waits for, or gets, the first one's
// answer (the last 256 are remembered). Across processes the key is the author's
// to honour. The message says what was done.
type Executor interface {
	Execute(ctx context.Context, e Execution) (message string, err error)
}

// Action is the name of something that can be done.
type Action string

// The actions of the host. A strategy may also propose those of its own plugin.
const (
	None               Action = "none"
	LogWarning         Action = "log_warning"
	QuarantineOffender Action = "quarantine_offender"
	ClearConnections   Action = "clear_connections"
	RestartService     Action = "restart_service"
	EmergencyStop      Action = "emergency_stop"
)

// Situation is everything a strategy may know.
type Situation struct {
	Now time.Time
	// Report is the current one.
	Report   Report
	Incident Incident
	// History has the reports of the same hub since counting began anew (after
	// the last attempt and its grace, or since the incident opened), newest
	// first, the current one included, at most 20.
	History []Report
	// Transitions of the overall status within the failure window, oldest first.
	Transitions []Transition
	// Actions says of each action whether it can run now. What is not listed cannot.
	Actions []ActionState
	Effects []Effect
	// Statistics of the hub, to weigh how many would suffer; nil: none yet.
	Statistics *Statistics
	// Suspects are who and what causes most, the gravest first. Whether any of them
	// would be put into quarantine, Actions says of QuarantineOffender.
	Suspects []Suspect
}

// Suspect is somebody, or something, that causes much of one thing.
type Suspect struct {
	// Kind is what ID names: "client", "address", "token", "room" or "event".
	Kind string
	// ID may come from a client: do not trust it.
	ID string
	// Measure is what it causes: "failures" of the hub's own, "refusals" of input,
	// "slow_writes", "bytes" or "events".
	Measure string
	// Share of all that is caused, 0 to 1, and Rate per second, both over the last
	// minute or so.
	Share, Rate float64
	// Clients is how many clients that are connected are meant.
	Clients int64
}

// Proposal is a strategy's answer.
type Proposal struct {
	// Action; empty means None.
	Action Action
	// Reason is one sentence for people, best with numbers.
	Reason string
	// Rule is the stable name of the rule that decided, for programs.
	Rule string
}

// Report is the latest result of every check and the overall status.
type Report struct {
	Sequence uint64
	Time     time.Time
	Status   Status
	// StatusWithoutLoad is the overall status with load metrics left out.
	StatusWithoutLoad Status
	// Checks, in the history only those that are not healthy.
	Checks []CheckResult
}

// CheckResult is one checker's answer as the host keeps it.
type CheckResult struct {
	// Check is the name of the check, e.g. "network_connectivity".
	Check      string
	Status     Status
	Message    string
	ObservedAt time.Time
	Duration   time.Duration
	Metrics    []Metric
	// Errors say why the checker could not look; Status is then Unknown.
	Errors []string
	// Generation of the hub that was looked at.
	Generation uint64
}

// Transition is a change of the overall status.
type Transition struct {
	Time     time.Time
	From, To Status
}

// Incident is a stretch of trouble, from leaving healthy to being healthy again.
type Incident struct {
	// ID begins with "inc-"; empty: there is no incident.
	ID       string
	OpenedAt time.Time
	// Causes are the checks that are not healthy, sorted.
	Causes []string
	// Attempts of this incident, oldest first.
	Attempts []Attempt
	// WarningLoggedAt is when this incident's warning was logged; zero: not yet.
	WarningLoggedAt time.Time
}

// Attempt is one action taken.
type Attempt struct {
	ID        string
	Action    Action
	StartedAt time.Time
	EndedAt   time.Time
	Outcome   Outcome
	Error     string
}

// Outcome of an attempt, judged by the health that followed.
type Outcome int

// The outcomes. A word that this version does not know reads as OutcomeUnknown.
const (
	OutcomeUnknown Outcome = iota
	OutcomePending         // not yet judged
	OutcomeCured
	OutcomeNotCured
	OutcomeFailed   // the action itself reported an error
	OutcomeTimedOut // the action did not end before its deadline
)

// String returns the outcome in lower case, words joined by underscores.
func (o Outcome) String() string {
	switch o {
	case OutcomePending:
		return "pending"
	case OutcomeCured:
		return "cured"
	case OutcomeNotCured:
		return "not_cured"
	case OutcomeFailed:
		return "failed"
	case OutcomeTimedOut:
		return "timed_out"
	}
	return "unknown"
}

// ActionState says whether an action can run at all now.
type ActionState struct {
	Action     Action
	Applicable bool
	// Reason says why not.
	Reason string
}

// Effect is what the host remembers of an action against a cause.
type Effect struct {
	Cause    string
	Action   Action
	Cured    uint32
	NotCured uint32
	Last     time.Time
	// CuredWeight and NotCuredWeight are the counts with each halved every
	// half-life, as of Situation.Now: what happened long ago fades.
	CuredWeight    float64
	NotCuredWeight float64
}

// Execution is the order to perform an action of the plugin's own.
type Execution struct {
	Action         Action
	IdempotencyKey string
	IncidentID     string
	// Deadline by which the action must have ended; zero: none was given.
	Deadline time.Time
}
