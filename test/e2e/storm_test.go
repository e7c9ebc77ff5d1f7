package e2e

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/upkeephub/upkeep/test/rig"
)

// In the reference one malformed event of one anonymous client ends the server
// for good. Here a storm of them is its sender's affair.
func TestStormOfMalformedEventsIsItsSendersAffair(t *testing.T) {
	h := serve(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.5},
	})}})
	b := standBy(t, h)
	hub := hubOf(t, h)
	before := number(object(t, h, "/stats"), "errors")
	sender := dialRaw(t, h)
	malformed := []string{
		`42["claude_event"]`, `42["claude_event",5]`, `42["claude_event","text"]`, `42["claude_event",null]`,
		`42["claude_event",[1,2]]`, `42["claude_event",true]`, `42["connect",{}]`, `42["disconnecting"]`, `42["newListener"]`,
	}
	const rounds = 300 // of each
	began := time.Now()
	for range rounds {
		for _, packet := range malformed {
			if err := sender.Send(packet); err != nil {
				t.Fatalf("the sender was cut: %v", err)
			}
		}
	}
	if _, err := sender.Ping(within(t, 20*time.Second)); err != nil {
		t.Errorf("after the storm its sender is not served any more: %v", err)
	}
	measured(t, "storm_events", rounds*len(malformed))
	measured(t, "storm_until_answer", time.Since(began))
	eventually(t, 5*time.Second, "the errors are counted", func() error {
		if got, want := number(object(t, h, "/stats"), "errors")-before, float64(rounds*len(malformed)); got < want {
			return fmt.Errorf("%v errors are counted, want at least %v", got, want)
		}
		return nil
	})
	checks := number(object(t, h, "/diagnostics"), "health_monitor", "checks_performed")
	eventually(t, 10*time.Second, "health is judged anew, several times", func() error {
		if n := number(object(t, h, "/diagnostics"), "health_monitor", "checks_performed"); n < checks+9 {
			return fmt.Errorf("%v checks, %v before", n, checks)
		}
		if word := at(object(t, h, "/health"), "status"); word != "healthy" {
			return fmt.Errorf("the status is %v", word)
		}
		return nil
	})
	b.unaffected(t, "storm", time.Second)
	if !hub.Alive() {
		t.Error("the hub was replaced")
	}
	noRecovery(t, h)
}

// A packet that breaks the protocol costs the one who sent it the connection,
// and nobody else anything.
func TestBrokenPacketClosesItsSenderAndNobodyElse(t *testing.T) {
	h := serve(t, rig.Options{})
	b := standBy(t, h)
	before := number(object(t, h, "/stats"), "errors")
	text := func(packet string) func(*rig.Raw) error {
		return func(r *rig.Raw) error { return r.Send(packet) }
	}
	broken := map[string]func(*rig.Raw) error{
		"an unknown Engine.IO packet":     text("9rubbish"),
		"an empty packet":                 text(""),
		"an unknown Socket.IO packet":     text("49"),
		"an event that is no JSON":        text(`42["claude_event",{`),
		"an event that is no array":       text(`42{"claude_event":1}`),
		"an event without a name":         text(`42[]`),
		"an event whose name is a number": text(`42[{}]`),
		"an unbounded acknowledgement":    text(`4299999999999999999999["claude_event",{}]`),
		"a billion attachments":           text(`451000000000-["claude_event",{"_placeholder":true,"num":0}]`),
		"a forged placeholder": func(r *rig.Raw) error {
			if err := r.Send(`451-["claude_event",{"_placeholder":true,"num":7}]`); err != nil {
				return err
			}
			return r.SendMessage(websocket.BinaryMessage, []byte{1, 2, 3})
		},
		"JSON 100000 deep":                   text(`42["claude_event",` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `]`),
		"bad base64":                         text("b%%%"),
		"two megabytes":                      text(`42["claude_event",{"data":"` + strings.Repeat("x", 2<<20) + `"}]`),
		"an attachment that was not awaited": func(r *rig.Raw) error { return r.SendMessage(websocket.BinaryMessage, []byte{1, 2, 3}) },
		"a frame of 2^62 bytes": func(r *rig.Raw) error {
			return r.SendBytes([]byte{0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
		},
		"a frame without a mask":     func(r *rig.Raw) error { return r.SendBytes([]byte{0x81, 0x02, '4', '2'}) },
		"a frame with reserved bits": func(r *rig.Raw) error { return r.SendBytes([]byte{0xf1, 0x81, 1, 2, 3, 4, '3'}) },
		"a control frame that is too long": func(r *rig.Raw) error {
			return r.SendBytes(append([]byte{0x89, 0xfe, 0x01, 0x00, 1, 2, 3, 4}, make([]byte, 256)...))
		},
	}
	for name, send := range broken {
		t.Run(name, func(t *testing.T) {
			r := dialRaw(t, h)
			if err := send(r); err != nil && name != "two megabytes" {
				t.Fatal(err)
			}
			ctx := within(t, 10*time.Second)
			_, err := r.ReadUntil(ctx, func(string) bool { return false })
			if ctx.Err() != nil {
				t.Errorf("the sender was not closed within 10 s")
			}
			t.Logf("closed: %v", err)
		})
	}
	eventually(t, 5*time.Second, "the errors are counted", func() error {
		if n := number(object(t, h, "/stats"), "errors") - before; n < 1 {
			return fmt.Errorf("%v errors", n)
		}
		return nil
	})
	b.unaffected(t, "broken_packets", time.Second)
	noRecovery(t, h)
}

// Whether or not its sender is closed: text that is no UTF-8 must not be passed
// on as it is, since every client that follows the WebSocket protocol would
// drop its connection.
func TestTextThatIsNoUTF8DoesNotCostOthersTheirConnections(t *testing.T) {
	h := serve(t, rig.Options{})
	b := standBy(t, h)
	sender := dialRaw(t, h)
	if err := sender.SendMessage(websocket.TextMessage, []byte("42[\"claude_event\",{\"type\":\"\xff\xfe\"}]")); err != nil {
		t.Fatal(err)
	}
	// Its answer shows that what came before was dealt with; a closed
	// connection shows it, too.
	if _, err := sender.Ping(within(t, 5*time.Second)); err != nil {
		t.Logf("the sender was closed: %v", err)
	}
	b.unaffected(t, "no_utf8", time.Second)
	noRecovery(t, h)
}

// Long-polling has no frames: what is too big or no packet is refused by HTTP.
func TestBrokenPollsAreRefused(t *testing.T) {
	h := serve(t, rig.Options{})
	b := standBy(t, h)
	base := h.URL("/socket.io/?EIO=4&transport=polling")
	session := func() string {
		t.Helper()
		r, err := rig.Get(within(t, 5*time.Second), base)
		if err != nil || r.Status != 200 {
			t.Fatalf("polling handshake: %s, %v", r, err)
		}
		_, rest, found := strings.Cut(string(r.Body), `"sid":"`)
		sid, _, _ := strings.Cut(rest, `"`)
		if !found || sid == "" {
			t.Fatalf("polling handshake: %s", r)
		}
		return base + "&sid=" + sid
	}
	post := func(url string, body string, chunked bool) int {
		t.Helper()
		req, err := http.NewRequestWithContext(within(t, 10*time.Second), "POST", url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
		if chunked {
			req.ContentLength = -1
			req.TransferEncoding = []string{"chunked"}
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0 // cut while it was still sending
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	huge := `42["claude_event",{"data":"` + strings.Repeat("x", 2<<20) + `"}]`
	for _, c := range []struct {
		name    string
		body    string
		chunked bool
	}{{"two megabytes", huge, false}, {"two megabytes in chunks", huge, true}, {"rubbish", "abc", false}, {"base64 of rubbish", "b" + base64.StdEncoding.EncodeToString([]byte("abc")) + "\x1eabc", false}} {
		t.Run(c.name, func(t *testing.T) {
			if status := post(session(), c.body, c.chunked); status == 200 {
				t.Errorf("it is answered with 200")
			} else {
				t.Logf("answered with %d", status)
			}
		})
	}
	b.unaffected(t, "broken_polls", time.Second)
	noRecovery(t, h)
}

// Half-sent requests are put up with for a while and then closed, and others
// are served meanwhile.
func TestSlowSendersDoNotKeepOthersWaiting(t *testing.T) {
	h := serve(t, rig.Options{})
	const slow = 300
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range slow {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.Port)))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if _, err := c.Write([]byte("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\nX-")); err != nil {
			t.Fatal(err)
		}
	}
	b := standBy(t, h)
	ctx := within(t, 40*time.Second)
	began := time.Now()
	for _, c := range conns {
		deadline, _ := ctx.Deadline()
		_ = c.SetReadDeadline(deadline)
		// Either an answer (408) or the end: both end the wait.
		if _, err := c.Read(make([]byte, 1)); err != nil && ctx.Err() != nil {
			t.Fatalf("a half-sent request is still open after %s", time.Since(began))
		}
	}
	measured(t, "half_sent_requests_closed", time.Since(began))
	b.unaffected(t, "slow_senders", time.Second)
	noRecovery(t, h)
}
