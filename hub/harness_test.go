package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/go-hclog"
	"github.com/upkeephub/upkeep/hub/internal/eventlog"
)

// patience is how long a test waits for something that must happen.
const patience = 10 * time.Second

const testSecret = "a secret of this test"

// running is a hub that serves on a port of the kernel's choice.
type running struct {
	*Hub
	addr string
	log  *logBuffer
}

// start serves a hub until the test ends. prepare runs before it accepts.
func start(t *testing.T, opts Options, prepare ...func(*Hub)) *running {
	t.Helper()
	log := &logBuffer{}
	if opts.ServerID == "" {
		opts.ServerID = "test-server"
	}
	if opts.ServerVersion == "" {
		opts.ServerVersion = "1.2.3"
	}
	opts.ProbeSecret = testSecret
	opts.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug})
	h, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range prepare {
		fn(h)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	t.Cleanup(func() {
		h.Stop(context.Background(), "the test ends", 0)
		if err := <-served; err != nil && err != ErrStopped {
			t.Errorf("Serve: %v", err)
		}
	})
	return &running{Hub: h, addr: listener.Addr().String(), log: log}
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually waits until ok holds. It looks often, because nothing tells it.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// event is a Socket.IO event that a client received.
type event struct {
	name string
	args []json.RawMessage
}

// object decodes the event's first argument, which only an offset may follow.
func (e event) object(t *testing.T) map[string]any {
	t.Helper()
	if len(e.args) != 1 && (len(e.args) != 2 || e.offset() == "") {
		t.Fatalf("%s has %d arguments, want 1: %s", e.name, len(e.args), e.args)
	}
	var object map[string]any
	if err := json.Unmarshal(e.args[0], &object); err != nil {
		t.Fatalf("%s: %v", e.name, err)
	}
	return object
}

// offset is the offset that follows the event's arguments; empty: none does.
func (e event) offset() string {
	var text string
	if len(e.args) < 2 || json.Unmarshal(e.args[len(e.args)-1], &text) != nil {
		return ""
	}
	if _, err := eventlog.ParseOffset(text); err != nil {
		return ""
	}
	return text
}

// peer is a Socket.IO client that speaks raw Engine.IO over a WebSocket. One
// goroutine reads; it ends with the connection.
type peer struct {
	t      *testing.T
	conn   *websocket.Conn
	events chan event
	acks   chan string
	// refused takes the CONNECT_ERROR, joined the CONNECT.
	joined  chan string
	refused chan string
	dropped atomic.Bool   // the server has disconnected it from the namespace
	closed  chan struct{} // closed when the connection has ended
	err     error         // why; read after closed
	write   sync.Mutex
}

func wsURL(addr string) string {
	return "ws://" + addr + DefaultPath + "?EIO=4&transport=websocket"
}

// dial opens a session without joining the namespace.
func (r *running) dial(t *testing.T, header http.Header) *peer {
	t.Helper()
	conn, response, err := websocket.DefaultDialer.Dial(wsURL(r.addr), header)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, response)
	}
	p := &peer{t: t, conn: conn, events: make(chan event, 4096), acks: make(chan string, 4096),
		joined: make(chan string, 1), refused: make(chan string, 1), closed: make(chan struct{})}
	if _, open, err := conn.ReadMessage(); err != nil || open[0] != '0' {
		t.Fatalf("first message is %q (%v), want OPEN", open, err)
	}
	t.Cleanup(func() { conn.Close() })
	return p
}

// connect opens a session, joins with the given auth (JSON, may be empty) and waits
// for connection_ack and server_status.
func (r *running) connect(t *testing.T, auth string) *peer {
	t.Helper()
	p := r.dial(t, nil)
	p.join(auth)
	return p
}

func (p *peer) join(auth string) {
	p.t.Helper()
	p.send("40" + auth)
	go p.read()
	select {
	case <-p.joined:
	case reason := <-p.refused:
		p.t.Fatalf("refused: %s", reason)
	case <-p.closed:
		p.t.Fatalf("closed instead of joined: %v", p.err)
	case <-time.After(patience):
		p.t.Fatal("never joined")
	}
	p.next("connection_ack")
	p.next("server_status")
}

func (p *peer) send(message string) {
	p.t.Helper()
	p.write.Lock()
	defer p.write.Unlock()
	if err := p.conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		p.t.Errorf("send %.40q: %v", message, err)
	}
}

// trySend sends to a hub that may have hung up.
func (p *peer) trySend(message string) error {
	p.write.Lock()
	defer p.write.Unlock()
	return p.conn.WriteMessage(websocket.TextMessage, []byte(message))
}

// disconnected says whether the server has disconnected it from the namespace, as
// of when its connection ended.
func (p *peer) disconnected() bool { return p.dropped.Load() }

func (p *peer) read() {
	defer close(p.closed)
	for {
		_, raw, err := p.conn.ReadMessage()
		if err != nil {
			p.err = err
			return
		}
		switch text := string(raw); {
		case text == "2":
			p.write.Lock()
			_ = p.conn.WriteMessage(websocket.TextMessage, []byte("3"))
			p.write.Unlock()
		case strings.HasPrefix(text, "40"):
			p.joined <- text[2:]
		case strings.HasPrefix(text, "41"):
			p.dropped.Store(true)
		case strings.HasPrefix(text, "44"):
			p.refused <- text[2:]
		case strings.HasPrefix(text, "43"):
			p.acks <- text[2:]
		case strings.HasPrefix(text, "42"):
			p.events <- decodeTestEvent(text[2:])
		}
	}
}

func decodeTestEvent(text string) event {
	var parts []json.RawMessage
	var e event
	if err := json.Unmarshal([]byte(text), &parts); err != nil || len(parts) == 0 {
		return event{name: "undecodable: " + text}
	}
	_ = json.Unmarshal(parts[0], &e.name)
	e.args = parts[1:]
	return e
}

// next returns the next event, which must have the given name.
func (p *peer) next(name string) event {
	p.t.Helper()
	e := receive(p, p.events, name)
	if e.name != name {
		p.t.Fatalf("got %s %s, want %s", e.name, e.args, name)
	}
	return e
}

func (p *peer) nextAck(want string) {
	p.t.Helper()
	if got := receive(p, p.acks, "an acknowledgement"); got != want {
		p.t.Fatalf("acknowledged %q, want %q", got, want)
	}
}

// receive takes what came, also when the connection has ended since.
func receive[T any](p *peer, from <-chan T, what string) T {
	p.t.Helper()
	timeout := time.After(patience)
	select {
	case v := <-from:
		return v
	case <-p.closed:
	case <-timeout:
		p.t.Fatalf("%s never came", what)
	}
	select {
	case v := <-from:
		return v
	default:
		p.t.Fatalf("closed while waiting for %s: %v", what, p.err)
	}
	panic("unreachable")
}

// closeCode waits for the end of the connection and returns its close code.
func (p *peer) closeCode() int {
	p.t.Helper()
	select {
	case <-p.closed:
	case <-time.After(patience):
		p.t.Fatal("never closed")
	}
	if closed, ok := p.err.(*websocket.CloseError); ok {
		return closed.Code
	}
	p.t.Fatalf("closed without a close frame: %v", p.err)
	return 0
}

// roundTrip proves that the peer is alive and its earlier events are handled.
func (p *peer) roundTrip() {
	p.t.Helper()
	p.send(`42["ping"]`)
	p.next("pong")
}

// poller speaks raw Engine.IO over long polling.
type poller struct {
	t      *testing.T
	base   string
	client *http.Client
}

// poll opens a polling session and joins the namespace.
func (r *running) poll(t *testing.T) *poller {
	t.Helper()
	p := &poller{t: t, base: "http://" + r.addr + DefaultPath + "?EIO=4&transport=polling", client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(p.client.CloseIdleConnections)
	status, open := p.get()
	var handshake struct{ SID string }
	if status != http.StatusOK || json.Unmarshal([]byte(open[1:]), &handshake) != nil {
		t.Fatalf("handshake: %d %s", status, open)
	}
	p.base += "&sid=" + handshake.SID
	if status, answer := p.post("40"); status != http.StatusOK || answer != "ok" {
		t.Fatalf("join: %d %s", status, answer)
	}
	for got := ""; !strings.Contains(got, "server_status"); {
		_, packets := p.get()
		got += packets
	}
	return p
}

func (p *poller) get() (int, string) {
	p.t.Helper()
	response, err := p.client.Get(p.base)
	if err != nil {
		p.t.Fatalf("poll: %v", err)
	}
	return readAnswer(p.t, response)
}

func (p *poller) post(body string) (int, string) {
	p.t.Helper()
	response, err := p.client.Post(p.base, "text/plain;charset=UTF-8", strings.NewReader(body))
	if err != nil {
		p.t.Fatalf("post: %v", err)
	}
	return readAnswer(p.t, response)
}

// waitingPoll starts a poll and returns once the hub holds it; the answer comes
// on the channel.
func (r *running) waitingPoll(p *poller) <-chan string {
	p.t.Helper()
	answer := make(chan string, 1)
	go func() {
		response, err := p.client.Get(p.base)
		if err != nil {
			answer <- "error: " + err.Error()
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		answer <- fmt.Sprint(response.StatusCode, " ", string(body), errText(err))
	}()
	eventually(p.t, "the hub holds the poll", func() bool {
		for _, l := range r.sessions() {
			if transport, ok := l.transport().(*polling); ok && transport.polled() {
				return true
			}
		}
		return false
	})
	return answer
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return " error: " + err.Error()
}

func readAnswer(t *testing.T, response *http.Response) (int, string) {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return response.StatusCode, string(body)
}

func (l *link) transport() any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil
	}
	return l.conn.Transport()
}

func (p *polling) polled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.poll != nil
}

// request makes one HTTP request and returns status, decoded JSON and headers.
func (r *running) request(t *testing.T, method, path, body string, change func(*http.Request)) (int, map[string]any, http.Header) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	status, text := readAnswer(t, response)
	var object map[string]any
	if text != "" {
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatalf("%s %s answers %d %q, want a JSON object", method, path, status, text)
		}
	}
	return status, object, response.Header
}
