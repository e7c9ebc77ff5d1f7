package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/core/recovery"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// Approvals are the questions that wait, and the last that were answered.
func (o *operations) Approvals() adminapi.Approvals {
	out := adminapi.Approvals{SchemaVersion: adminapi.SchemaVersion, Approvals: []adminapi.Approval{}}
	for _, a := range o.monitor.Snapshot().Recovery.Approvals {
		out.Approvals = append(out.Approvals, adminapi.ApprovalOf(a))
	}
	return out
}

// AnswerApproval says yes or no to a question.
func (o *operations) AnswerApproval(ctx context.Context, id string, yes bool, by string) (adminapi.Decision, error) {
	d, err := o.monitor.Answer(ctx, id, yes, by)
	if err != nil {
		return adminapi.Decision{}, steerProblem(err)
	}
	o.log.Warn("recovery was answered by hand", "id", id, "yes", yes, "by", by, "action", d.Proposal.Action, "verdict", d.Verdict, "rule", d.Rule)
	return adminapi.DecisionOf(d), nil
}

// PauseRecovery lets no attempt begin for a time.
func (o *operations) PauseRecovery(ctx context.Context, d time.Duration, by, reason string) (adminapi.Pause, error) {
	p, err := o.monitor.Pause(ctx, d, by, reason)
	if err != nil {
		return adminapi.Pause{}, steerProblem(err)
	}
	o.log.Warn("recovery is paused: nothing is recovered automatically", "by", by, "reason", reason, "until", p.Until)
	return adminapi.PauseOf(p), nil
}

// ResumeRecovery ends the pause.
func (o *operations) ResumeRecovery(ctx context.Context, by string) (adminapi.Resumed, error) {
	was, err := o.monitor.Unpause(ctx)
	if err != nil {
		return adminapi.Resumed{}, steerProblem(err)
	}
	if was {
		o.log.Warn("recovery is resumed", "by", by)
	}
	return adminapi.Resumed{Paused: was}, nil
}

// SetBreaker opens or closes the breaker by hand.
func (o *operations) SetBreaker(ctx context.Context, open bool, by, reason string) (adminapi.Breaker, error) {
	set, state := o.monitor.CloseBreaker, recovery.Closed
	if open {
		set, state = o.monitor.OpenBreaker, recovery.Open
	}
	if err := set(ctx, by, reason); err != nil {
		return adminapi.Breaker{}, steerProblem(err)
	}
	o.log.Warn("the breaker was set by hand", "state", state, "by", by, "reason", reason)
	return adminapi.BreakerOf(o.monitor.Snapshot().Recovery.Breaker, time.Now()), nil
}

// Recover has an action taken by hand.
func (o *operations) Recover(ctx context.Context, order adminapi.RecoverRequest, by string) (adminapi.Recovered, error) {
	out := adminapi.Recovered{Preview: order.Preview, Clients: o.keeper.Snapshot().Statistics.GetConnectedClients()}
	p := recovery.Proposal{Action: recovery.Action(order.Action), By: by, Reason: order.Reason, Force: order.Force}
	ask := o.monitor.Recover
	if order.Preview {
		ask = o.monitor.Preview
	}
	d, err := ask(ctx, p)
	if err != nil {
		return adminapi.Recovered{}, steerProblem(err)
	}
	out.Decision = adminapi.DecisionOf(d)
	if !order.Preview {
		o.log.Warn("an action of recovery was ordered by hand", "action", order.Action, "by", by, "reason", order.Reason, "force", order.Force,
			"verdict", d.Verdict, "rule", d.Rule, "attempt", d.Attempt)
	}
	return out, nil
}

// steerProblem is what the monitor says, for people.
func steerProblem(err error) error {
	switch {
	case errors.Is(err, recovery.ErrNoApproval):
		return &problem.Error{Code: problem.NotFound, What: err.Error(), Err: err, Steps: []string{"see which there are: host approvals"}}
	case errors.Is(err, recovery.ErrBadPause):
		return &problem.Error{Code: problem.BadRequest, What: err.Error(), Err: err, Steps: []string{"give both"}}
	case errors.Is(err, monitor.ErrEnded):
		return &problem.Error{Code: problem.NotRunning, What: "host stops, and recovery has ended", Err: err, Steps: []string{"see whether it runs: host status"}}
	}
	if answered, ok := errors.AsType[*recovery.AnsweredError](err); ok {
		return &problem.Error{Code: problem.AlreadyAnswered, What: fmt.Sprint(answered), Err: err, Steps: []string{"see who answered what: host approvals"}}
	}
	return err
}
