package hub

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/gorilla/websocket"
)

// order knows whether messages of a client are still being handled on the library's
// queue, so that none which is handled at once overtakes them.
type order struct {
	settled <-chan struct{} // closed once all before it are handled; nil: all are
	early   bool            // some came before their client was known
	never   bool            // attachments may come, whose order the library's decoder knows
}

// after notes that a message has gone the long way.
func (o *order) after(l *link, message []byte) {
	if len(message) < 2 || message[0] != '4' {
		return // a heartbeat, or an attachment: see never
	}
	if message[1] == binaryEventType {
		o.never = true
	}
	if c := l.joined(); c != nil {
		o.early, o.settled = false, c.settling()
	} else {
		o.early = true
	}
}

// done reports whether everything that came before is handled.
func (o *order) done(c *client) bool {
	if o.never {
		return false
	}
	if o.early {
		o.early, o.settled = false, c.settling()
	}
	if o.settled != nil {
		select {
		case <-o.settled:
			o.settled = nil
		default:
			return false
		}
	}
	return true
}

var (
	eventStart = []byte("42")
	relayStart = []byte(`["claude_event",{`)
	relayEnd   = []byte("}]")
)

// relayAtOnce relays an event on the goroutine that has read it, and reports
// whether it could. That saves two goroutines, decoding and encoding, and is all
// that most events need: a plain claude_event with one object, while nothing of its
// sender is being handled. The acknowledgement joins ready.
func (t *webSocket) relayAtOnce(message []byte, ready *readyList) bool {
	if !bytes.HasPrefix(message, eventStart) || t.link.hub.opts.Plain {
		return false
	}
	message = message[len(eventStart):]
	digits := 0
	for digits < len(message) && message[digits] >= '0' && message[digits] <= '9' {
		digits++
	}
	id, event := message[:digits], message[digits:]
	if digits > maxPacketID || !bytes.HasPrefix(event, relayStart) || !bytes.HasSuffix(event, relayEnd) {
		return false
	}
	object := event[len(relayStart)-1 : len(event)-1]
	if !json.Valid(object) {
		return false // the long way says what is wrong
	}
	kind, plain := scanObject(object)
	if !plain {
		return false
	}
	c := t.link.joined()
	if c == nil || !c.roles.has(RolePublish) || !t.order.done(c) {
		return false
	}
	t.link.hub.guarded(c, "claude_event", func() error {
		if !c.probe {
			now := time.Now()
			if err := c.link.hub.relay.publish(c.link.hub.splicedEntry(object, kind, now), c.socket.Id()); err != nil {
				return err
			}
			c.link.hub.counters.processed.Add(1)
			c.link.hub.counters.touch(now)
		}
		if digits > 0 {
			ack := make([]byte, maxFrameHeader, maxFrameHeader+len("43[]")+digits)
			ack = append(append(append(ack, "43"...), id...), "[]"...)
			t.enqueue([]*frame{finishFrame(websocket.TextMessage, ack)}, false, ready)
		}
		return nil
	})
	return true
}

// splicedEntry is newEntry for an object that is encoded already.
func (h *Hub) splicedEntry(object []byte, kind string, now time.Time) entry {
	var at [len(timestampLayout) + len(`"}`)]byte
	end := append(now.UTC().AppendFormat(at[:0], timestampLayout), `"}`...)
	stamp := h.stamp
	if len(bytes.TrimSpace(object[1:len(object)-1])) == 0 {
		stamp = stamp[len(","):]
	}
	e := entry{kind: kind}
	e.setRaw(object[:len(object)-1], stamp, end)
	return e
}

// scanObject looks at the names in a valid JSON object. It returns the text under
// "type", and whether the object is plain: what is added to it is not in it, and no
// name has to be decoded to know that.
func scanObject(object []byte) (kind string, plain bool) {
	depth, named := 0, false // named: a name of the object itself comes next
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
			named = depth == 1
		case '}', ']':
			depth--
		case ',':
			named = depth == 1
		case '"':
			text, escaped := scanString(object[i:])
			if named {
				named = false
				switch name := string(text[1 : len(text)-1]); {
				case escaped, name == "server_id", name == "received_at":
					return "", false
				case name == "type":
					kind = textAfter(object[i+len(text):])
				}
			}
			i += len(text) - 1
		}
	}
	return kind, true
}

// scanString returns the string literal at the beginning of b.
func scanString(b []byte) (literal []byte, escaped bool) {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			return b[:i+1], escaped
		}
	}
	return b, escaped
}

// textAfter returns the text behind a name and its colon; empty if that is none.
func textAfter(b []byte) string {
	b = bytes.TrimLeft(b, ": \t\r\n")
	if len(b) == 0 || b[0] != '"' {
		return ""
	}
	literal, escaped := scanString(b)
	if !escaped {
		return string(literal[1 : len(literal)-1])
	}
	var text string
	_ = json.Unmarshal(literal, &text)
	return text
}
