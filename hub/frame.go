package hub

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/parsers/engine/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// frame is one message, ready for the wire. It is shared by every client that it
// is sent to and never changes once it is made.
type frame struct {
	wire   []byte    // an unmasked WebSocket frame: header and payload
	header int       // where the payload begins in wire
	at     time.Time // when it was made: its age is how long its client is behind
	// event is set for what is relayed: what a client that is too slow may lose, if
	// that is the policy.
	event bool
}

const (
	// maxFrameHeader is the length of the longest header, RFC 6455, section 5.2.
	maxFrameHeader = 10
	finalFrame     = 0x80
	opcodeMask     = 0x0f
)

func (f *frame) payload() []byte { return f.wire[f.header:] }
func (f *frame) opcode() int     { return int(f.wire[0] & opcodeMask) }

// isConnectAnswer reports whether the frame answers the connect of a namespace.
func (f *frame) isConnectAnswer() bool {
	p := f.payload()
	return len(p) > 3 && p[0] == '4' && p[1] == '0' && (p[2] == '{' || p[2] == '/') && f.opcode() == websocket.TextMessage
}

// newFrame frames a payload, which it copies.
func newFrame(opcode int, payload []byte) *frame {
	b := make([]byte, maxFrameHeader, maxFrameHeader+len(payload))
	return finishFrame(opcode, append(b, payload...))
}

// finishFrame makes a frame of a payload that stands behind maxFrameHeader bytes
// of room for the header. It keeps b.
func finishFrame(opcode int, b []byte) *frame {
	start := maxFrameHeader
	switch n := len(b) - maxFrameHeader; {
	case n < 126:
		start -= 2
		b[start+1] = byte(n)
	case n <= 0xffff:
		start -= 4
		b[start+1] = 126
		binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	default:
		start -= 10
		b[start+1] = 127
		binary.BigEndian.PutUint64(b[start+2:], uint64(n))
	}
	b[start] = finalFrame | byte(opcode)
	return &frame{wire: b[start:], header: maxFrameHeader - start, at: time.Now()}
}

// frameOf frames a packet of the Engine.IO library.
func frameOf(p *packet.Packet) (*frame, error) {
	data, err := parser.Parserv4().EncodePacket(p, true)
	if err != nil {
		return nil, err
	}
	if _, text := data.(*types.StringBuffer); text {
		return newFrame(websocket.TextMessage, data.Bytes()), nil
	}
	return newFrame(websocket.BinaryMessage, data.Bytes()), nil
}

// appendPolled appends a frame as a packet of a long-polling payload.
func appendPolled(b []byte, f *frame) []byte {
	const separator = 0x1e
	if len(b) > 0 {
		b = append(b, separator)
	}
	if f.opcode() == websocket.TextMessage {
		return append(b, f.payload()...)
	}
	return base64.StdEncoding.AppendEncode(append(b, 'b'), f.payload())
}

// payload is an encoded Socket.IO event, without what is different for each
// namespace or client.
type payload struct {
	// args is a JSON array: the event's name, and its arguments.
	args []byte
	// attachments stand where args has placeholders.
	attachments [][]byte
}

// frames puts a payload into frames, for clients of a namespace. A given id asks
// them for an acknowledgement. An offset that is not empty becomes the last
// argument; it must be ASCII without quotes and backslashes. Frames of a relayed
// event may be left out for a client that is too slow.
func (p payload) frames(nsp string, id *uint64, offset string, relayed bool) []*frame {
	b := make([]byte, maxFrameHeader, maxFrameHeader+len("452-,")+len(nsp)+20+len(p.args)+len(offset)+3)
	if len(p.attachments) == 0 {
		b = append(b, "42"...)
	} else {
		b = append(b, "45"...)
		b = strconv.AppendInt(b, int64(len(p.attachments)), 10)
		b = append(b, '-')
	}
	if nsp != "/" {
		b = append(b, nsp...)
		b = append(b, ',')
	}
	if id != nil {
		b = strconv.AppendUint(b, *id, 10)
	}
	if offset == "" {
		b = append(b, p.args...)
	} else {
		b = append(b, p.args[:len(p.args)-1]...)
		b = append(b, `,"`...)
		b = append(b, offset...)
		b = append(b, `"]`...)
	}
	frames := make([]*frame, 1, 1+len(p.attachments))
	frames[0] = finishFrame(websocket.TextMessage, b)
	frames[0].event = relayed
	for _, attachment := range p.attachments {
		f := newFrame(websocket.BinaryMessage, attachment)
		f.event = relayed
		frames = append(frames, f)
	}
	return frames
}
