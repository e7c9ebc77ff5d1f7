package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v3/process"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/internal/trial"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

const (
	// toldTime is the deadline that the plugin is told of a check that hangs.
	toldTime = 500 * time.Millisecond
	// cancelled checks are more than a plugin may leave running: the sdk bears 64.
	cancelled = 70
	// cancelTime is how long a check gets to reach its target before it is cancelled.
	cancelTime = 200 * time.Millisecond
	// side is how many checks run side by side, rounds how often.
	side, rounds = 8, 4
	// lanes is how many checks run at a time while memory is measured.
	lanes = 4
	// warmUp checks go before the measurement of memory, measured belong to it.
	warmUp, measured = 200, 1000
	// maxGrowth is what a process may grow over the measured checks, in bytes:
	// 16 KiB a check. What a collector has not collected yet is less.
	maxGrowth = 16 << 20
)

// timeout is the deadline that host gives this checker.
func (k *kit) timeout() time.Duration {
	if d := k.description.GetDefaultTimeout(); d != nil && d.CheckValid() == nil && d.AsDuration() > 0 {
		return d.AsDuration()
	}
	return checkTime
}

// check asks once, with the deadline that host would give.
func (k *kit) check(ctx context.Context, p *trial.Process, address string, earlier ...*pluginv1.Sample) (*pluginv1.CheckResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout())
	defer cancel()
	return p.Checker().Check(ctx, trial.CheckRequest(address, earlier...))
}

func checkRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	for _, address := range []string{k.target.Broken(), k.target.Silent()} {
		answer, err := k.check(ctx, p, address)
		for range 2 { // a machine that is busy makes the best plugin late
			if status.Code(err) != codes.DeadlineExceeded {
				break
			}
			answer, err = k.check(ctx, p, address)
		}
		switch status.Code(err) {
		case codes.OK:
			if wrong := Judge(k.description, answer); wrong != "" {
				return &breach{wrong, "correct the result: host drops what it cannot believe and calls the check unknown"}
			}
		case codes.DeadlineExceeded:
			return &breach{fmt.Sprintf("Check gave no answer within %v", k.timeout()),
				"give every step of the check a time limit of its own, or name a longer default_timeout in Describe"}
		case codes.Unimplemented:
			return &breach{"Check: " + k.explain(p, err), "serve upkeep.plugin.v1.CheckerService, or remove KIND_CHECKER from Describe"}
		case codes.Internal, codes.Unavailable, codes.ResourceExhausted:
			return &breach{"Check: " + k.explain(p, err),
				"return a result with a status when the target is ill, an error with a text when the checker could not look; do not panic"}
		default:
			if status.Convert(err).Message() == "" {
				return &breach{fmt.Sprintf("Check ended with the error %s and no text", status.Code(err)), "say in a sentence why the checker could not look"}
			}
		}
	}
	return nil
}

// told is a context that says one deadline and ends at another.
type told struct {
	context.Context
	deadline time.Time
}

// Deadline is what the plugin is told.
func (t told) Deadline() (time.Time, bool) { return t.deadline, true }

func deadlineRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, toldTime+slack)
	defer cancel()
	_, err := p.Checker().Check(told{waiting, began.Add(toldTime)}, trial.CheckRequest(k.target.Silent()))
	if waiting.Err() != nil || !p.Running() {
		return &breach{fmt.Sprintf("a check with a deadline of %v: %s after %v", toldTime, k.explain(p, err), time.Since(began).Round(time.Millisecond)),
			"answer at the deadline of the call, whatever the check is waiting for"}
	}
	letGo, stop := context.WithTimeout(ctx, slack)
	defer stop()
	if n := k.target.Quiet(letGo); n > 0 {
		return &breach{fmt.Sprintf("%v after the deadline it still held %d connections to a hub that does not answer", slack, n),
			"pass the deadline on to everything that waits, and close what the check opened"}
	}
	return nil
}

func cancelRule(ctx context.Context, k *kit) *breach {
	const change = "end the work when the call is cancelled: pass the context on to everything that waits, and close what the check opened"
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	for range cancelled {
		all.Go(func() {
			limited, stop := context.WithTimeout(calling, callTime)
			defer stop()
			_, _ = p.Checker().Check(limited, trial.CheckRequest(k.target.Silent()))
		})
	}
	k.target.Seen(calling, cancelTime)
	cancel()
	all.Wait()
	letGo, stop := context.WithTimeout(ctx, slack)
	defer stop()
	if n := k.target.Quiet(letGo); n > 0 {
		return &breach{fmt.Sprintf("%v after they were cancelled, checks still held %d connections to a hub that does not answer", slack, n), change}
	}
	asked, done := context.WithTimeout(ctx, slack+k.timeout())
	defer done()
	var err error
	for asked.Err() == nil { // what was cancelled may take a moment to wind down
		_, err = p.Checker().Check(asked, trial.CheckRequest(k.target.Broken()))
		if code := status.Code(err); code != codes.ResourceExhausted && code != codes.DeadlineExceeded {
			break
		}
	}
	switch status.Code(err) {
	case codes.ResourceExhausted, codes.DeadlineExceeded, codes.Unavailable:
		return &breach{fmt.Sprintf("after %d cancelled checks the next one: %s", cancelled, k.explain(p, err)), change}
	}
	return nil
}

func concurrencyRule(ctx context.Context, k *kit) *breach {
	const change = "keep nothing between checks that two of them could share without a lock; host may ask while an earlier check still winds down"
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	alone := outcome(k.check(ctx, p, k.target.Broken()))
	for range rounds {
		outcomes := make(chan string, side) // room for all: nobody reads before they are there
		var all sync.WaitGroup
		for range side {
			all.Go(func() {
				limited, stop := context.WithTimeout(ctx, callTime)
				defer stop()
				outcomes <- outcome(p.Checker().Check(limited, trial.CheckRequest(k.target.Broken())))
			})
		}
		all.Wait()
		close(outcomes)
		for o := range outcomes {
			if o != alone {
				return &breach{fmt.Sprintf("%d checks at once: one gave %s, alone it gave %s", side, o, alone), change}
			}
		}
	}
	return nil
}

func memoryRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	watched, err := process.NewProcess(int32(p.PID()))
	if err != nil {
		return &breach{"its memory cannot be read: " + err.Error(), ""}
	}
	size := func() int64 {
		m, err := watched.MemoryInfo()
		if err != nil {
			return 0 // it has ended: the next check says so
		}
		return int64(m.RSS)
	}
	many := func(n int) error {
		var all sync.WaitGroup
		failed := make(chan error, lanes)
		for range lanes {
			all.Go(func() { failed <- k.repeat(ctx, p, n/lanes) })
		}
		all.Wait()
		close(failed)
		for err := range failed {
			if err != nil {
				return err
			}
		}
		return nil
	}
	err = many(warmUp)
	grown := int64(0)
	// What grew once may be a heap that found its size. What grows again does not end.
	for range 2 {
		before := size()
		if err == nil {
			err = many(measured)
		}
		if err != nil {
			return &breach{"checked again and again: " + k.explain(p, err), "make the check fast and keep the process alive"}
		}
		if grown = size() - before; grown <= maxGrowth {
			return nil
		}
	}
	return &breach{fmt.Sprintf("it grew by %d MiB over %d checks, and again by as much or more than %d MiB over the next", grown>>20, measured, maxGrowth>>20),
		"keep nothing of a check; what the next one needs goes into its counters, which host gives back as samples"}
}

// repeat checks again and again, and gives back the counters of the first and of
// the latest check, so that rates can be told. Which answers come does not matter
// here, only that some do.
func (k *kit) repeat(ctx context.Context, p *trial.Process, n int) error {
	var samples []*pluginv1.Sample
	for range n {
		answer, err := k.check(ctx, p, k.target.Broken(), samples...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if status.Code(err) == codes.Unavailable {
			return err
		}
		if c := answer.GetCounters(); len(c) > 0 {
			samples = append(samples[:min(1, len(samples))], &pluginv1.Sample{TakenAt: timestamppb.Now(), Generation: 1, Counters: c})
		}
	}
	return nil
}

func watchRule(ctx context.Context, k *kit) *breach {
	const change = `serve CheckerService.Watch, or remove "watch" from the capabilities`
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	watching, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := p.Checker().Watch(watching, &pluginv1.WatchRequest{Check: trial.CheckRequest(k.target.Broken())})
	if err != nil {
		return &breach{"Watch: " + k.explain(p, err), change}
	}
	for {
		answer, err := stream.Recv()
		switch {
		case watching.Err() != nil || errors.Is(err, io.EOF) || status.Code(err) == codes.DeadlineExceeded:
			return nil // it may be quiet, and it may end: host opens it again
		case err != nil:
			return &breach{"Watch: " + k.explain(p, err), change}
		}
		if wrong := Judge(k.description, answer.GetCheck()); wrong != "" {
			return &breach{"Watch: " + wrong, "correct the result: host drops what it cannot believe"}
		}
	}
}
