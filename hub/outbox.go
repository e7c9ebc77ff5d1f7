package hub

import (
	"fmt"
	"slices"
	"time"
)

// SlowPolicy says what happens to a client that does not take what is sent to it.
type SlowPolicy string

const (
	// SlowDisconnect closes its connection. A stock client reconnects, and is told
	// what it missed where sessions are recovered.
	SlowDisconnect SlowPolicy = "disconnect"
	// SlowDrop leaves out relayed events until it has caught up. Answers and
	// acknowledgements to it are still sent, up to twice the bound.
	SlowDrop SlowPolicy = "drop"
)

// bounds limit what waits to be sent to one client.
type bounds struct {
	bytes  int           // of what waits
	age    time.Duration // of the oldest frame that waits
	write  time.Duration // for one write in which the client takes nothing
	policy SlowPolicy
}

// outbox is what waits to be sent to one client. It is not safe for concurrent use.
type outbox struct {
	frames []*frame
	bytes  int // payload and header bytes of frames, and of what is being written
	// held says that nothing may be sent: the answer to a namespace connect, at
	// connectAt, waits until the client is registered.
	held      bool
	connectAt int // where the answer goes that is still to come; -1: at the end
	// waiting are closed when little waits, see link.drained.
	waiting []chan struct{}
}

// drainedBytes is how much may wait for a client that counts as drained.
const drainedBytes = 256 << 10

func newOutbox() outbox { return outbox{connectAt: -1} }

// verdict is what became of a frame.
type verdict int

const (
	queued verdict = iota
	dropped
	refused // the client is too slow to be kept
)

// add queues the frames of one message, unless the client is too far behind; oldest
// is when the oldest frame was made that it has not taken, zero if there is none.
// The reason says why they were refused.
func (o *outbox) add(frames []*frame, b bounds, oldest time.Time) (verdict, string) {
	size := 0
	for _, f := range frames {
		size += len(f.wire)
	}
	over := o.bytes+size > b.bytes
	late := !oldest.IsZero() && frames[0].at.Sub(oldest) > b.age
	if over || late {
		switch {
		case b.policy == SlowDrop && frames[0].event:
			return dropped, ""
		case b.policy == SlowDrop && o.bytes+size <= 2*b.bytes:
		case over:
			return refused, "more than " + byteText(b.bytes) + " wait to be sent"
		default:
			return refused, fmt.Sprintf("what waits to be sent is older than %v", b.age)
		}
	}
	o.bytes += size
	if frames[0].isConnectAnswer() {
		o.held = true
		if o.connectAt >= 0 {
			o.frames = slices.Insert(o.frames, o.connectAt, frames[0])
			o.connectAt = -1
			return queued, ""
		}
	}
	o.frames = append(o.frames, frames...)
	return queued, ""
}

// hold lets nothing out before the answer to the namespace connect, which is about
// to come, and before release.
func (o *outbox) hold() {
	if o.connectAt < 0 {
		o.held, o.connectAt = true, len(o.frames)
	}
}

// release lets out what was held.
func (o *outbox) release() { o.held, o.connectAt = false, -1 }

// oldest is when the first frame that waits was made; zero: none waits.
func (o *outbox) oldest() time.Time {
	if len(o.frames) == 0 {
		return time.Time{}
	}
	return o.frames[0].at
}

// take removes the first n frames. Their bytes count until they are written.
func (o *outbox) take(n int) {
	const keep = 64 // frames; a burst may leave a larger array behind
	rest := copy(o.frames, o.frames[n:])
	clear(o.frames[rest:])
	o.frames = o.frames[:rest]
	if rest == 0 && cap(o.frames) > keep {
		o.frames = nil
	}
}

// sent counts n bytes as taken by the client.
func (o *outbox) sent(n int) {
	o.bytes -= n
	o.drained()
}

// clear drops everything.
func (o *outbox) clear() {
	o.frames, o.bytes = nil, 0
	o.drained()
}

// whenDrained returns a channel that is closed once little waits.
func (o *outbox) whenDrained() <-chan struct{} {
	waiting := make(chan struct{})
	o.waiting = append(o.waiting, waiting)
	o.drained()
	return waiting
}

func (o *outbox) drained() {
	if len(o.waiting) == 0 || o.bytes > drainedBytes {
		return
	}
	for _, waiting := range o.waiting {
		close(waiting)
	}
	o.waiting = nil
}

// byteText writes a number of bytes for people.
func byteText(n int) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}
