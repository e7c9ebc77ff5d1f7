package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/upkeephub/upkeep/sdk"
)

// fakeHub is a hub that can be ill in many ways. Its zero value is well.
type fakeHub struct {
	status   int           // answer every request with this HTTP status
	silent   bool          // take the request and never answer
	greeting string        // instead of Engine.IO's
	joined   string        // instead of the namespace's
	pong     string        // instead of the event; "" after it was asked: the right one
	gate     func()        // is passed before anything is said
	onPing   func(nth int) // is called before a pong
	chatter  bool          // say other things in between, and ask for an Engine.IO pong
	hangUp   bool          // close after the namespace

	mu   sync.Mutex
	seen []string // requests and messages, in order
	done chan struct{}
}

const greeting = `0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":60000,"maxPayload":1000000}`

func (h *fakeHub) note(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, text)
}

func (h *fakeHub) notes() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.seen, "\n")
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.note(r.URL.RequestURI() + " " + r.Header.Get(sdk.ProbeHeader))
	if h.gate != nil {
		h.gate()
	}
	if h.silent {
		<-h.done
		return
	}
	if h.status != 0 {
		w.WriteHeader(h.status)
		return
	}
	var upgrader websocket.Upgrader
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	say := func(text string) { _ = conn.WriteMessage(websocket.TextMessage, []byte(text)) }
	say(orElse(h.greeting, greeting))
	pings := 0
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				h.note("closed")
			}
			return
		}
		if h.gate != nil {
			h.gate()
		}
		switch text := string(message); {
		case strings.HasPrefix(text, "40"):
			var auth map[string]string
			_ = json.Unmarshal(message[2:], &auth)
			h.note("40 " + auth[sdk.ProbeAuthKey])
			if h.chatter {
				say("6")
				say("2probe")
			}
			say(orElse(h.joined, `40{"sid":"def"}`))
			say(`42["connection_ack",{"server_version":"1.0.0"}]`)
			if h.hangUp {
				say("41")
			}
		case text == `42["ping"]`:
			h.note("ping")
			if pings++; h.onPing != nil {
				h.onPing(pings)
			}
			if h.chatter {
				_ = conn.WriteMessage(websocket.BinaryMessage, []byte{1, 2})
				say(`42["server_status",{"a":"pong"}]`)
				say(`42[]`)
			}
			say(orElse(h.pong, `42["pong",{"timestamp":"now","server_id":"x"}]`))
		default:
			h.note(text)
		}
	}
}

// start serves the hub until the test ends and returns its address.
func (h *fakeHub) start(t testing.TB) string {
	t.Helper()
	h.done = make(chan struct{})
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		close(h.done)
		server.Close()
	})
	return server.Listener.Addr().String()
}

// frozen is a port that accepts in the kernel and has nobody behind it, as that
// of a stopped process.
func frozen(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// closed is a port that nobody listens on.
func closed(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	return listener.Addr().String()
}
