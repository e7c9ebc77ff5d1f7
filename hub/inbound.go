package hub

import (
	"encoding/binary"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// inbound takes apart what a client sends over its WebSocket, RFC 6455, section 5.
// It holds a buffer only while there are bytes that are not understood yet.
type inbound struct {
	limit int // bytes of a message

	pooled     *[readBytes]byte // buf, while that is one of the pool
	buf        []byte           // its bytes from start to end wait to be understood
	start, end int
	need       int // bytes that the frame at start has, as far as known

	frames  int    // taken apart since somebody counted, see webSocket.read
	message []byte // the fragments of a message that is not complete
	opcode  int    // of that message; 0: there is none
}

// readBytes is the size of a pooled buffer.
const readBytes = 4 << 10

var readBuffers = sync.Pool{New: func() any { return new([readBytes]byte) }}

// protocolError says how a client broke the WebSocket protocol.
type protocolError struct {
	code   int // with which its connection is closed
	reason string
}

func (e *protocolError) Error() string { return e.reason }

func broken(format string, args ...any) error {
	return &protocolError{websocket.CloseProtocolError, fmt.Sprintf(format, args...)}
}

// room returns where to put what is read next. It grows with what has come, not
// with what a client says will come.
func (in *inbound) room() []byte {
	if in.buf == nil {
		in.pooled = readBuffers.Get().(*[readBytes]byte)
		in.buf = in.pooled[:]
	}
	if in.start > 0 {
		in.end = copy(in.buf, in.buf[in.start:in.end])
		in.start = 0
	}
	if in.end == len(in.buf) {
		larger := make([]byte, max(2*in.end, min(in.need, 4*in.end)))
		copy(larger, in.buf)
		in.recycle()
		in.buf = larger
	}
	return in.buf[in.end:]
}

// rest gives the buffer back when nothing waits in it.
func (in *inbound) rest() {
	if in.start == in.end {
		in.recycle()
		in.buf, in.start, in.end = nil, 0, 0
	}
}

func (in *inbound) recycle() {
	if in.pooled != nil {
		readBuffers.Put(in.pooled)
		in.pooled = nil
	}
}

// next returns the next message, or control frame, that has come whole. The
// payload is valid until room is called again.
func (in *inbound) next() (opcode int, payload []byte, ok bool, err error) {
	for {
		b := in.buf[in.start:in.end]
		final, op, body, size, err := in.frame(b)
		if err != nil || size == 0 {
			return 0, nil, false, err
		}
		in.start += size
		in.frames++
		switch {
		case op >= websocket.CloseMessage:
			return op, body, true, nil
		case op == 0 && in.opcode == 0:
			return 0, nil, false, broken("a continuation of nothing")
		case op != 0 && in.opcode != 0:
			return 0, nil, false, broken("a message inside another")
		case op != 0 && final:
			return op, body, true, in.check(op, body)
		}
		if op != 0 {
			in.opcode = op
		}
		in.message = append(in.message, body...)
		if final {
			op, body = in.opcode, in.message
			in.opcode, in.message = 0, nil
			return op, body, true, in.check(op, body)
		}
	}
}

func (in *inbound) check(opcode int, payload []byte) error {
	if opcode == websocket.TextMessage && !utf8.Valid(payload) {
		return &protocolError{websocket.CloseInvalidFramePayloadData, "a text that is not UTF-8"}
	}
	return nil
}

// frame takes apart the frame at the beginning of b and unmasks it. A size of 0
// says that it has not come whole.
func (in *inbound) frame(b []byte) (final bool, opcode int, body []byte, size int, err error) {
	in.need = 0
	if len(b) < 2 {
		return
	}
	const reserved, masked, lengthMask = 0x70, 0x80, 0x7f
	final, opcode = b[0]&finalFrame != 0, int(b[0]&opcodeMask)
	length, head := uint64(b[1]&lengthMask), 2
	control := opcode >= websocket.CloseMessage
	switch {
	case b[0]&reserved != 0:
		err = broken("reserved bits are set")
	case opcode > websocket.BinaryMessage && opcode < websocket.CloseMessage || opcode > websocket.PongMessage:
		err = broken("opcode %d", opcode)
	case b[1]&masked == 0:
		err = broken("a frame is not masked")
	case control && (!final || length > 125):
		err = broken("a control frame is fragmented or longer than 125 bytes")
	}
	if err != nil {
		return
	}
	switch length {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(b) < head+4 {
		return
	}
	switch head {
	case 4:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		length = binary.BigEndian.Uint64(b[2:])
	}
	if !control && length > uint64(max(0, in.limit-len(in.message))) {
		err = &protocolError{websocket.CloseMessageTooBig, "a message is larger than allowed"}
		return
	}
	in.need = head + 4 + int(length)
	if len(b) < in.need {
		return
	}
	body = b[head+4 : in.need]
	unmask(body, [4]byte(b[head:head+4]))
	return final, opcode, body, in.need, nil
}

// unmask undoes a client's masking, in place.
func unmask(b []byte, key [4]byte) {
	four := binary.LittleEndian.Uint32(key[:])
	eight := uint64(four)<<32 | uint64(four)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^eight)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}
