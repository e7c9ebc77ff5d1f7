package recovery

import "time"

// Config are the limits within which recovery acts.
type Config struct {
	MaxAttempts int           // per incident
	MinInterval time.Duration // between the starts of two attempts; see BudgetConfig.MaxInterval
	// Timeout of an action for which Deadlines has none, and of the judgement
	// after its grace.
	Timeout       time.Duration
	Deadlines     map[Action]time.Duration // of actions that may take another time than Timeout
	Grace         time.Duration            // after a start of the hub and after an attempt, nothing is decided
	CureReports   int                      // healthy reports in a row that make a cure
	Quiet         time.Duration            // of health that closes an incident nothing was done about
	FailureWindow time.Duration            // of the transitions that a strategy sees
	HalfLife      time.Duration            // in which what is remembered of an effect fades to half; 0: never
	Budget        BudgetConfig
	Breaker       BreakerConfig
	Approval      ApprovalConfig
	SafeMode      SafeModeConfig
	DryRun        DryRunConfig
	Disabled      map[Action]bool // actions switched off
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		MaxAttempts: 5, MinInterval: 60 * time.Second, Timeout: 30 * time.Second, Grace: 10 * time.Second,
		CureReports: 3, Quiet: 30 * time.Second, FailureWindow: 300 * time.Second, HalfLife: 24 * time.Hour,
		Budget:   BudgetConfig{PerHour: 10, PerCause: 5, MaxInterval: 10 * time.Minute, Jitter: 0.1},
		Breaker:  BreakerConfig{FailureThreshold: 5, Timeout: 300 * time.Second, SuccessThreshold: 3, TrialTimeout: 10 * time.Minute},
		Approval: ApprovalConfig{Timeout: 5 * time.Minute},
		SafeMode: SafeModeConfig{Starts: 5, Window: time.Minute, Healthy: 10 * time.Minute},
	}
}

// Deadline is how long an action may take.
func (c Config) Deadline(a Action) time.Duration {
	if d := c.Deadlines[a]; d > 0 {
		return d
	}
	return c.Timeout
}

// DryRunConfig says what is decided and not done. What a person orders by hand
// is done all the same.
type DryRunConfig struct {
	All     bool
	Actions map[Action]bool
	Plugins map[string]bool // strategies whose proposals are not carried out
}

// covers says whether a proposal is not to be carried out.
func (c DryRunConfig) covers(p Proposal) bool {
	return p.By == "" && (c.All || c.Actions[p.Action] || c.Plugins[p.Plugin])
}

const (
	maxEvents       = 100  // recovery events kept
	maxCounted      = 20   // reports that a strategy sees
	maxEffects      = 256  // pairs of cause and action that are remembered
	maxSpent        = 1000 // attempts of an hour that are counted
	maxApprovals    = 20   // questions kept
	maxStarts       = 32   // unclean starts kept
	closingHealthys = 3    // healthy reports that an incident needs to close, besides Quiet
)
