package recovery

import (
	"errors"
	"fmt"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// ApprovalConfig says which actions wait for a yes.
type ApprovalConfig struct {
	Actions map[Action]bool
	Timeout time.Duration // after which Default holds
	Default bool          // true: silence is a yes
}

// Answer is what became of a question.
type Answer string

const (
	Unanswered Answer = "waiting"
	Approved   Answer = "approved"
	Denied     Answer = "denied"
	// Lapsed: the incident closed, or another attempt began, before an answer came.
	Lapsed Answer = "lapsed"
)

// Approval is a question to people: may this action be taken? It ends in
// exactly one answer, once.
type Approval struct {
	ID       string    `json:"id"` // begins with "apr-"
	Incident string    `json:"incident"`
	Proposal Proposal  `json:"proposal"`
	Asked    time.Time `json:"asked"`
	Until    time.Time `json:"until"`
	Default  bool      `json:"default"` // the answer at Until
	Answer   Answer    `json:"answer"`
	Answered time.Time `json:"answered,omitzero"`
	By       string    `json:"by,omitempty"` // who answered; "deadline" when nobody did
	DryRun   bool      `json:"dry_run,omitempty"`
}

// ByDeadline is the name of who answers when nobody did.
const ByDeadline = "deadline"

// ErrNoApproval is returned for the id of a question that was never asked, or
// long ago.
var ErrNoApproval = errors.New("there is no such question")

// AnsweredError says that a question has got its answer already.
type AnsweredError struct{ Approval Approval }

func (e *AnsweredError) Error() string {
	if e.Approval.Answer == Unanswered {
		return fmt.Sprintf("%s could be answered until %s", e.Approval.ID, e.Approval.Until.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s is %s by %s already", e.Approval.ID, e.Approval.Answer, e.Approval.By)
}

// pending is the question that waits for its answer, or nil.
func (m *Manager) pending() *Approval {
	if len(m.approvals) > 0 && m.approvals[0].Answer == Unanswered {
		return &m.approvals[0]
	}
	return nil
}

// ask puts a question. There is none pending: the guard has seen to that.
func (m *Manager) ask(now time.Time, d *Decision) {
	d.Approval = m.id("apr", now)
	a := Approval{
		ID: d.Approval, Incident: d.Incident, Proposal: d.Proposal, Asked: now, Until: now.Add(m.cfg.Approval.Timeout),
		Default: m.cfg.Approval.Default, Answer: Unanswered, DryRun: d.DryRun,
	}
	m.approvals = append([]Approval{a}, m.approvals[:min(len(m.approvals), maxApprovals-1)]...)
}

// close gives the question that waits its one answer.
func (m *Manager) close(now time.Time, answer Answer, by string) {
	if a := m.pending(); a != nil {
		a.Answer, a.Answered, a.By = answer, now, by
	}
}

// Answer answers a question by hand. Approved, the proposal goes before the
// guard again, with the newest report: it may not be right any more. If the
// verdict is Run, the attempt has begun, and Finished must follow. The first
// answer counts: a later one, and one after the deadline, is an AnsweredError
// and changes nothing.
func (m *Manager) Answer(now time.Time, id string, yes bool, by string, report health.Report, actions []ActionState) (Decision, error) {
	for _, a := range m.approvals {
		if a.ID != id {
			continue
		}
		if a.Answer != Unanswered || !now.Before(a.Until) {
			return Decision{}, &AnsweredError{a}
		}
		return m.answered(now, yes, by, report, actions), nil
	}
	return Decision{}, fmt.Errorf("%w: %q", ErrNoApproval, id)
}

// Expire gives the question whose time is over its default answer, and the
// decision that follows; false: there is no such question. Call it at least as
// often as reports come.
func (m *Manager) Expire(now time.Time, report health.Report, actions []ActionState) (Decision, bool) {
	a := m.pending()
	if a == nil || now.Before(a.Until) {
		return Decision{}, false
	}
	return m.answered(now, a.Default, ByDeadline, report, actions), true
}

func (m *Manager) answered(now time.Time, yes bool, by string, report health.Report, actions []ActionState) Decision {
	a := *m.pending()
	answer := Denied
	if yes {
		answer = Approved
	}
	m.close(now, answer, by)
	d := m.weigh(now, a.Proposal, report, actions, true)
	d.Approval = a.ID
	if !yes {
		d.Verdict, d.Rule, d.Reason = Suppressed, RuleDenied, fmt.Sprintf("%s said no", by)
		if m.incident != nil {
			m.incident.Denied = append(m.incident.Denied, a.Proposal.Action)
		}
	}
	m.carryOut(now, &d, report)
	return d
}
