package fleet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
)

// WebSocket opcodes (RFC 6455, section 5.2) that servers send.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// The mask of every frame that is sent. Zero would let some servers skip the
// unmasking that a browser's frames cost them.
var mask = [4]byte{0x5a, 0xc3, 0x17, 0x9e}

// appendFrame appends one masked frame, as clients send them.
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}

// nextFrame cuts the first frame off data. n is its length, 0 when data does not
// hold all of it.
func nextFrame(data []byte) (opcode byte, payload []byte, n int, err error) {
	if len(data) < 2 {
		return 0, nil, 0, nil
	}
	if data[0]&0xf0 != 0x80 || data[1]&0x80 != 0 {
		return 0, nil, 0, fmt.Errorf("a frame begins with % x: fragments, extensions and masks were not agreed on", data[:2])
	}
	size, at := int(data[1]), 2
	switch {
	case size == 126 && len(data) >= 4:
		size, at = int(binary.BigEndian.Uint16(data[2:])), 4
	case size == 127 && len(data) >= 10:
		size, at = int(binary.BigEndian.Uint64(data[2:])), 10
	case size >= 126:
		return 0, nil, 0, nil
	}
	if size < 0 || size > len(readBuffer{})/2 {
		return 0, nil, 0, fmt.Errorf("a frame of %d bytes: no event here is that large", size)
	}
	if len(data) < at+size {
		return 0, nil, 0, nil
	}
	return data[0] & 0x0f, data[at : at+size], at + size, nil
}

// EventBytes is the size of the event object as it is published. A server may
// add to it.
const EventBytes = 200

const eventHead = `{"type":"bench","timestamp":"2026-01-01T00:00:00Z","seq":`

var (
	sequenceKey = []byte(`"seq":`)
	eventPrefix = []byte(`42["claude_event",`)
	filler      = bytes.Repeat([]byte("upkeep "), EventBytes/7+1)
)

// appendEvent appends the packet of event number seq, with the acknowledgement
// id when it is not negative.
func appendEvent(b []byte, seq, ack int64) []byte {
	b = append(b, "42"...)
	if ack >= 0 {
		b = strconv.AppendInt(b, ack, 10)
	}
	b = append(b, `["claude_event",`...)
	began := len(b)
	b = append(b, eventHead...)
	b = strconv.AppendInt(b, seq, 10)
	b = append(b, `,"data":{"text":"`...)
	b = append(b, filler[:EventBytes-(len(b)-began)-len(`"}}`)]...)
	return append(b, `"}}]`...)
}

// sequence reads the number of a delivered event; ok is false for every other
// packet.
func sequence(packet []byte) (seq int64, ok bool) {
	if !bytes.HasPrefix(packet, eventPrefix) {
		return 0, false
	}
	at := bytes.Index(packet, sequenceKey)
	if at < 0 {
		return 0, false
	}
	digits := packet[at+len(sequenceKey):]
	n := 0
	for ; n < len(digits) && digits[n] >= '0' && digits[n] <= '9' && n < 18; n++ {
		seq = seq*10 + int64(digits[n]-'0')
	}
	return seq, n > 0
}
