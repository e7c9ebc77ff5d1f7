package hubproc

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/upkeephub/upkeep/internal/child"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

const (
	// watchStep is how often we look at our own clock while an answer is due.
	watchStep = 100 * time.Millisecond
	// lastCall is for an answer that arrived while we did not get to read it.
	lastCall = 50 * time.Millisecond
)

// observer is told what watch sees, from its goroutine; nothing in it may block.
type observer struct {
	answered func(stats *hubv1.Statistics, at time.Time, roundTrip time.Duration)
	missed   func(inARow int)
	paused   func(away time.Duration)
}

// answer is what one question came to.
type answer struct {
	asked, at time.Time
	stats     *hubv1.Statistics
	err       error
}

// beginWatch starts watch in a goroutine that quit ends and waits for.
func (w *worker) beginWatch(o observer) {
	ctx, cancel := context.WithCancel(context.Background())
	w.endWatch = cancel
	go w.watch(ctx, o)
}

// watch asks the hub for its heartbeat until ctx ends, the process is gone, or
// it has to be taken for hung.
func (w *worker) watch(ctx context.Context, o observer) {
	defer close(w.over)
	// A question outlives its deadline, since a late answer is an answer too; it
	// ends with BusyLimit, so there are never more than a handful. answers is
	// sent to by the goroutine of each question and never closed.
	answers := make(chan answer)
	var questions sync.WaitGroup
	defer questions.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	p := pulse{
		deadline: w.opts.HeartbeatDeadline, lastCall: lastCall,
		busyLimit: w.opts.BusyLimit, lateness: w.opts.OwnLateness,
	}
	var before child.Stat // at the time of the question
	var beforeErr error
	var failure string // what the hub said instead of an answer
	var sequence uint64
	next := time.Now().Add(w.opts.HeartbeatInterval)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		if p.asked.IsZero() && !now.Before(next) {
			sequence++
			before, beforeErr = child.ReadStat(w.proc.PID())
			next = now.Add(w.opts.HeartbeatInterval)
			p.ask(now)
			questions.Add(1)
			go func(sequence uint64) {
				defer questions.Done()
				w.question(ctx, sequence, now, answers)
			}(sequence)
		}
		due := next
		if !p.asked.IsZero() {
			due = now.Add(watchStep)
			if at := p.due(); at.Before(due) {
				due = at
			}
		}
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-w.proc.Done():
			w.cause = w.exitText(w.proc.Exit())
			return
		case <-w.lost:
			if w.awaitExit(killWait) {
				w.cause = w.exitText(w.proc.Exit())
			} else {
				w.cause, w.hung = "it closed its control channel and did not exit", true
			}
			return
		case a := <-answers:
			if a.err != nil {
				failure = status.Convert(a.err).Message()
				continue // it may yet be gone; the question stays open until it is overdue
			}
			failure = ""
			p.answer(a.at, a.asked)
			o.answered(a.stats, a.at, a.at.Sub(a.asked))
		case <-timer.C:
			now := time.Now()
			waiting := !p.asked.IsZero()
			if p.wake(now, due) {
				if away := now.Sub(due); waiting || away >= w.opts.HeartbeatDeadline {
					o.paused(away)
				}
				next = now
				continue
			}
			if !p.overdue(now) {
				continue
			}
			ruling, cause := p.judge(now, w.lookSince(before, beforeErr))
			o.missed(p.missed)
			if ruling == hung {
				if failure != "" {
					cause += ", last answer: " + failure
				}
				w.cause, w.hung = cause, true
				return
			}
		}
	}
}

// question asks once and hands the answer to watch.
func (w *worker) question(ctx context.Context, sequence uint64, asked time.Time, answers chan<- answer) {
	call, cancel := context.WithTimeout(ctx, max(w.opts.BusyLimit, w.opts.HeartbeatDeadline))
	defer cancel()
	response, err := w.client.Heartbeat(call, w.heartbeat(sequence))
	select {
	case answers <- answer{asked: asked, at: time.Now(), stats: response.GetStatistics(), err: err}:
	case <-ctx.Done():
	}
}

// lookSince compares the process with what it was like when the question was asked.
func (w *worker) lookSince(before child.Stat, beforeErr error) look {
	now, err := child.ReadStat(w.proc.PID())
	if err != nil || beforeErr != nil || now.Dead() {
		return look{} // gone, as Done is about to tell, or nobody can look here
	}
	return look{
		known: true, stopped: now.Stopped(), usedCPU: now.CPUTicks > before.CPUTicks,
		runnable: child.Runnable(w.proc.PID()),
	}
}
