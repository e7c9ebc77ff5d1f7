package hub

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestStopTellsEveryClientWithinASecond(t *testing.T) {
	r := start(t, Options{})
	ws := r.connect(t, "")
	waiting := r.poll(t)
	answer := r.waitingPoll(waiting)
	r.poll(t) // between two polls

	began := time.Now()
	last := r.Stop(context.Background(), "test", 0)
	if took := time.Since(began); took > time.Second {
		t.Errorf("Stop took %v, want less than a second", took)
	}
	if code := ws.closeCode(); code != websocket.CloseGoingAway {
		t.Errorf("the WebSocket was closed with %d, want 1001", code)
	}
	select {
	case got := <-answer:
		if got != "200 1" {
			t.Errorf("the waiting poll was answered %q, want a close packet", got)
		}
	case <-time.After(patience):
		t.Error("the waiting poll was never answered")
	}
	if last.ConnectedClients != 0 || last.ClientsServed != 3 || last.ClientDescriptors != 0 || last.Errors != 0 || last.EventsFailed != 0 {
		t.Errorf("the last statistics are %+v", last)
	}
	if conn, err := net.Dial("tcp", r.addr); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}

func TestStopLetsAcceptedEventsFinish(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	r := start(t, Options{}, func(h *Hub) {
		h.handlers["work"] = func(*client, []any) (*answer, error) {
			close(started)
			<-release
			return &answer{"done", map[string]any{}}, nil
		}
	})
	p := r.connect(t, "")
	p.send(`429["work"]`)
	<-started
	stopped := make(chan Statistics, 1)
	go func() { stopped <- r.Stop(context.Background(), "test", 5*time.Second) }()
	eventually(t, "the hub is stopping", func() bool { return r.stopping.Load() })
	close(release)
	p.next("done")
	p.nextAck("9[]")
	if got := <-stopped; got.EventsProcessed != 1 || got.EventsFailed != 0 {
		t.Errorf("%d events processed, %d failed; want 1 and 0", got.EventsProcessed, got.EventsFailed)
	}
}

func TestStopDoesNotWaitForAHandlerForEver(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	r := start(t, Options{}, func(h *Hub) {
		h.handlers["hang"] = func(*client, []any) (*answer, error) { close(started); <-release; return nil, nil }
	})
	defer close(release)
	p := r.connect(t, "")
	p.send(`42["hang"]`)
	<-started
	began := time.Now()
	r.Stop(context.Background(), "test", 50*time.Millisecond)
	if took := time.Since(began); took > time.Second {
		t.Errorf("Stop took %v with a handler that hangs, want less than a second", took)
	}
	if code := p.closeCode(); code != websocket.CloseGoingAway {
		t.Errorf("closed with %d, want 1001", code)
	}
}

func TestStopIsNotHeldUpByAClientThatTakesNothing(t *testing.T) {
	r := start(t, Options{}, func(h *Hub) { h.bounds.bytes = 1 << 40 })
	stuck := r.dial(t, nil)
	if err := stuck.conn.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	stuck.send("40")
	eventually(t, "the stuck client has joined", func() bool { return r.Statistics().ConnectedClients == 1 })
	sender := r.connect(t, "")
	filler := strings.Repeat("x", 900_000)
	for i := range 12 {
		sender.send(fmt.Sprintf(`42%d["claude_event",{"type":"big","x":"%s"}]`, i, filler))
		sender.nextAck(fmt.Sprintf("%d[]", i))
	}
	began := time.Now()
	last := r.Stop(context.Background(), "test", 0)
	if took := time.Since(began); took > time.Second {
		t.Errorf("Stop took %v, want less than a second", took)
	}
	if code := sender.closeCode(); code != websocket.CloseGoingAway || last.ClientDescriptors != 0 {
		t.Errorf("the other client was closed with %d, %d connections are left; want 1001 and 0", code, last.ClientDescriptors)
	}
}

func TestStopLeavesTheSharedSocketOpen(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File() // the copy that another process holds
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	shared, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()

	for generation := range 3 {
		mine, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		h, err := New(Options{ServerID: "s", ServerVersion: "1.0.0"})
		if err != nil {
			t.Fatal(err)
		}
		// Waits in the backlog until this hub accepts.
		early, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatalf("generation %d: %v", generation, err)
		}
		served := make(chan error, 1)
		go func() { served <- h.Serve(mine) }()
		fmt.Fprintf(early, "GET /version HTTP/1.0\r\n\r\n")
		body, err := io.ReadAll(early)
		if err != nil || !strings.Contains(string(body), "200 OK") {
			t.Errorf("generation %d answers %q, %v", generation, body, err)
		}
		early.Close()
		h.Stop(context.Background(), "test", 0)
		if err := <-served; err != nil {
			t.Errorf("generation %d: %v", generation, err)
		}
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Errorf("the shared socket is closed: %v", err)
	} else {
		conn.Close()
	}
}

func TestServeAfterStopIsRefused(t *testing.T) {
	h, err := New(Options{ServerID: "s", ServerVersion: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	h.Stop(context.Background(), "test", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Serve(listener); err != ErrStopped {
		t.Errorf("Serve returns %v, want ErrStopped", err)
	}
	if _, err := listener.Accept(); err == nil {
		t.Error("the listener was left open")
	}
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	h, err := New(Options{ServerID: "s", ServerVersion: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Stop(context.Background(), "test", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := h.Serve(listener); err == nil || !strings.Contains(err.Error(), "accept clients") {
		t.Errorf("Serve returns %v, want why it cannot accept", err)
	}
}

func TestClearedConnectionsAreToldAndTheProbeIsLeftAlone(t *testing.T) {
	r := start(t, Options{})
	one, two := r.connect(t, ""), r.connect(t, "")
	waiting := r.poll(t)
	answer := r.waitingPoll(waiting)
	probe := r.dial(t, map[string][]string{probeHeader: {testSecret}})
	probe.join("")

	began := time.Now()
	closed, err := r.ClearConnections(t.Context(), "test", 60*time.Millisecond)
	if err != nil || closed != 3 {
		t.Errorf("closed %d, %v; want 3", closed, err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v, want about the spread of 60ms", took)
	}
	for _, p := range []*peer{one, two} {
		if code := p.closeCode(); code != websocket.CloseGoingAway {
			t.Errorf("closed with %d, want 1001", code)
		}
	}
	select {
	case got := <-answer:
		if got != "200 1" {
			t.Errorf("the poll was answered %q, want a close packet", got)
		}
	case <-time.After(patience):
		t.Error("the poll was never answered")
	}
	probe.roundTrip()
	eventually(t, "nobody is left", func() bool { return r.Statistics().ConnectedClients == 0 })
	if got := r.Statistics(); got.Errors != 0 {
		t.Errorf("%d errors, want none", got.Errors)
	}
	r.connect(t, "").roundTrip() // and the hub goes on
}

func TestClearingEndsWithItsContext(t *testing.T) {
	r := start(t, Options{})
	r.connect(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.ClearConnections(ctx, "test", time.Hour); err != context.Canceled {
		t.Errorf("returns %v, want the context's error", err)
	}
}

func TestAFullHubRefusesHandshakesWith503(t *testing.T) {
	r := start(t, Options{MaxConnections: 2})
	one := r.connect(t, "")
	two := r.poll(t)
	if _, response, err := websocket.DefaultDialer.Dial(wsURL(r.addr), nil); err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a third WebSocket: %v %v, want 503", response, err)
	}
	status, problem, header := r.request(t, "GET", DefaultPath+"?EIO=4&transport=polling", "", nil)
	if status != http.StatusServiceUnavailable || problem["error_code"] != "server_full" || header.Get("Retry-After") == "" {
		t.Errorf("a third poller: %d %v, want 503 server_full", status, problem)
	}
	if status, _ := two.post("3"); status != http.StatusOK {
		t.Errorf("a client that is in is refused: %d", status)
	}
	if status, _, _ := r.request(t, "GET", "/version", "", nil); status != http.StatusOK {
		t.Errorf("/version answers %d on a full hub", status)
	}
	one.conn.Close()
	eventually(t, "a place is free", func() bool { return r.admitted.Load() == 1 })
	r.connect(t, "")
	// A handshake that fails gives its place back.
	for range 5 {
		r.request(t, "GET", DefaultPath+"?EIO=3&transport=polling", "", nil)
	}
	if got := r.admitted.Load(); got != 2 {
		t.Errorf("%d places are taken, want 2", got)
	}
}
