package fleet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sampled is how many subscribers the window is judged by.
const sampled = 8

// Plan of a publishing.
type Plan struct {
	// Rate in events per second, by the schedule; 0: as many as Window allows.
	Rate float64
	// Window is how many events may be outstanding when Rate is 0.
	Window int
	// Warm is how long is published before the measurement, Measure how long it
	// lasts. Drain bounds how long is waited for the last delivery.
	Warm, Measure, Drain time.Duration
	// OnTime is the latency up to which a delivery counts as on time.
	OnTime time.Duration
	// Usage is called at the begin and the end of the measurement. Nil: never.
	Usage func() (Usage, error)
}

// Outcome of a publishing.
type Outcome struct {
	Tally
	Sent int64
	// Elapsed is how long the measurement lasted, Deliveries how many came
	// within, Before and After what the server used until its begin and end, Own
	// the CPU that this process used meanwhile, and Machine all processes.
	Elapsed       time.Duration
	Deliveries    int64
	Before, After Usage
	Own, Machine  time.Duration
	// P50, P99 and Max of the latency of the events of the measurement, and the
	// share of them that was on time. What never came is late.
	P50, P99, Max time.Duration
	OnTimeRatio   float64
	// Lost connections.
	Lost []error
}

// run is a publishing that is under way. The loop writes latencies and tally.
type run struct {
	plan      Plan
	publisher *client
	start     int64          // when the first event is due
	sentAt    []atomic.Int64 // for each number, the intended time
	sent      atomic.Int64   // numbers below it are sent, or being sent
	arrived   atomic.Int64   // tally.Delivered, for the sampler
	behind    atomic.Int64   // the number due at the slowest of the sampled
	room      chan struct{}  // holds one when behind has moved

	subscribers []*client
	samples     []*client
	latencies   []uint32 // in µs, of the events of the measurement
	tally       Tally
}

// maxEvents bounds the events of one saturated publishing.
const maxEvents = 1 << 20

// delivered notes the arrival of an event.
func (f *Fleet) delivered(c *client, seq, now int64) {
	r := f.run
	if r == nil {
		return
	}
	before := r.tally.Delivered
	c.order.take(seq, r.sent.Load(), &r.tally)
	if r.tally.Delivered == before {
		return
	}
	at := r.sentAt[seq].Load()
	if since := at - r.start - int64(r.plan.Warm); since >= 0 && since < int64(r.plan.Measure) {
		r.latencies = append(r.latencies, uint32(max(0, min((now-at)/1000, 1<<32-1))))
	}
}

// Publish lets one more client join and publish by the plan, and returns when
// every member has every event, or Drain is over. Lost connections and wrong
// deliveries are in the outcome; an error means that it could not be measured.
func (f *Fleet) Publish(ctx context.Context, plan Plan) (Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	members := slices.Clone(f.members)
	if _, err := f.Connect(ctx, 1, 1, true); err != nil {
		return Outcome{}, err
	}
	if len(f.members) == len(members) {
		return Outcome{}, errors.New("the publisher could not join")
	}
	p := f.members[len(f.members)-1]
	p.publishes = true
	r := &run{plan: plan, publisher: p, room: make(chan struct{}, 1)}
	events := maxEvents
	if plan.Rate > 0 {
		events = int(plan.Rate * (plan.Warm + plan.Measure).Seconds())
		r.latencies = make([]uint32, 0, (int(plan.Rate*plan.Measure.Seconds())+1)*len(members))
	}
	r.sentAt = make([]atomic.Int64, events)
	for i, c := range members {
		c.order = order{}
		r.subscribers = append(r.subscribers, c)
		if (i+1)*sampled/len(members) != i*sampled/len(members) {
			r.samples = append(r.samples, c)
		}
	}
	lostBefore := len(f.lost)
	// Some servers answer the namespace connect before they are ready for events.
	if err := f.Idle(ctx, 500*time.Millisecond); err != nil {
		return Outcome{}, err
	}
	runtime.GC() // now, not while it is measured
	f.run = r
	defer func() { f.run = nil }()
	r.start = f.now() + int64(10*time.Millisecond)

	var out Outcome
	var published, measured error
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		published = f.publish(ctx, r)
		done.Store(true)
		f.interrupt()
	})
	wg.Go(func() { measured = f.sample(ctx, r, &out) })
	var deadline int64
	looped := f.loop(ctx, func(now int64) bool {
		r.arrived.Store(r.tally.Delivered)
		r.look()
		if !done.Load() {
			return p.state == gone
		}
		if deadline == 0 {
			deadline = now + int64(plan.Drain)
		}
		return now > deadline || r.complete()
	})
	cancelPublisher := p.state == gone
	if cancelPublisher || looped != nil {
		cancel()
	}
	wg.Wait()
	if cancelPublisher {
		return Outcome{}, fmt.Errorf("the publisher was disconnected: %w", p.why)
	}
	if err := errors.Join(looped, published, measured); err != nil {
		return Outcome{}, err
	}
	out.Sent = r.sent.Load()
	r.tally.Expected = out.Sent * int64(len(members))
	r.tally.Missing = r.tally.Expected - r.tally.Delivered
	out.Tally = r.tally
	out.Lost = slices.Clone(f.lost[lostBefore:])
	r.latency(&out)
	f.drop(p, nil)
	f.members = slices.DeleteFunc(f.members, func(c *client) bool { return c.state == gone })
	return out, nil
}

// look tells the publisher how far the slowest of the sampled is.
func (r *run) look() {
	least := int64(maxEvents)
	for _, c := range r.samples {
		if c.state != gone {
			least = min(least, c.order.next)
		}
	}
	if r.behind.Swap(least) != least {
		select {
		case r.room <- struct{}{}:
		default:
		}
	}
}

// complete says whether every subscriber has everything.
func (r *run) complete() bool {
	return r.tally.Delivered == r.sent.Load()*int64(len(r.subscribers))
}

// latency fills in the latencies of what was sent within the measurement.
func (r *run) latency(out *Outcome) {
	from, to := r.start+int64(r.plan.Warm), r.start+int64(r.plan.Warm+r.plan.Measure)
	expected := 0
	for i := range out.Sent {
		if at := r.sentAt[i].Load(); at >= from && at < to {
			expected += len(r.subscribers)
		}
	}
	if expected == 0 || len(r.latencies) == 0 {
		return
	}
	slices.Sort(r.latencies)
	quantile := func(q float64) time.Duration {
		at := int(q * float64(expected)) // what never came is behind all others
		return time.Duration(r.latencies[min(at, len(r.latencies)-1)]) * time.Microsecond
	}
	out.P50, out.P99, out.Max = quantile(0.5), quantile(0.99), quantile(1)
	late, _ := slices.BinarySearch(r.latencies, uint32(r.plan.OnTime.Microseconds())+1)
	out.OnTimeRatio = float64(late) / float64(expected)
}

// sample takes the usage at the begin and the end of the measurement.
func (f *Fleet) sample(ctx context.Context, r *run, out *Outcome) error {
	from := r.start + int64(r.plan.Warm)
	if r.plan.Rate > 0 {
		from -= int64(3 * time.Millisecond) // between two events, not within one
	}
	if err := f.sleepUntil(ctx, from); err != nil {
		return err
	}
	var err error
	usage := func(u *Usage) {
		if r.plan.Usage != nil && err == nil {
			*u, err = r.plan.Usage()
		}
	}
	began, had, own, machine := f.now(), r.arrived.Load(), OwnCPU(), MachineCPU()
	usage(&out.Before)
	if err := f.sleepUntil(ctx, from+int64(r.plan.Measure)); err != nil {
		return err
	}
	out.Elapsed, out.Deliveries, out.Own = time.Duration(f.now()-began), r.arrived.Load()-had, OwnCPU()-own
	out.Machine = MachineCPU() - machine
	usage(&out.After)
	return err
}

func (f *Fleet) sleepUntil(ctx context.Context, at int64) error {
	timer := time.NewTimer(time.Duration(at - f.now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publish sends the events.
func (f *Fleet) publish(ctx context.Context, r *run) error {
	runtime.LockOSThread() // it sleeps in the kernel, to the microsecond
	defer runtime.UnlockOSThread()
	var packet, frame []byte
	end := r.start + int64(r.plan.Warm+r.plan.Measure)
	for seq := int64(0); seq < int64(len(r.sentAt)); seq++ {
		var at int64
		if r.plan.Rate > 0 {
			at = r.start + int64(float64(seq)/r.plan.Rate*1e9)
			if err := f.exactly(ctx, at); err != nil {
				return err
			}
		} else {
			if err := r.wait(ctx, seq); err != nil {
				return err
			}
			at = f.now()
			if at >= end {
				return nil
			}
		}
		r.sentAt[seq].Store(at)
		r.sent.Store(seq + 1)
		packet = appendEvent(packet[:0], seq, -1)
		frame = appendFrame(frame[:0], opText, packet)
		for f.pongs.Load() > 0 {
			f.pongs.Add(-1)
			frame = append(frame, pongFrame...)
		}
		if err := writeAll(ctx, int(r.publisher.fd), frame); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

// wait waits until event seq is within the window.
func (r *run) wait(ctx context.Context, seq int64) error {
	if seq < r.behind.Load()+int64(r.plan.Window) {
		return nil
	}
	stuck := time.NewTimer(r.plan.Drain)
	defer stuck.Stop()
	for seq >= r.behind.Load()+int64(r.plan.Window) {
		select {
		case <-r.room:
		case <-ctx.Done():
			return ctx.Err()
		case <-stuck.C:
			return fmt.Errorf("no event was delivered to the slowest of %d subscribers for %s; %d of %d are", sampled, r.plan.Drain, r.behind.Load(), seq)
		}
	}
	return nil
}

// exactly sleeps until a moment, or returns at once when it has passed.
func (f *Fleet) exactly(ctx context.Context, at int64) error {
	for {
		left := at - f.now()
		if left <= 0 || ctx.Err() != nil {
			return ctx.Err()
		}
		// In slices, so that ctx is obeyed; a signal may end one early.
		ts := unix.NsecToTimespec(min(left, int64(50*time.Millisecond)))
		_ = unix.Nanosleep(&ts, nil)
	}
}

// writeAll writes to a non-blocking socket, and waits 10 s at most for room.
func writeAll(ctx context.Context, fd int, b []byte) error {
	deadline := time.Now().Add(10 * time.Second)
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		b = b[max(n, 0):]
		switch {
		case err == nil || err == unix.EINTR:
		case err != unix.EAGAIN:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return errors.New("the server takes nothing for 10s")
		default:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 100)
		}
	}
	return nil
}
