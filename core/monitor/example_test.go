package monitor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/recovery"
)

// queue is what is watched: it can be stuck, and a restart frees it.
type queue struct{ stuck atomic.Bool }

// Actions says what can be done about it now.
func (q *queue) Actions() []recovery.ActionState {
	return []recovery.ActionState{{Action: recovery.RestartService, Applicable: true}}
}

// Act does it.
func (q *queue) Act(ctx context.Context, order monitor.Order) error {
	q.stuck.Store(false)
	return nil
}

// restarter proposes a restart of what is critical.
type restarter struct{}

func (restarter) Decide(ctx context.Context, req recovery.Request) (recovery.Proposal, error) {
	if req.Report.Status != health.Critical {
		return recovery.Proposal{Action: recovery.None, Reason: "It is not critical.", Rule: "not_critical"}, nil
	}
	return recovery.Proposal{Action: recovery.RestartService, Reason: "It is critical.", Rule: "critical"}, nil
}

// A monitor within a program of your own: two checkers, a strategy, and
// callbacks that tell what happens.
func Example() {
	watched := &queue{}
	watched.stuck.Store(true)

	disk := monitor.CheckerFunc(func(context.Context, monitor.Request) (monitor.Outcome, error) {
		return monitor.Outcome{Result: health.Result{Status: health.Healthy}}, nil
	})
	backlog := monitor.CheckerFunc(func(context.Context, monitor.Request) (monitor.Outcome, error) {
		status := health.Healthy
		if watched.stuck.Load() {
			status = health.Critical
		}
		return monitor.Outcome{Result: health.Result{
			Status:  status,
			Metrics: []health.Metric{{Name: "queue_stuck", Value: health.Flag(watched.stuck.Load()), Status: status}},
		}}, nil
	})

	events := make(chan string, 16) // room for all that this example brings about: callbacks must not block
	options := monitor.DefaultOptions()
	options.Interval, options.FastInterval = 10*time.Millisecond, 10*time.Millisecond
	options.Recovery.Grace = 10 * time.Millisecond
	options.Checks = func() []monitor.Check {
		return []monitor.Check{{Name: "disk", Checker: disk}, {Name: "backlog", Checker: backlog}}
	}
	options.Strategy = func() monitor.Strategy { return restarter{} }
	options.Actor = watched
	options.Hooks = monitor.Hooks{
		Transition: func(change health.Transition, report health.Report) {
			events <- fmt.Sprintf("%v -> %v, by %d checks", change.From, change.To, len(report.Results))
			if change.To == health.Healthy {
				close(events)
			}
		},
		Decision: func(d recovery.Decision) {
			if d.Attempt != "" { // not suppressed: it is being done
				events <- fmt.Sprintf("%s: %s", d.Proposal.Action, d.Reason)
			}
		},
	}

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- monitor.New(options).Run(ctx) }()
	for event := range events {
		fmt.Println(event)
	}
	stop()
	fmt.Println("ended:", <-ended)
	// Output:
	// unknown -> critical, by 2 checks
	// restart_service: It is critical.
	// critical -> healthy, by 2 checks
	// ended: <nil>
}
