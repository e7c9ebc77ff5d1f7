package hub

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/parsers/engine/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// Another implementation must read what we frame.
func TestFramesAreReadByAnotherImplementation(t *testing.T) {
	var sent []*frame
	for _, n := range []int{0, 1, 125, 126, 127, 65_535, 65_536, 200_000} {
		sent = append(sent, newFrame(websocket.TextMessage, bytes.Repeat([]byte("x"), n)), newFrame(websocket.BinaryMessage, bytes.Repeat([]byte{0}, n)))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		out := bufio.NewWriter(conn)
		_, _ = out.Write(acceptance(r.Header.Get("Sec-WebSocket-Key")))
		for _, f := range sent {
			_, _ = out.Write(f.wire)
		}
		_ = out.Flush()
		_, _ = io.Copy(io.Discard, conn)
	}))
	defer server.Close()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, f := range sent {
		opcode, payload, err := conn.ReadMessage()
		if err != nil || opcode != f.opcode() || !bytes.Equal(payload, f.payload()) {
			t.Fatalf("sent %d with %d bytes; got %d with %d bytes, %v", f.opcode(), len(f.payload()), opcode, len(payload), err)
		}
	}
}

func TestPolledPayloadsAreWhatTheLibraryMakes(t *testing.T) {
	packets := func() []*packet.Packet {
		return []*packet.Packet{
			{Type: packet.MESSAGE, Data: types.NewStringBufferString(`2["a",{"b":"ä"}]`)},
			{Type: packet.PING},
			{Type: packet.MESSAGE, Data: types.NewBytesBuffer([]byte{0, 1, 2, 0xff})},
			{Type: packet.CLOSE},
		}
	}
	want, err := parser.Parserv4().EncodePayload(packets())
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, p := range packets() {
		f, err := frameOf(p)
		if err != nil {
			t.Fatal(err)
		}
		got = appendPolled(got, f)
	}
	if string(got) != string(want.Bytes()) {
		t.Errorf("got %q, want %q", got, want.Bytes())
	}
}

func TestAPayloadIsFramedForItsNamespaceAndClient(t *testing.T) {
	id := uint64(7)
	for _, c := range []struct {
		payload payload
		nsp     string
		id      *uint64
		offset  string
		want    string
	}{
		{payload{args: []byte(`["a",1]`)}, "/", nil, "", `42["a",1]`},
		{payload{args: []byte(`["a",1]`)}, "/x", nil, "", `42/x,["a",1]`},
		{payload{args: []byte(`["a",1]`)}, "/", &id, "", `427["a",1]`},
		{payload{args: []byte(`["a",1]`)}, "/x", &id, "g1-9", `42/x,7["a",1,"g1-9"]`},
		{payload{args: []byte(`["a"]`)}, "/", nil, "g1-9", `42["a","g1-9"]`},
		{payload{args: []byte(`["a",{"_placeholder":true,"num":0}]`), attachments: [][]byte{{1, 2}}}, "/", nil, "g1-9", `451-["a",{"_placeholder":true,"num":0},"g1-9"]` + "|\x01\x02"},
	} {
		var got []string
		for _, f := range c.payload.frames(c.nsp, c.id, c.offset, true) {
			if !f.event {
				t.Error("a frame of an event is not marked as one")
			}
			got = append(got, string(f.payload()))
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
