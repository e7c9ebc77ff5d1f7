package adminapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/core/recovery"
)

// Steering is what a host lets people do to recovery. Everything but Approvals
// waits for the monitor's loop, which turns also while the hub hangs, and ends
// when ctx does; the error has the code not_running when host ends. By is who does
// it, e.g. "uid 1000"; it is never empty.
type Steering interface {
	// Approvals are the questions that wait, and the last that were answered.
	Approvals() Approvals
	// AnswerApproval says yes or no to the question of that id. The error has the
	// code not_found when there is none, and already_answered when it has its answer.
	AnswerApproval(ctx context.Context, id string, yes bool, by string) (Decision, error)
	// PauseRecovery lets no attempt begin for a time that is more than 0 and at most
	// recovery.MaxPause, or gives the present pause another end.
	PauseRecovery(ctx context.Context, d time.Duration, by, reason string) (Pause, error)
	// ResumeRecovery ends the pause.
	ResumeRecovery(ctx context.Context, by string) (Resumed, error)
	// SetBreaker opens the breaker until it is closed by hand, or closes it.
	SetBreaker(ctx context.Context, open bool, by, reason string) (Breaker, error)
	// Recover has an action taken by hand, or says what would become of it. The
	// action goes on after it has returned.
	Recover(ctx context.Context, order RecoverRequest, by string) (Recovered, error)
}

// RecoverRequest orders an action of recovery.
type RecoverRequest struct {
	Action string `json:"action" jsonschema:"minLength=1,maxLength=64"`
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=200"`
	// Force, with a reason: cooldown, budgets, breaker, pause and safe mode do not
	// hold it up, and emergency_stop needs no critical health.
	Force bool `json:"force,omitempty"`
	// Preview: nothing is done, and the answer says what would be.
	Preview bool `json:"preview,omitempty"`
}

// Recovered is what became of an order.
type Recovered struct {
	Preview  bool     `json:"preview"`
	Decision Decision `json:"decision"`
	// Clients is how many are connected, as the hub said last.
	Clients int64 `json:"clients_connected"`
}

// Approvals are questions to people: may an action of recovery be taken?
type Approvals struct {
	SchemaVersion int `json:"schema_version"`
	// Approvals are newest first. At most one waits for its answer.
	Approvals []Approval `json:"approvals"`
}

// Approval is one question. It gets exactly one answer.
type Approval struct {
	// ID is what approve and deny take, e.g. apr-20260301t120000-7.
	ID       string `json:"id"`
	Incident string `json:"incident"`
	Action   string `json:"action"`
	// Reason is why the strategy wants it.
	Reason string    `json:"reason"`
	Asked  time.Time `json:"asked_at"`
	// Until is when it gets the answer Default.
	Until   time.Time `json:"until"`
	Default string    `json:"default" jsonschema:"enum=approved,enum=denied"`
	// Answer is lapsed when the incident ended, or another attempt began, before.
	Answer   string     `json:"answer" jsonschema:"enum=waiting,enum=approved,enum=denied,enum=lapsed"`
	Answered *time.Time `json:"answered_at"`
	// By is who answered, deadline when nobody did; empty while it waits.
	By     string `json:"by"`
	DryRun bool   `json:"dry_run"`
}

// Decision is what became of something that recovery should do.
type Decision struct {
	ID     string `json:"id"`
	Action string `json:"action"`
	// Verdict is run when the action is taken, suppressed when it is not now,
	// refused when there is no such action, waiting when it waits for a yes.
	Verdict string `json:"verdict" jsonschema:"enum=run,enum=nothing,enum=suppressed,enum=refused,enum=waiting"`
	// Rule is a stable name, and Reason a sentence.
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	// Incident and Attempt are ids; empty: there is none.
	Incident string `json:"incident"`
	Attempt  string `json:"attempt"`
	DryRun   bool   `json:"dry_run"`
	// DeadlineSeconds is what the action may take.
	DeadlineSeconds float64 `json:"deadline_seconds"`
}

// Pause is a time in which recovery begins no attempt. It ends by itself.
type Pause struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

// PauseRequest begins a pause.
type PauseRequest struct {
	Seconds float64 `json:"seconds" jsonschema:"exclusiveMinimum=0,maximum=2592000"`
	// Reason is shown to everybody who asks.
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=200"`
}

// Resumed is the answer to the end of a pause.
type Resumed struct {
	// Paused: there was a pause.
	Paused bool `json:"was_paused"`
}

// ReasonRequest says why.
type ReasonRequest struct {
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=200"`
}

// steerRoutes are the routes of Steering.
func steerRoutes() []route {
	id := []parameter{{"approval", "path", "The question's id.", map[string]any{"type": "string"}}}
	return []route{
		{
			method: http.MethodPost, path: "/recovery/run", summary: "Have an action of recovery taken by hand. The answer says whether it is; it goes on meanwhile.",
			request: RecoverRequest{}, responses: map[int]any{200: Recovered{}}, problems: []int{409}, answer: (*call).recover,
		},
		{
			method: http.MethodGet, path: "/recovery/approvals", summary: "Actions of recovery that wait for a yes, and the last that were answered.",
			responses: map[int]any{200: Approvals{}}, answer: func(c *call) (int, any, error) { return http.StatusOK, c.ops.Approvals(), nil },
		},
		{
			method: http.MethodPost, path: "/recovery/approvals/{approval}/approve", summary: "Say yes to an action of recovery. The answer says whether it is taken.",
			parameters: id, request: struct{}{}, responses: map[int]any{200: Decision{}}, problems: []int{404, 409}, answer: answering(true),
		},
		{
			method: http.MethodPost, path: "/recovery/approvals/{approval}/deny", summary: "Say no to an action of recovery.",
			parameters: id, request: struct{}{}, responses: map[int]any{200: Decision{}}, problems: []int{404, 409}, answer: answering(false),
		},
		{
			method: http.MethodPost, path: "/recovery/pause", summary: "Let recovery begin no attempt for a time, or give the present pause another end.",
			request: PauseRequest{}, responses: map[int]any{200: Pause{}}, problems: []int{409}, answer: (*call).pause,
		},
		{
			method: http.MethodPost, path: "/recovery/resume", summary: "End the pause of recovery.",
			request: struct{}{}, responses: map[int]any{200: Resumed{}}, problems: []int{409}, answer: (*call).resume,
		},
		{
			method: http.MethodGet, path: "/recovery/breaker", summary: "The circuit breaker of recovery.",
			responses: map[int]any{200: Breaker{}}, answer: func(c *call) (int, any, error) { return http.StatusOK, c.ops.Status().Recovery.Breaker, nil },
		},
		{
			method: http.MethodPost, path: "/recovery/breaker/open", summary: "Open the breaker, until it is closed by hand.",
			request: ReasonRequest{}, responses: map[int]any{200: Breaker{}}, problems: []int{409}, answer: setting(true),
		},
		{
			method: http.MethodPost, path: "/recovery/breaker/close", summary: "Close the breaker, whoever or whatever opened it, and forget its failures.",
			request: ReasonRequest{}, responses: map[int]any{200: Breaker{}}, problems: []int{409}, answer: setting(false),
		},
	}
}

func answering(yes bool) func(*call) (int, any, error) {
	return func(c *call) (int, any, error) {
		if err := decode(c.body, &struct{}{}); err != nil {
			return 0, nil, err
		}
		d, err := c.ops.AnswerApproval(c.r.Context(), c.r.PathValue("approval"), yes, c.by())
		return http.StatusOK, d, err
	}
}

func (c *call) pause() (int, any, error) {
	var req PauseRequest
	if err := decode(c.body, &req); err != nil {
		return 0, nil, err
	}
	if !(req.Seconds > 0 && req.Seconds <= recovery.MaxPause.Seconds()) {
		return 0, nil, bad(fmt.Sprintf("a pause of %g s cannot be", req.Seconds), fmt.Sprintf("want seconds, more than 0 and at most %.0f", recovery.MaxPause.Seconds()))
	}
	why, err := wantReason(req.Reason)
	if err != nil {
		return 0, nil, err
	}
	p, err := c.ops.PauseRecovery(c.r.Context(), max(1, time.Duration(req.Seconds*float64(time.Second))), c.by(), why)
	return http.StatusOK, p, err
}

func (c *call) resume() (int, any, error) {
	if err := decode(c.body, &struct{}{}); err != nil {
		return 0, nil, err
	}
	done, err := c.ops.ResumeRecovery(c.r.Context(), c.by())
	return http.StatusOK, done, err
}

func setting(open bool) func(*call) (int, any, error) {
	return func(c *call) (int, any, error) {
		var req ReasonRequest
		if err := decode(c.body, &req); err != nil {
			return 0, nil, err
		}
		why, err := wantReason(req.Reason)
		if err != nil {
			return 0, nil, err
		}
		b, err := c.ops.SetBreaker(c.r.Context(), open, c.by(), why)
		return http.StatusOK, b, err
	}
}

func (c *call) recover() (int, any, error) {
	var req RecoverRequest
	if err := decode(c.body, &req); err != nil {
		return 0, nil, err
	}
	if req.Action = strings.TrimSpace(req.Action); req.Action == "" || len(req.Action) > 64 {
		return 0, nil, bad("the request names no action", "want one of the actions of recovery, e.g. restart_service")
	}
	if req.Force {
		if _, err := wantReason(req.Reason); err != nil {
			return 0, nil, err
		}
	}
	req.Reason = reason(req.Reason)
	done, err := c.ops.Recover(c.r.Context(), req, c.by())
	return http.StatusOK, done, err
}

func wantReason(text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", bad("the request does not say why", "who comes next wants to know: give a reason")
	}
	return reason(text), nil
}

// by is who sent the request, as far as host can prove it: the user at the other
// end of the owner's socket, or whoever has the token.
func (c *call) by() string {
	switch {
	case !c.opts.Owner:
		return "the admin token"
	case strings.HasPrefix(c.r.RemoteAddr, peerPrefix):
		return c.r.RemoteAddr
	}
	return "the owner"
}

// ApprovalOf is a question as the API tells it.
func ApprovalOf(a recovery.Approval) Approval {
	out := Approval{
		ID: a.ID, Incident: a.Incident, Action: string(a.Proposal.Action), Reason: a.Proposal.Reason, Asked: a.Asked.UTC(), Until: a.Until.UTC(),
		Default: string(recovery.Denied), Answer: string(a.Answer), By: a.By, DryRun: a.DryRun,
	}
	if a.Default {
		out.Default = string(recovery.Approved)
	}
	if !a.Answered.IsZero() {
		at := a.Answered.UTC()
		out.Answered = &at
	}
	return out
}

// DecisionOf is a decision as the API tells it.
func DecisionOf(d recovery.Decision) Decision {
	return Decision{
		ID: d.ID, Action: string(d.Proposal.Action), Verdict: string(d.Verdict), Rule: d.Rule, Reason: d.Reason, Incident: d.Incident, Attempt: d.Attempt,
		DryRun: d.DryRun, DeadlineSeconds: d.Deadline.Seconds(),
	}
}

// PauseOf is a pause as the API tells it.
func PauseOf(p recovery.Pause) Pause {
	return Pause{By: p.By, Reason: p.Reason, Since: p.Since.UTC(), Until: p.Until.UTC()}
}

// BreakerOf is the breaker as it stands at the given time.
func BreakerOf(b recovery.Breaker, now time.Time) Breaker {
	s := b.Status(now)
	out := Breaker{
		State: string(s.State), Failures: s.Failures, FailureThreshold: s.Config.FailureThreshold, RemainingSeconds: round3(s.Remaining.Seconds()),
	}
	if s.Hand != nil {
		out.By, out.Reason = s.Hand.By, s.Hand.Reason
	}
	return out
}

// Approvals are the questions that wait, and the last that were answered.
func (c *Client) Approvals(ctx context.Context) (a Approvals, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodGet, "/recovery/approvals", nil, &a)
	return a, err
}

// AnswerApproval says yes or no to a question.
func (c *Client) AnswerApproval(ctx context.Context, id string, yes bool) (d Decision, err error) {
	verb := "/deny"
	if yes {
		verb = "/approve"
	}
	_, err = c.do(ctx, answerTimeout+time.Second, http.MethodPost, "/recovery/approvals/"+url.PathEscape(id)+verb, struct{}{}, &d)
	return d, err
}

// PauseRecovery lets recovery begin no attempt for a time.
func (c *Client) PauseRecovery(ctx context.Context, d time.Duration, reason string) (p Pause, err error) {
	_, err = c.do(ctx, answerTimeout+time.Second, http.MethodPost, "/recovery/pause", PauseRequest{d.Seconds(), reason}, &p)
	return p, err
}

// ResumeRecovery ends the pause.
func (c *Client) ResumeRecovery(ctx context.Context) (r Resumed, err error) {
	_, err = c.do(ctx, answerTimeout+time.Second, http.MethodPost, "/recovery/resume", struct{}{}, &r)
	return r, err
}

// Breaker is the circuit breaker of recovery.
func (c *Client) Breaker(ctx context.Context) (b Breaker, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodGet, "/recovery/breaker", nil, &b)
	return b, err
}

// SetBreaker opens or closes the breaker.
func (c *Client) SetBreaker(ctx context.Context, open bool, reason string) (b Breaker, err error) {
	verb := "close"
	if open {
		verb = "open"
	}
	_, err = c.do(ctx, answerTimeout+time.Second, http.MethodPost, "/recovery/breaker/"+verb, ReasonRequest{reason}, &b)
	return b, err
}

// Recover has an action of recovery taken by hand.
func (c *Client) Recover(ctx context.Context, order RecoverRequest) (r Recovered, err error) {
	_, err = c.do(ctx, answerTimeout+time.Second, http.MethodPost, "/recovery/run", order, &r)
	return r, err
}
