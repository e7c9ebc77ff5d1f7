package hub

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// handshake sends a WebSocket handshake with changes, and returns the status and
// what follows on the connection.
func (r *running) handshake(t *testing.T, query string, change func(http.Header), behind string) (int, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	if change != nil {
		change(header)
	}
	var request strings.Builder
	fmt.Fprintf(&request, "GET %s?%s HTTP/1.1\r\nHost: localhost\r\n", DefaultPath, query)
	_ = header.Write(&request)
	if _, err := io.WriteString(conn, request.String()+"\r\n"+behind); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return 0, reader
	}
	if response.StatusCode == http.StatusSwitchingProtocols && response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
		t.Errorf("the key is accepted as %q", response.Header.Get("Sec-WebSocket-Accept"))
	}
	return response.StatusCode, reader
}

func TestHandshakesThatAreNoneAreRefused(t *testing.T) {
	r := start(t, Options{})
	const fine = "EIO=4&transport=websocket"
	for _, c := range []struct {
		why, query string
		change     func(http.Header)
		want       int
	}{
		{"all is well", fine, nil, 101},
		{"no key", fine, func(h http.Header) { h.Del("Sec-Websocket-Key") }, 400},
		{"a short key", fine, func(h http.Header) { h.Set("Sec-Websocket-Key", "c2hvcnQ=") }, 400},
		{"another version", fine, func(h http.Header) { h.Set("Sec-Websocket-Version", "8") }, 426},
		{"no transport", "EIO=4", nil, 400},
		{"an unknown transport", "EIO=4&transport=pigeon", nil, 400},
		{"a transport that cannot upgrade", "EIO=4&transport=polling", nil, 400},
		{"an old protocol", "EIO=3&transport=websocket", nil, 400},
		{"no protocol", "transport=websocket", nil, 400},
		{"an unknown session", fine + "&sid=unknown", nil, 400},
		{"a session that cannot be", fine + "&sid=" + strings.Repeat("x", 100), nil, 400},
	} {
		if status, _ := r.handshake(t, c.query, c.change, ""); status != c.want {
			t.Errorf("%s: %d, want %d", c.why, status, c.want)
		}
	}
	eventually(t, "one place is taken", func() bool { return r.admitted.Load() == 1 })
}

func TestAClientThatSpeaksBeforeItsHandshakeIsAnsweredIsHungUpOn(t *testing.T) {
	r := start(t, Options{})
	bystander := r.connect(t, "")
	if status, rest := r.handshake(t, "EIO=4&transport=websocket", nil, string(clientFrame(0x81, "40"))); status != 0 {
		all, _ := io.ReadAll(rest)
		t.Errorf("answered %d %q, want to be hung up on", status, all)
	}
	bystander.roundTrip()
	eventually(t, "its place is free", func() bool { return r.admitted.Load() == 1 })
}

func TestASessionThatIsAWebSocketIsNotUpgradedOnceMore(t *testing.T) {
	r := start(t, Options{})
	r.connect(t, "")
	sid := ""
	for _, l := range r.sessions() {
		sid = l.conn.Id()
	}
	if status, _ := r.handshake(t, "EIO=4&transport=websocket&sid="+sid, nil, ""); status != http.StatusBadRequest {
		t.Errorf("answered %d, want 400", status)
	}
	for _, l := range r.sessions() {
		if w, ok := l.transport().(*webSocket); !ok || w.upgrades {
			t.Errorf("the session's transport is now %T", l.transport())
		}
	}
}

func TestBrokenFramesAreClosedWithTheirCodeAndABystanderNoticesNothing(t *testing.T) {
	r := start(t, Options{})
	bystander := r.connect(t, "")
	for why, c := range map[string]struct {
		data []byte
		code int
	}{
		"text that is not UTF-8":   {clientFrame(0x81, "42[\"\xff\"]"), websocket.CloseInvalidFramePayloadData},
		"reserved bits":            {clientFrame(0xf1, "3"), websocket.CloseProtocolError},
		"a long ping":              {clientFrame(0x89, strings.Repeat("x", 200)), websocket.CloseProtocolError},
		"a length of 2^62":         {append([]byte{0x82, 0xff, 0x40}, make([]byte, 11)...), websocket.CloseMessageTooBig},
		"a close code that is not": {clientFrame(0x88, "\x00\x01"), websocket.CloseProtocolError},
	} {
		p := r.connect(t, "")
		// What follows must not turn the close into a reset.
		if _, err := p.conn.NetConn().Write(append(c.data, make([]byte, 10_000)...)); err != nil {
			t.Fatal(err)
		}
		if code := p.closeCode(); code != c.code {
			t.Errorf("%s: closed with %d, want %d", why, code, c.code)
		}
		bystander.roundTrip()
	}
	if got := r.Statistics(); got.Errors != 5 || got.EventsFailed != 0 {
		t.Errorf("%d errors, %d failed; want 5 and 0", got.Errors, got.EventsFailed)
	}
}
