package hub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

const (
	// queueBytes bounds what waits to be sent to one client, in bytes. A client
	// beyond it is cut off.
	queueBytes = 8 << 20
	// writeTimeout bounds one write to a client. A client that takes nothing for
	// so long is cut off.
	writeTimeout = 10 * time.Second
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
	t := &webSocket{
		Transport: transports.MakeTransport(),
		link:      linkOf(ctx.Context()),
		conn:      ctx.Websocket.Conn,
		closeCode: websocket.CloseNormalClosure,
		written:   make(chan struct{}),
	}
	t.Prototype(t)
	t.Construct(ctx)
	t.SetWritable(true) // for good: what waits, waits here, bounded
	t.conn.SetPingHandler(func(data string) error { t.push(message{websocket.PongMessage, []byte(data)}); return nil })
	t.conn.SetCloseHandler(func(int, string) error { return nil }) // read answers it
	if sid := ctx.Query().Peek("sid"); sid != "" {
		t.upgrades = true
		if conn, ok := t.link.hub.engine().Clients().Load(sid); ok {
			t.from, _ = conn.Transport().(*polling)
		}
	}
	return t
}

// webSocket carries one session over a WebSocket. Against the library's own
// transport it reads only once somebody listens, so that no message of a fast
// client is lost; it holds back the answer to a namespace connect until the
// client is registered, so that no event overtakes the registration; it bounds
// what waits for a slow client; and it closes with a close frame.
//
// Two goroutines belong to it, both the hub's tasks: read, which alone reports
// the end of the connection, and write, which lives while something waits.
type webSocket struct {
	transports.Transport
	link *link
	conn *websocket.Conn
	// upgrades is set when the connection is offered to a session that polls.
	upgrades bool
	from     *polling // the transport that is to be replaced; nil: none
	reading  sync.Once
	written  chan struct{} // closed when nothing more will be written

	mu        sync.Mutex
	queue     []message
	bytes     int  // payload bytes in queue and in the batch being written
	writing   bool // write is running
	held      bool // the answer to a namespace connect waits for release
	closing   bool // the close frame is queued; nothing follows it
	severed   bool // the connection is closed, what waited is dropped
	hungUp    bool // written is closed
	closeCode int
}

// message is one WebSocket message. Payloads may be shared between clients and
// are never changed.
type message struct {
	opcode  int
	payload []byte
}

var _ transports.Transport = (*webSocket)(nil)

func (t *webSocket) Name() string          { return transports.WEBSOCKET }
func (t *webSocket) HandlesUpgrades() bool { return true }

// On and Once start the reading of an upgrading connection when the engine
// listens to everything that reading can report.
func (t *webSocket) On(event types.EventName, listeners ...types.EventListener) error {
	err := t.Transport.On(event, listeners...)
	t.listened()
	return err
}

func (t *webSocket) Once(event types.EventName, listeners ...types.EventListener) error {
	err := t.Transport.Once(event, listeners...)
	t.listened()
	return err
}

func (t *webSocket) listened() {
	if t.upgrades && t.ListenerCount("packet") > 0 && t.ListenerCount("close") > 0 && t.ListenerCount("error") > 0 {
		t.startReading()
	}
}

func (t *webSocket) startReading() {
	t.reading.Do(func() { t.link.spawn(t.read) })
}

// Send queues packets; it never blocks. The engine calls it with its flush lock
// held, so it must not report "ready".
func (t *webSocket) Send(packets []*packet.Packet) {
	for _, p := range packets {
		m, err := t.encode(p)
		if err != nil {
			t.sever("a packet cannot be encoded: " + err.Error())
			break
		}
		t.push(m)
	}
	t.Emit("drain")
}

func (t *webSocket) encode(p *packet.Packet) (message, error) {
	if p.Options != nil && p.Options.WsPreEncodedFrame != nil {
		return message{opcodeOf(p.Options.WsPreEncodedFrame), p.Options.WsPreEncodedFrame.Bytes()}, nil
	}
	data, err := t.Parser().EncodePacket(p, t.SupportsBinary())
	if err != nil {
		return message{}, err
	}
	return message{opcodeOf(data), data.Bytes()}, nil
}

func opcodeOf(data types.BufferInterface) int {
	if _, ok := data.(*types.StringBuffer); ok {
		return websocket.TextMessage
	}
	return websocket.BinaryMessage
}

// connectAnswer is how the answer to a connect of the default namespace begins,
// in an Engine.IO message.
var connectAnswer = []byte("40{")

func (t *webSocket) push(m message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || t.severed {
		return
	}
	if t.bytes+len(m.payload) > t.link.hub.queueBytes {
		t.severLocked("more than 8 MiB wait to be sent")
		return
	}
	if m.opcode == websocket.TextMessage && bytes.HasPrefix(m.payload, connectAnswer) {
		t.held = true
	}
	t.queue = append(t.queue, m)
	t.bytes += len(m.payload)
	t.wakeLocked()
}

// release lets out the answer to a namespace connect and what follows it.
func (t *webSocket) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
	t.wakeLocked()
}

// inherit takes over what the polling transport before this one had not sent.
func (t *webSocket) inherit(packets []*packet.Packet, held bool) {
	t.Send(packets)
	if !held {
		t.release()
	}
}

func (t *webSocket) wakeLocked() {
	if t.writing || t.held || t.severed || len(t.queue) == 0 {
		return
	}
	t.writing = true
	t.link.spawn(t.write)
}

// write sends what waits, as many messages at a time as batchBytes hold, and
// returns when nothing waits.
func (t *webSocket) write() {
	var batch []byte
	for {
		batch = batch[:0]
		sent := 0
		t.mu.Lock()
		n := 0
		for ; n < len(t.queue) && (n == 0 || len(batch)+len(t.queue[n].payload) <= batchBytes); n++ {
			batch = appendFrame(batch, t.queue[n])
			sent += len(t.queue[n].payload)
		}
		clear(t.queue[:n])
		t.queue = t.queue[n:]
		if n == 0 {
			t.queue = nil
			t.writing = false
			last := t.closing
			t.mu.Unlock()
			if last {
				t.hangUp()
			}
			return
		}
		timeout := t.link.hub.writeTimeout
		if t.closing {
			timeout = closeTimeout
		}
		// On the connection itself, because gorilla would only note it; under the
		// lock, so that it cannot undo the shorter deadline of closeWith.
		_ = t.conn.NetConn().SetWriteDeadline(time.Now().Add(timeout))
		t.mu.Unlock()

		// One call, so that a control frame of the reading side cannot come between.
		if _, err := t.conn.NetConn().Write(batch); err != nil {
			reason := ""
			if isTimeout(err) {
				reason = "one write took longer than " + t.link.hub.writeTimeout.String()
			}
			t.mu.Lock()
			if t.closing {
				reason = "" // we are leaving anyway
			}
			t.writing = false
			t.severLocked(reason)
			t.mu.Unlock()
			return
		}
		t.mu.Lock()
		t.bytes -= sent
		t.mu.Unlock()
	}
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
	t.queue = nil
	t.writtenLocked()
	if reason != "" {
		t.link.cut(reason)
	}
	_ = t.conn.NetConn().Close()
}

// hangUp ends our half of the connection, so that the close frame arrives, and
// gives the client closeTimeout to end its half.
func (t *webSocket) hangUp() {
	conn := t.conn.NetConn()
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
	t.closeWith(0)
	if fn != nil {
		fn()
	}
}

func (t *webSocket) setCloseCode(code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeCode = code
}

// closeWith queues a close frame with the given code, 0 for the one that was set.
func (t *webSocket) closeWith(code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || t.severed {
		return
	}
	if code == 0 {
		code = t.closeCode
	}
	t.queue = append(t.queue, message{websocket.CloseMessage, websocket.FormatCloseMessage(code, "")})
	t.closing, t.held = true, false
	if t.writing { // perhaps in a write that a slow client lets wait
		_ = t.conn.NetConn().SetWriteDeadline(time.Now().Add(closeTimeout))
	}
	t.wakeLocked()
}

// read delivers messages until the connection ends, and reports that end.
func (t *webSocket) read() {
	defer t.finish()
	messages, size := 0, 0
	for {
		opcode, reader, err := t.conn.NextReader()
		if err != nil {
			t.readFailed(err)
			return
		}
		data := types.NewBytesBuffer(nil)
		if opcode == websocket.TextMessage {
			data = types.NewStringBuffer(nil)
		}
		n, err := data.ReadFrom(reader)
		if err != nil {
			t.readFailed(err)
			return
		}
		if t.ReadyState() != "open" {
			continue // only the client's close frame matters now
		}
		t.OnData(data)
		messages, size = messages+1, size+int(n)
		if messages >= settleMessages || size >= settleBytes {
			t.link.settle(nil)
			messages, size = 0, 0
		}
	}
}

// OnPacket passes on what was read. An upgrade hands over what still waits in the
// polling transport, before the engine sends anything here.
func (t *webSocket) OnPacket(p *packet.Packet) {
	if p.Type == packet.UPGRADE && t.from != nil {
		t.from.bequeath(t)
	}
	t.Transport.OnPacket(p)
}

// OnData decodes one message.
func (t *webSocket) OnData(data types.BufferInterface) {
	p, err := t.Parser().DecodePacket(data)
	if err != nil {
		p = &packet.Packet{Type: packet.ERROR}
	}
	t.OnPacket(p)
}

// readFailed sorts out why reading ended: the client left, broke the protocol, or
// sent too much.
func (t *webSocket) readFailed(err error) {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed):
		if closed.Code != websocket.CloseAbnormalClosure {
			t.closeWith(websocket.CloseNormalClosure)
		}
	case errors.Is(err, websocket.ErrReadLimit):
		t.link.refuse("a message is larger than allowed")
	case isNetwork(err):
	default:
		t.link.refuse(err.Error())
	}
	t.OnClose()
}

// finish closes the connection after reading has ended. A close frame of ours gets
// out first, and where gorilla has sent one, for a broken or oversized message,
// what the client still sends is read: unread data would turn the close into a
// reset that overtakes the frame.
func (t *webSocket) finish() {
	t.mu.Lock()
	closing, severed := t.closing, t.severed
	t.mu.Unlock()
	switch conn := t.conn.NetConn(); {
	case severed:
	case closing:
		<-t.written // within closeTimeout, by the write deadline
	default:
		closeWrite(conn)
		_ = conn.SetReadDeadline(time.Now().Add(closeTimeout))
		_, _ = io.Copy(io.Discard, conn)
	}
	t.sever("")
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func isNetwork(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// appendFrame appends m as one unmasked WebSocket frame (RFC 6455, section 5.2).
func appendFrame(b []byte, m message) []byte {
	const final = 0x80
	b = append(b, final|byte(m.opcode))
	switch n := len(m.payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, m.payload...)
}
