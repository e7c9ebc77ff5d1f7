package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/core/recovery"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// exitGrace is how long a broken connection waits for the news that the process
// behind it is dead, which is the better explanation.
const exitGrace = 100 * time.Millisecond

// earlyTimeout before its deadline, a call that "timed out" was in truth
// answered: with the news of some deadline of the plugin's own.
const earlyTimeout = 50 * time.Millisecond

// Check asks the checker to look once. Bad news about the target is in the
// output; an error, a *CallError, means that the checker could not look: it is
// down (ErrDown), died meanwhile (ErrExited), gave no answer in time
// (ErrTimeout), or said why. It blocks until the answer, the death of the
// process or ctx's deadline, or CallTimeout if there is none. CheckTimeouts
// checks in a row without an answer have the process replaced. Any number of
// calls may run at once.
func (i *Instance) Check(ctx context.Context, in CheckInput) (CheckOutput, error) {
	var out CheckOutput
	began := time.Now()
	if in.Now.IsZero() {
		in.Now = began
	}
	err := i.call(ctx, "check", true, func(ctx context.Context, s *session) (err error) {
		out, err = s.check(ctx, in)
		return err
	})
	i.remember(ctx, began, err, func(l *lasts) *last {
		l.input = in
		return &l.check
	})
	return out, err
}

// check asks this process to look once.
func (s *session) check(ctx context.Context, in CheckInput) (CheckOutput, error) {
	if !s.info.Is(Checker) {
		return CheckOutput{}, fmt.Errorf("%w: it is no checker", ErrNotOffered)
	}
	began := time.Now()
	answer, err := pluginv1.NewCheckerServiceClient(s.conn).Check(ctx, checkToProto(in))
	if err != nil {
		return CheckOutput{}, err
	}
	now := time.Now()
	return checkFromProto(s.info.CheckName, answer, s.loads, now, now.Sub(began), in.Target.HubGeneration), nil
}

// Decide asks the strategy what to do. It blocks and fails as Check does. The
// proposal's action is a word, but not yet one that host knows: that is for the
// guard to say. It names the plugin, also beside an error.
func (i *Instance) Decide(ctx context.Context, req recovery.Request) (recovery.Proposal, error) {
	var proposal recovery.Proposal
	began := time.Now()
	var stats *Statistics
	if i.opts.Statistics != nil {
		stats = i.opts.Statistics()
	}
	err := i.call(ctx, "decide", true, func(ctx context.Context, s *session) (err error) {
		proposal, err = s.decide(ctx, req, stats)
		return err
	})
	i.remember(ctx, began, err, func(l *lasts) *last {
		l.request = req
		return &l.decide
	})
	proposal.Plugin = i.Name()
	return proposal, err
}

// decide asks this process what to do.
func (s *session) decide(ctx context.Context, req recovery.Request, stats *Statistics) (recovery.Proposal, error) {
	if !s.info.Is(Recovery) {
		return recovery.Proposal{}, fmt.Errorf("%w: it is no strategy", ErrNotOffered)
	}
	answer, err := pluginv1.NewRecoveryServiceClient(s.conn).Decide(ctx, decideToProto(req, stats))
	if err != nil {
		return recovery.Proposal{}, err
	}
	return proposalFromProto(answer)
}

// Execution is one action of a plugin's own that is to be performed.
type Execution struct {
	Action recovery.Action
	// Key makes a repeated call do nothing twice.
	Key      string
	Incident string
}

// Execute has the plugin perform an action that it declared, and returns its
// message. It blocks and fails as Check does; the plugin is told the deadline.
func (i *Instance) Execute(ctx context.Context, e Execution) (string, error) {
	message := ""
	err := i.call(ctx, "execute", false, func(ctx context.Context, s *session) error {
		if !s.info.declares(e.Action) {
			return fmt.Errorf("%w: it declares no action %q", ErrNotOffered, cleanText(string(e.Action), maxWord))
		}
		request := &pluginv1.ExecuteRequest{Action: string(e.Action), IdempotencyKey: e.Key, IncidentId: e.Incident}
		if deadline, ok := ctx.Deadline(); ok {
			request.Deadline = timestamppb.New(deadline)
		}
		answer, err := pluginv1.NewRecoveryServiceClient(s.conn).Execute(ctx, request)
		message = cleanText(answer.GetMessage(), maxText)
		return err
	})
	return message, err
}

func (d Description) declares(action recovery.Action) bool {
	for _, a := range d.Actions {
		if a.Name == string(action) {
			return d.Is(Recovery)
		}
	}
	return false
}

// call makes one call on the running process. With counted set, missed
// deadlines in a row have the process replaced.
func (i *Instance) call(ctx context.Context, what string, counted bool, ask func(context.Context, *session) error) error {
	fail := func(err error, remedy string) error {
		return &CallError{Plugin: i.name, Call: what, Err: err, Remedy: remedy}
	}
	s, snapshot := i.current()
	if s == nil {
		cause := fmt.Errorf("%w (%s)", ErrDown, snapshot.State)
		if snapshot.LastError != "" && snapshot.State != Starting {
			cause = fmt.Errorf("%w (%s): %s", ErrDown, snapshot.State, snapshot.LastError)
		}
		return fail(cause, snapshot.LastHint)
	}
	defer s.calls.Done()
	deadline, given := ctx.Deadline()
	if !given {
		deadline = time.Now().Add(i.opts.CallTimeout)
	}
	asked, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	switch { // nobody was asked yet, so nobody is to blame
	case errors.Is(ctx.Err(), context.Canceled):
		return fail(context.Canceled, "")
	case asked.Err() != nil:
		return fail(fmt.Errorf("%w: it had passed before the call", ErrTimeout), "give the call more time")
	}
	tied, untie := s.tie(asked)
	defer untie()
	err := ask(tied, s)
	if err == nil {
		s.missed.Store(0)
		return nil
	}
	if status.Code(err) == codes.Unavailable {
		grace := exitGrace
		if s.run.endedByUs() { // a large process takes the kernel a while to clear away
			grace = closeWait
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(grace):
		}
	}
	var exit *ExitError
	if errors.As(context.Cause(s.ctx), &exit) {
		return fail(exit, exit.Hint())
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return fail(context.Canceled, "")
	}
	cause, remedy := fromStatus(err)
	if errors.Is(cause, ErrTimeout) && time.Until(deadline) > earlyTimeout {
		cause = fmt.Errorf("it gave up by itself: %s", cleanText(status.Convert(err).Message(), maxText))
	}
	if !errors.Is(cause, ErrTimeout) {
		s.missed.Store(0)
		return fail(cause, remedy)
	}
	late := time.Since(deadline) > i.opts.Lateness // we slept ourselves
	if counted && !late && int(s.missed.Add(1)) >= i.opts.CheckTimeouts {
		s.condemn(verdict{
			reason: fmt.Sprintf("it did not answer %d calls in a row", i.opts.CheckTimeouts), recycled: true,
			remedy: "find out what the plugin waits for; a check must return before its deadline",
		})
	}
	return fail(cause, remedy)
}
