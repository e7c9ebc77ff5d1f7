package hub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// clientFrame masks a payload as a client does. The header byte holds FIN, the
// reserved bits and the opcode.
func clientFrame(header byte, payload string) []byte {
	b := []byte{header}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := [4]byte{0x12, 0xfe, 0, 0x7f}
	b = append(b, key[:]...)
	start := len(b)
	b = append(b, payload...)
	unmask(b[start:], key)
	return b
}

// feed hands bytes to an inbound, at most step at a time, and returns what it
// makes of them.
func feed(in *inbound, data []byte, step int) (messages []string, err error) {
	for len(data) > 0 {
		n := copy(in.room()[:], data[:min(step, len(data))])
		in.end += n
		data = data[n:]
		for {
			opcode, payload, ok, err := in.next()
			if err != nil {
				return messages, err
			}
			if !ok {
				break
			}
			messages = append(messages, string(rune('0'+opcode))+string(payload))
		}
		in.rest()
	}
	return messages, nil
}

func TestMessagesAreReadHoweverTheyArrive(t *testing.T) {
	long, huge := strings.Repeat("long", 100), strings.Repeat("x", 200_000)
	var stream []byte
	for _, frame := range [][]byte{
		clientFrame(0x81, "hello"), clientFrame(0x82, "\x00\xff"), clientFrame(0x81, ""), clientFrame(0x81, long),
		clientFrame(0x01, "in "), clientFrame(0x89, "ping"), clientFrame(0x00, "three "), clientFrame(0x80, "parts"),
		clientFrame(0x82, huge), clientFrame(0x8a, ""), clientFrame(0x81, "äöü"),
	} {
		stream = append(stream, frame...)
	}
	want := []string{"1hello", "2\x00\xff", "1", "1" + long, "9ping", "1in three parts", "2" + huge, ":", "1äöü"}
	for _, step := range []int{1, 2, 7, 4096, 100_000, len(stream)} {
		in := &inbound{limit: 1_000_000}
		got, err := feed(in, bytes.Clone(stream), step)
		if err != nil {
			t.Fatalf("%d bytes at a time: %v", step, err)
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%d bytes at a time: got %.200q", step, got)
		}
		if in.buf != nil || in.pooled != nil {
			t.Errorf("%d bytes at a time: a buffer is kept while nothing waits", step)
		}
	}
}

func TestFramesThatBreakTheProtocolAreRefusedWithTheirCode(t *testing.T) {
	length := func(n uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, n), 0, 0, 0, 0)
	}
	for why, c := range map[string]struct {
		data []byte
		code int
	}{
		"a frame that is not masked":         {[]byte{0x81, 1, 'x'}, websocket.CloseProtocolError},
		"reserved bit 1":                     {clientFrame(0xc1, "x"), websocket.CloseProtocolError},
		"reserved bit 2":                     {clientFrame(0xa1, "x"), websocket.CloseProtocolError},
		"reserved bit 3":                     {clientFrame(0x91, "x"), websocket.CloseProtocolError},
		"a reserved opcode":                  {clientFrame(0x83, "x"), websocket.CloseProtocolError},
		"a reserved control opcode":          {clientFrame(0x8b, "x"), websocket.CloseProtocolError},
		"a long control frame":               {clientFrame(0x89, strings.Repeat("x", 126)), websocket.CloseProtocolError},
		"a fragmented control frame":         {clientFrame(0x09, "x"), websocket.CloseProtocolError},
		"a continuation of nothing":          {clientFrame(0x80, "x"), websocket.CloseProtocolError},
		"a message inside another":           {append(clientFrame(0x01, "x"), clientFrame(0x81, "y")...), websocket.CloseProtocolError},
		"text that is not UTF-8":             {clientFrame(0x81, "\xff"), websocket.CloseInvalidFramePayloadData},
		"fragments that are not UTF-8":       {append(clientFrame(0x01, "\xc3"), clientFrame(0x80, "x")...), websocket.CloseInvalidFramePayloadData},
		"a message over the limit":           {clientFrame(0x82, strings.Repeat("x", 1001)), websocket.CloseMessageTooBig},
		"fragments over the limit":           {append(clientFrame(0x02, strings.Repeat("x", 600)), clientFrame(0x80, strings.Repeat("x", 401))...), websocket.CloseMessageTooBig},
		"a length of 2^62":                   {length(1 << 62), websocket.CloseMessageTooBig},
		"a length with the highest bit":      {length(1 << 63), websocket.CloseMessageTooBig},
		"the largest length that there is":   {length(1<<64 - 1), websocket.CloseMessageTooBig},
		"a length one above what is allowed": {length(1001), websocket.CloseMessageTooBig},
	} {
		_, err := feed(&inbound{limit: 1000}, c.data, len(c.data))
		var violation *protocolError
		if !errors.As(err, &violation) || violation.code != c.code {
			t.Errorf("%s: %v, want code %d", why, err, c.code)
		}
	}
	got, err := feed(&inbound{limit: 1000}, clientFrame(0x82, strings.Repeat("x", 1000)), 4096)
	if err != nil || len(got) != 1 {
		t.Errorf("a message of just the limit: %v", err)
	}
}

// A client that announces much and sends little gets memory for what it sends.
func TestBuffersGrowWithWhatHasCome(t *testing.T) {
	in := &inbound{limit: 1 << 30}
	announced := append(binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, 1<<29), make([]byte, 10_000)...)
	if _, err := feed(in, announced, 1000); err != nil {
		t.Fatal(err)
	}
	if len(in.buf) > 5*len(announced) {
		t.Errorf("a buffer of %d bytes for %d that have come", len(in.buf), len(announced))
	}
}

func TestCloseFramesAreChecked(t *testing.T) {
	for payload, code := range map[string]int{
		"":             0,
		"\x03\xe8":     0, // 1000
		"\x03\xe9bye":  0, // 1001
		"\x0b\xb8":     0, // 3000
		"\x13\x87":     0, // 4999
		"\x03":         websocket.CloseProtocolError,
		"\x03\xe7":     websocket.CloseProtocolError, // 999
		"\x03\xed":     websocket.CloseProtocolError, // 1005
		"\x03\xf7":     websocket.CloseProtocolError, // 1015
		"\x13\x88":     websocket.CloseProtocolError, // 5000
		"\x03\xe8\xff": websocket.CloseInvalidFramePayloadData,
	} {
		err := checkClose([]byte(payload))
		var violation *protocolError
		if code == 0 && err != nil || code != 0 && (!errors.As(err, &violation) || violation.code != code) {
			t.Errorf("close frame %q: %v, want %d", payload, err, code)
		}
	}
}

func FuzzInbound(f *testing.F) {
	f.Add(clientFrame(0x81, "hello"), 3)
	f.Add(append(clientFrame(0x01, "in "), clientFrame(0x80, "parts")...), 1)
	f.Add([]byte{0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 100)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		const limit = 10_000
		step = max(1, min(step, 1<<20))
		whole, wholeErr := feed(&inbound{limit: limit}, bytes.Clone(data), len(data)+1)
		parts, partsErr := feed(&inbound{limit: limit}, bytes.Clone(data), step)
		if strings.Join(whole, "|") != strings.Join(parts, "|") || (wholeErr == nil) != (partsErr == nil) {
			t.Errorf("at once: %q, %v; %d at a time: %q, %v", whole, wholeErr, step, parts, partsErr)
		}
		for _, message := range whole {
			if len(message) > limit+1 {
				t.Errorf("a message of %d bytes passes a limit of %d", len(message), limit)
			}
		}
	})
}
