package hub

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

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

// read delivers messages until the connection ends, and reports that end.
func (t *webSocket) read() {
	defer t.finish()
	in := &inbound{limit: int(min(t.link.hub.opts.MaxPayloadBytes, math.MaxInt32))}
	defer in.recycle()
	intake := newIntake(in, t.raw, t.conn)
	for {
		if err := intake.fill(); err != nil {
			t.readFailed(err)
			return
		}
		var ready readyList                // for what is answered at once
		messages, atOnce, bytes := 0, 0, 0 // for the account
		for {
			opcode, payload, ok, err := in.next()
			if err != nil {
				t.readFailed(err)
				return
			}
			frames := in.frames // fragments, too
			in.frames = 0
			if over := t.rate.take(t.link, frames, len(payload)); over != nil {
				t.readFailed(over)
				return
			}
			if !ok {
				break
			}
			if opcode == websocket.CloseMessage {
				t.hungUpOn = true
				t.readFailed(checkClose(payload))
				return
			}
			if t.receive(opcode, payload, &ready) {
				atOnce++
			}
			messages, bytes = messages+1, bytes+len(payload)
		}
		t.link.account.AddBatch(messages, atOnce, bytes)
		if ready.count > 0 {
			t.answer(ready)
		}
	}
}

// checkClose says what is wrong with a close frame, or returns nil.
func checkClose(payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	if len(payload) == 1 {
		return broken("a close code of one byte")
	}
	switch code := binary.BigEndian.Uint16(payload); {
	case code < 1000 || code >= 5000 || code >= 1004 && code <= 1006 || code >= 1015 && code < 3000:
		return broken("close code %d", code)
	case !utf8.Valid(payload[2:]):
		return &protocolError{websocket.CloseInvalidFramePayloadData, "a close reason that is not UTF-8"}
	}
	return nil
}

// receive takes one message or control frame, and reports whether it was an event
// that was relayed at once. The payload is the caller's.
func (t *webSocket) receive(opcode int, payload []byte, ready *readyList) (atOnce bool) {
	switch opcode {
	case websocket.PingMessage:
		t.push(newFrame(websocket.PongMessage, payload))
		return false
	case websocket.PongMessage:
		return false
	}
	if t.ReadyState() != "open" {
		return false // only the client's close frame matters now
	}
	if opcode == websocket.TextMessage {
		if t.relayAtOnce(payload, ready) {
			return true
		}
		t.OnData(types.NewStringBuffer(slices.Clone(payload)))
	} else {
		t.OnData(types.NewBytesBuffer(slices.Clone(payload)))
	}
	t.order.after(t.link, payload)
	t.unhandled, t.unhandledBytes = t.unhandled+1, t.unhandledBytes+len(payload)
	if t.unhandled >= settleMessages || t.unhandledBytes >= settleBytes {
		if ready.count > 0 { // settling may take long
			t.answer(*ready)
			*ready = readyList{}
		}
		t.link.settle(nil)
		t.unhandled, t.unhandledBytes = 0, 0
	}
	return false
}

// answer writes what was queued for this client while it was read.
func (t *webSocket) answer(ready readyList) {
	b := batches.Get().(*batch)
	defer batches.Put(b)
	if t.flush(b) {
		t.link.hub.writers.add(ready)
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

// readFailed sorts out why reading ended: the client left, with or without a close
// frame, or broke the protocol.
func (t *webSocket) readFailed(err error) {
	var violation *protocolError
	var over *excess
	switch {
	case err == nil:
		t.closeWith(websocket.CloseNormalClosure, "")
	case errors.As(err, &violation):
		t.link.refuse(violation.reason)
		t.closeWith(violation.code, "")
	case errors.As(err, &over):
		t.link.tell(over)
		t.closeWith(websocket.ClosePolicyViolation, over.text)
	}
	t.OnClose()
}

// finish closes the connection after reading has ended. A close frame of ours gets
// out first. Unless the client has hung up, what it still sends is read for
// closeTimeout: unread data would turn the close into a reset that overtakes the
// frame.
func (t *webSocket) finish() {
	t.mu.Lock()
	closing, severed := t.closing, t.severed
	t.mu.Unlock()
	if closing && !severed {
		<-t.written // within closeTimeout, by the write deadline
		if !t.hungUpOn {
			_, _ = io.Copy(io.Discard, t.conn) // hangUp has set the deadline
		}
	}
	t.sever("")
}
