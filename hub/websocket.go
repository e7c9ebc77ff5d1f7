package hub

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"github.com/upkeephub/upkeep/hub/internal/attribution"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

const (
	// batchBytes is about how much is written at once.
	batchBytes = 64 << 10
	// closeTimeout bounds what a closing transport still sends, and how long it
	// waits for the client to hang up.
	closeTimeout = 250 * time.Millisecond
	// After so many messages or bytes a connection is read on only once they are
	// handled.
	settleMessages = 64
	settleBytes    = 1 << 20
)

// webSocketTransport makes the hub's own WebSocket transports.
type webSocketTransport struct{}

func (*webSocketTransport) Name() string          { return transports.WEBSOCKET }
func (*webSocketTransport) HandlesUpgrades() bool { return true }
func (*webSocketTransport) UpgradesTo() []string  { return nil }

func (*webSocketTransport) New(ctx *types.HttpContext) transports.Transport {
	request := ctx.Context().(*upgradeContext)
	t := &webSocket{
		Transport: transports.MakeTransport(),
		link:      request.link,
		conn:      request.conn,
		raw:       rawConn(request.conn),
		closeCode: websocket.CloseNormalClosure,
		written:   make(chan struct{}),
		out:       newOutbox(),
	}
	t.Prototype(t)
	t.Construct(ctx)
	t.SetWritable(true) // for good: what waits, waits here, bounded
	accepted := &frame{wire: request.accepted, at: time.Now()}
	request.accepted = nil
	sid := ctx.Query().Peek("sid")
	if sid == "" { // a new session sends its OPEN at once
		t.out.frames, t.out.bytes = []*frame{accepted}, len(accepted.wire)
		return t
	}
	t.upgrades = true
	if e := t.link.endpoint; e != nil {
		if conn, ok := e.server.Clients().Load(sid); ok {
			t.from, _ = conn.Transport().(*polling)
		}
	}
	t.push(accepted)
	return t
}

// webSocket carries one session over a WebSocket. Against the library's own
// transport it reads only once somebody listens, so that no message of a fast
// client is lost; it holds back the answer to a namespace connect until the
// client is registered, so that no event overtakes the registration; it bounds
// what waits for a slow client; and it closes with a close frame.
//
// One goroutine belongs to it, read, which alone reports the end of the connection.
// The hub's writers write what waits, without ever waiting themselves; while the
// client does not take everything at once, a second goroutine writes, drain.
type webSocket struct {
	transports.Transport
	link *link
	conn net.Conn
	raw  syscall.RawConn // nil: it cannot be written to without waiting
	// upgrades is set when the connection is offered to a session that polls.
	upgrades bool
	from     *polling // the transport that is to be replaced; nil: none
	reading  sync.Once
	written  chan struct{} // closed when nothing more will be written

	// Of the goroutine that reads.
	rate           rate
	order          order // of what is handled elsewhere
	unhandled      int   // messages since the last one that had to wait
	unhandledBytes int
	hungUpOn       bool // the client sent a close frame

	next *webSocket // in the list of a writers

	mu        sync.Mutex
	out       outbox
	state     writeState
	rest      []byte    // of a write that the client took in part
	restAt    time.Time // when the oldest frame in rest was made
	closing   bool      // the close frame is queued; nothing follows it
	severed   bool      // the connection is closed, what waited is dropped
	hungUp    bool      // written is closed
	closeCode int
}

// writeState says who writes to a connection.
type writeState int

const (
	idle  writeState = iota
	ready            // a writer, now or soon
	slow             // drain
)

var _ transports.Transport = (*webSocket)(nil)

func (t *webSocket) Name() string          { return transports.WEBSOCKET }
func (t *webSocket) HandlesUpgrades() bool { return true }

// Send queues packets; it never blocks. The engine calls it with its flush lock
// held, so it must not report "ready".
func (t *webSocket) Send(packets []*packet.Packet) {
	for _, p := range packets {
		f, err := frameOf(p)
		if err != nil {
			t.sever("a packet cannot be encoded: " + err.Error())
			break
		}
		t.push(f)
	}
	t.Emit("drain")
}

func (t *webSocket) push(f *frame) {
	var ready readyList
	t.enqueue([]*frame{f}, false, &ready)
	t.link.hub.writers.add(ready)
}

// enqueue queues the frames of one message and adds the WebSocket to ready when
// that has to be handed to the writers. Volatile ones are left out while the client
// has not taken what came before.
func (t *webSocket) enqueue(frames []*frame, volatile bool, ready *readyList) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || t.severed || (volatile && (t.state == slow || t.out.held)) {
		return
	}
	oldest := t.restAt
	if t.state != slow {
		oldest = t.out.oldest()
	}
	switch verdict, reason := t.out.add(frames, t.link.hub.bounds, oldest); verdict {
	case queued:
		t.wakeLocked(ready)
	case dropped:
		t.link.dropped()
	case refused:
		t.severLocked(reason)
	}
}

// hold lets nothing out before the answer to the namespace connect.
func (t *webSocket) hold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.hold()
}

// drained returns a channel that is closed once little waits to be sent.
func (t *webSocket) drained() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.whenDrained()
}

// release lets out the answer to a namespace connect and what follows it.
func (t *webSocket) release() {
	var ready readyList
	t.mu.Lock()
	t.out.release()
	t.wakeLocked(&ready)
	t.mu.Unlock()
	t.link.hub.writers.add(ready)
}

// inherit takes over what the polling transport before this one had not sent.
func (t *webSocket) inherit(out outbox) {
	var ready readyList
	t.mu.Lock()
	out.frames = append(out.frames, t.out.frames...)
	out.bytes += t.out.bytes
	t.out = out
	t.wakeLocked(&ready)
	t.mu.Unlock()
	t.link.hub.writers.add(ready)
}

func (t *webSocket) wakeLocked(list *readyList) {
	if t.state != idle || t.out.held || t.severed || len(t.out.frames) == 0 {
		return
	}
	if t.raw == nil {
		t.state = slow
		t.link.spawn(t.drain)
		return
	}
	t.state = ready
	list.add(t)
}

// flush writes what waits, as far as the client takes it at once, and reports
// whether there is more to write.
func (t *webSocket) flush(b *batch) (again bool) {
	t.mu.Lock()
	at := t.out.oldest()
	var data []byte
	shared := false
	if !t.severed && !t.out.held {
		data, shared = b.gather(&t.out)
	}
	if data == nil {
		t.state = idle
		t.mu.Unlock()
		return false
	}
	t.mu.Unlock()
	n, err := b.attempt.write(t.raw, data)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.sent(n)
	switch {
	case t.severed || err != nil:
		t.state = idle
		t.severLocked("")
	case n < len(data):
		t.state = slow
		t.link.account.Add(attribution.SlowWrites, 1)
		t.rest, t.restAt = data[n:], at
		if !shared {
			t.rest = slices.Clone(t.rest)
		}
		t.link.spawn(t.drain)
	case len(t.out.frames) > 0 && !t.out.held:
		return true
	default:
		t.state = idle
		if t.closing {
			t.link.spawn(t.hangUp)
		}
	}
	return false
}

// drain writes for a client that does not take everything at once, until it has
// caught up, or is too slow to be kept.
func (t *webSocket) drain() {
	b := batches.Get().(*batch)
	defer batches.Put(b)
	conn, bounds := t.conn, t.link.hub.bounds
	for {
		t.mu.Lock()
		if len(t.rest) == 0 {
			t.restAt = t.out.oldest()
			if !t.out.held {
				t.rest, _ = b.gather(&t.out)
			}
		}
		data := t.rest
		if t.severed || len(data) == 0 {
			t.rest, t.restAt, t.state = nil, time.Time{}, idle
			last := t.closing && !t.severed
			_ = conn.SetWriteDeadline(time.Time{})
			t.mu.Unlock()
			if last {
				t.hangUp()
			}
			return
		}
		deadline := time.Now().Add(bounds.write)
		if tooOld := t.restAt.Add(bounds.age); bounds.policy == SlowDisconnect && tooOld.Before(deadline) {
			deadline = tooOld
		}
		if t.closing {
			deadline = time.Now().Add(closeTimeout)
		}
		// Under the lock, so that it cannot undo the shorter deadline of closeWith.
		_ = conn.SetWriteDeadline(deadline)
		t.mu.Unlock()

		n, err := conn.Write(data)
		t.mu.Lock()
		t.out.sent(n)
		t.rest = data[n:]
		if err != nil && !(isTimeout(err) && n > 0 && bounds.policy == SlowDrop && !t.closing) {
			reason := ""
			if isTimeout(err) && !t.closing { // else we are leaving anyway
				reason = t.slowReason(deadline, bounds)
			}
			t.rest, t.state = nil, idle
			t.severLocked(reason)
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
	}
}

func (t *webSocket) slowReason(deadline time.Time, b bounds) string {
	if b.policy == SlowDisconnect && deadline.Equal(t.restAt.Add(b.age)) {
		return fmt.Sprintf("what waits to be sent is older than %v", b.age)
	}
	return fmt.Sprintf("one write took longer than %v", b.write)
}

// sever closes the connection at once. The reading side reports it.
func (t *webSocket) sever(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.severLocked(reason)
}

func (t *webSocket) severLocked(reason string) {
	if t.severed {
		return
	}
	t.severed = true
	t.out.clear()
	t.writtenLocked()
	if reason != "" {
		t.link.cut(reason)
	}
	_ = breakOff(t.conn)
}

// hangUp ends our half of the connection, so that the close frame arrives, and
// gives the client closeTimeout to end its half.
func (t *webSocket) hangUp() {
	conn := t.conn
	_ = conn.SetReadDeadline(time.Now().Add(closeTimeout))
	closeWrite(conn)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writtenLocked()
	t.reading.Do(func() { t.severLocked("") }) // nobody reads, so nobody would close
}

func (t *webSocket) writtenLocked() {
	if !t.hungUp {
		t.hungUp = true
		close(t.written)
	}
}

func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// DoClose queues the close frame behind what waits. The engine forgets the session
// in fn; the connection ends by itself, after closeTimeout at the latest.
func (t *webSocket) DoClose(fn types.Callable) {
	t.closeWith(0, "")
	if fn != nil {
		fn()
	}
}

func (t *webSocket) setCloseCode(code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeCode = code
}

// closeWith queues a close frame with the given code, 0 for the one that was set, and
// a reason of at most 123 bytes.
func (t *webSocket) closeWith(code int, reason string) {
	var ready readyList
	t.mu.Lock()
	if t.closing || t.severed {
		t.mu.Unlock()
		return
	}
	if code == 0 {
		code = t.closeCode
	}
	last := newFrame(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
	t.out.frames = append(t.out.frames, last)
	t.out.bytes += len(last.wire)
	t.closing = true
	t.out.release()
	if t.state == slow { // in a write that a slow client lets wait
		_ = t.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	}
	t.wakeLocked(&ready)
	t.mu.Unlock()
	t.link.hub.writers.add(ready)
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
