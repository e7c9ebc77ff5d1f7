package recovery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// Verdict of the guard on a proposal.
type Verdict string

const (
	// Run: the action is taken, or, in a dry run, would be.
	Run Verdict = "run"
	// Nothing: the strategy proposed to do nothing.
	Nothing Verdict = "nothing"
	// Suppressed: the action is not taken now; Rule and Reason say why.
	Suppressed Verdict = "suppressed"
	// Refused: the proposal itself is wrong and counts against the strategy.
	Refused Verdict = "refused"
	// Waiting: the action is taken when somebody says yes; see Approval.
	Waiting Verdict = "waiting"
)

// Rules of the guard, by which a decision was made. A decision to run has the
// strategy's own rule.
const (
	RuleUnknownAction   = "unknown_action"
	RuleHealthy         = "healthy_again"
	RuleInProgress      = "attempt_in_progress"
	RuleSettling        = "settling"
	RuleNotApplicable   = "not_applicable"
	RuleNothingKnown    = "nothing_known"
	RuleOnlyLoad        = "only_load"
	RuleNeedsCritical   = "needs_critical"
	RuleAlreadyTried    = "already_tried"
	RuleAttemptsUsed    = "attempts_used_up"
	RuleCooldown        = "cooldown"
	RuleBudgetHour      = "hour_budget"
	RuleBudgetCause     = "cause_budget"
	RuleBreaker         = "breaker"
	RuleActionDisabled  = "action_disabled"
	RuleDisabled        = "recovery_disabled"
	RuleMonitoringOff   = "monitoring_off"
	RuleStrategyFailed  = "strategy_failed"
	RuleWarningRepeated = "warning_already_logged"
	RulePaused          = "paused"
	RuleSafeMode        = "safe_mode"
	RuleNeedsApproval   = "needs_approval"   // the verdict is Waiting
	RuleApproving       = "waiting_approval" // asked before, not answered yet
	RuleDenied          = "denied"
	RuleNotProposed     = "not_proposed" // of alternatives that might have run
)

// Proposal is what a strategy, or a person, wants done.
type Proposal struct {
	Action Action `json:"action"`
	Reason string `json:"reason,omitempty"` // a sentence for people
	Rule   string `json:"rule,omitempty"`   // a stable name for programs
	// Plugin is the strategy's; empty when a person proposes.
	Plugin string `json:"plugin,omitempty"`
	// Request that the proposal answers; see Request.ID.
	Request string `json:"request,omitempty"`
	// By is who proposes by hand. What a person orders needs no trouble and no
	// approval, is done also while recovery is switched off and in a dry run, and
	// uses no budget up; cooldown, budgets, breaker, pause and safe mode hold it up
	// as everything else.
	By string `json:"by,omitempty"`
	// Force, of what is proposed by hand: it is held up by none of them, and an
	// emergency_stop needs no critical report.
	Force bool `json:"force,omitempty"`
}

// Alternative is an action that was not taken, and why.
type Alternative struct {
	Action Action `json:"action"`
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

// Inputs are what a decision was made on, short enough to keep with each.
type Inputs struct {
	Report      uint64                   `json:"report"` // sequence; 0: none
	ReportTime  time.Time                `json:"report_time,omitzero"`
	Health      health.Status            `json:"health"`
	WithoutLoad health.Status            `json:"without_load"`
	Generation  uint64                   `json:"generation,omitempty"` // of the hub that was looked at
	Checks      map[string]health.Status `json:"checks,omitempty"`
	// Request is the id of the request that the strategy answered; empty when a
	// person proposed, or the strategy was not asked.
	Request string `json:"request,omitempty"`
	// Digest is the SHA-256 of the report as JSON, in hex.
	Digest string `json:"digest,omitempty"`
}

func inputsOf(r health.Report, request string) Inputs {
	in := Inputs{Report: r.Sequence, ReportTime: r.Time, Health: r.Status, WithoutLoad: r.WithoutLoad, Generation: r.Generation, Request: request}
	if r.Sequence == 0 {
		return in
	}
	in.Checks = make(map[string]health.Status, len(r.Results))
	for _, res := range r.Results {
		in.Checks[res.Check] = res.Status
	}
	if text, err := json.Marshal(r); err == nil { // texts, finite numbers and times
		sum := sha256.Sum256(text)
		in.Digest = hex.EncodeToString(sum[:])
	}
	return in
}

// Decision is what became of a proposal. Every proposal ends in exactly one,
// but for one that waits for approval: it gets a second one with the answer.
type Decision struct {
	ID       string    `json:"id"` // begins with "dec-"
	Time     time.Time `json:"time"`
	Incident string    `json:"incident,omitempty"`
	Inputs   Inputs    `json:"inputs"`
	Proposal Proposal  `json:"proposal"` // Action is never empty
	Verdict  Verdict   `json:"verdict"`
	Rule     string    `json:"rule"`
	Reason   string    `json:"reason"`
	// Alternatives are the other actions, and why each was not taken.
	Alternatives []Alternative `json:"alternatives,omitempty"`
	Attempt      string        `json:"attempt,omitempty"`  // id, when an attempt begins; its Event has the outcome
	Approval     string        `json:"approval,omitempty"` // id, when it waits for one or has got one
	// DryRun: the decision is the one that would be made, and nothing is done.
	DryRun bool `json:"dry_run,omitempty"`
	// Deadline is how long the action of the attempt may take.
	Deadline time.Duration `json:"deadline_ns,omitempty"`
	// Repeated is how often the same was decided in a row before this, since
	// First; only lists of decisions count.
	Repeated int       `json:"repeated,omitempty"`
	First    time.Time `json:"first,omitzero"`
}

// Same says whether two decisions differ in nothing but their time and what
// passes with it. Two attempts are never the same.
func (d Decision) Same(o Decision) bool {
	return d.Attempt == "" && o.Attempt == "" && d.Incident == o.Incident && d.Proposal.Action == o.Proposal.Action &&
		d.Proposal.By == o.Proposal.By && d.Verdict == o.Verdict && d.Rule == o.Rule && d.Inputs.Health == o.Inputs.Health &&
		d.Approval == o.Approval && d.DryRun == o.DryRun
}

// Keep puts a decision in front of those kept, at most limit, newest first. One
// that repeats the newest replaces it and counts it. The list that is given
// stays as it is.
func Keep(kept []Decision, d Decision, limit int) []Decision {
	d.Repeated, d.First = 0, d.Time
	if len(kept) > 0 && d.Same(kept[0]) {
		d.Repeated, d.First = kept[0].Repeated+1, kept[0].First
		kept = kept[1:]
	}
	return append([]Decision{d}, kept[:min(len(kept), limit-1)]...)
}
