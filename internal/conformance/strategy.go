package conformance

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/internal/trial"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

const (
	// decideTime is host's deadline of a decision.
	decideTime = 2 * time.Second
	// repetitions of one situation.
	repetitions = 20
	// strange is a word that no plugin knows.
	strange = "ask_the_oracle"
)

// situation is a request with a name for people.
type situation struct {
	name    string
	request *pluginv1.DecideRequest
}

// situations are what every strategy must have an answer to.
func (k *kit) situations() []situation {
	var own []string
	for _, a := range k.description.GetActions() {
		own = append(own, a.GetName())
	}
	of := func(status pluginv1.Status) *pluginv1.DecideRequest { return trial.DecideRequest(status, own...) }
	tried := of(pluginv1.Status_STATUS_CRITICAL)
	for i, a := range []string{"clear_connections", "restart_service"} {
		at := timestamppb.New(tried.Now.AsTime().Add(time.Duration(i-5) * time.Minute))
		tried.Incident.Attempts = append(tried.Incident.Attempts, &pluginv1.Attempt{
			Id: fmt.Sprintf("inc-trial-%d", i+1), Action: a, StartedAt: at, EndedAt: at, Outcome: pluginv1.Outcome_OUTCOME_NOT_CURED,
		})
	}
	return []situation{
		{"a healthy report", of(pluginv1.Status_STATUS_HEALTHY)},
		{"warnings", of(pluginv1.Status_STATUS_WARNING)},
		{"a critical report", of(pluginv1.Status_STATUS_CRITICAL)},
		{"reports of which nobody knows anything", of(pluginv1.Status_STATUS_UNSPECIFIED)},
		{"a critical report after two attempts that did not cure", tried},
	}
}

// decide asks once, with host's deadline.
func (k *kit) decide(ctx context.Context, p *trial.Process, r *pluginv1.DecideRequest) (*pluginv1.DecideResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, decideTime)
	defer cancel()
	return p.Recovery().Decide(ctx, r)
}

func decideRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	for _, s := range k.situations() {
		answer, err := k.patiently(ctx, p, s.request)
		switch {
		case unimplemented(err):
			return &breach{"Decide: " + k.explain(p, err), "serve upkeep.plugin.v1.RecoveryService, or remove KIND_RECOVERY from Describe"}
		case err != nil:
			return &breach{fmt.Sprintf("Decide about %s: %s", s.name, k.explain(p, err)), `answer every situation; "none" is an answer`}
		case answer.GetAction() != "" && !word.MatchString(answer.GetAction()):
			return &breach{fmt.Sprintf("about %s it proposes %q, which is no word", s.name, answer.GetAction()), "propose an action of host, or one from Describe"}
		case answer.GetReason() == "" || !word.MatchString(answer.GetRule()):
			return &breach{fmt.Sprintf("about %s it proposes %s with the reason %q and the rule %q",
				s.name, cmp.Or(answer.GetAction(), "none"), answer.GetReason(), answer.GetRule()),
				"give a reason for people, in a sentence, and the rule's name for programs, in lower-case words joined by underscores; also for none"}
		}
	}
	return nil
}

// patiently asks once and waits long: how fast a strategy is has a rule of its own.
func (k *kit) patiently(ctx context.Context, p *trial.Process, r *pluginv1.DecideRequest) (*pluginv1.DecideResponse, error) {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return p.Recovery().Decide(limited, r)
}

func determinismRule(ctx context.Context, k *kit) *breach {
	const change = "let the answer depend on the request alone: no clock, no chance, no memory, no order of a map"
	first := map[string]*pluginv1.DecideResponse{}
	for process := range 2 {
		p, end, b := k.start(ctx)
		if b != nil {
			end()
			return b
		}
		for n := range repetitions {
			for _, s := range k.situations() {
				answer, err := k.patiently(ctx, p, s.request)
				if err != nil {
					end()
					return &breach{fmt.Sprintf("Decide about %s: %s", s.name, k.explain(p, err)), change}
				}
				if first[s.name] == nil {
					first[s.name] = answer
				}
				if !proto.Equal(first[s.name], answer) {
					end()
					return &breach{fmt.Sprintf("about %s it first said %s, and the %d. time in process %d %s", s.name, said(first[s.name]), n+1, process+1, said(answer)), change}
				}
			}
		}
		end()
	}
	return nil
}

func said(r *pluginv1.DecideResponse) string {
	return fmt.Sprintf("%s (%s: %s)", cmp.Or(r.GetAction(), "none"), r.GetRule(), r.GetReason())
}

func promptnessRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	long := k.situations()[2].request
	for len(long.History) < 20 { // as much as host sends
		past := proto.CloneOf(long.History[0])
		past.Results[0].Message = strings.Repeat("a long story ", 3000)
		long.History = append(long.History, past)
	}
	var err error
	for range 3 { // a machine that is busy makes the best plugin late
		if _, err = k.decide(ctx, p, long); status.Code(err) != codes.DeadlineExceeded {
			break
		}
	}
	if status.Code(err) == codes.DeadlineExceeded {
		return &breach{fmt.Sprintf("it did not decide within %v", decideTime), "decide from what is in the request, and wait for nothing"}
	}
	if err != nil {
		return &breach{"Decide about a long history: " + k.explain(p, err), "accept requests of up to 4 MiB"}
	}
	return nil
}

func applicabilityRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	own := []string{"none", "log_warning", "quarantine_offender", "clear_connections", "restart_service", "emergency_stop"}
	for _, a := range k.description.GetActions() {
		own = append(own, a.GetName())
	}
	for _, s := range k.situations() {
		odd := proto.CloneOf(s.request)
		odd.Actions = append(odd.Actions, &pluginv1.ActionState{Action: strange, Applicable: true})
		odd.Effects = append(odd.Effects, &pluginv1.Effect{Cause: strange, Action: strange, Cured: 9, Last: odd.Now})
		if odd.Incident != nil {
			odd.Incident.Attempts = append(odd.Incident.Attempts, &pluginv1.Attempt{Id: "inc-trial-9", Action: strange, Outcome: 77, StartedAt: odd.Now, EndedAt: odd.Now})
		}
		nothing := proto.CloneOf(s.request)
		for _, a := range nothing.Actions {
			a.Applicable, a.Reason = false, "not now"
		}
		bare := &pluginv1.DecideRequest{Now: s.request.Now, Report: s.request.Report}
		for _, c := range []struct {
			name     string
			request  *pluginv1.DecideRequest
			possible []string
		}{
			{s.name + ", with words that it does not know", odd, own},
			{s.name + ", when no action can run", nothing, []string{"none"}},
			{s.name + ", and nothing else", bare, []string{"none"}},
		} {
			answer, err := k.patiently(ctx, p, c.request)
			if err != nil {
				return &breach{fmt.Sprintf("Decide about %s: %s", c.name, k.explain(p, err)), "pass over what the plugin does not know; later hosts say more"}
			}
			if action := cmp.Or(answer.GetAction(), "none"); !slices.Contains(c.possible, action) {
				return &breach{fmt.Sprintf("about %s it proposes %s", c.name, action),
					"propose none, or an action that the request lists as applicable and that is host's or the plugin's own"}
			}
		}
	}
	return nil
}

func executeRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := p.Recovery().Execute(limited, &pluginv1.ExecuteRequest{
		Action: strange, IdempotencyKey: "inc-trial-1", IncidentId: "inc-trial", Deadline: timestamppb.New(time.Now().Add(callTime)),
	})
	switch code := status.Code(err); {
	case code == codes.OK:
		return &breach{fmt.Sprintf("Execute of %q, which it does not bring along, succeeded", strange), "answer INVALID_ARGUMENT to an action that Describe does not name"}
	case code == codes.Unimplemented && len(k.description.GetActions()) > 0:
		return &breach{"it has actions of its own, and no Execute", "serve RecoveryService.Execute"}
	case code == codes.DeadlineExceeded, code == codes.Unavailable, code == codes.Internal:
		return &breach{fmt.Sprintf("Execute of %q: %s", strange, k.explain(p, err)), "answer INVALID_ARGUMENT to an action that Describe does not name"}
	}
	return nil
}
