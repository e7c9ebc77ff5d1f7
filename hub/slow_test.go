package hub

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// stuck joins and reads no more. The kernel takes some MB for it nevertheless: with
// a smaller buffer it could not read on quickly, later.
func (r *running) stuck(t *testing.T) *peer {
	t.Helper()
	before := r.Statistics().ClientsServed
	p := r.dial(t, nil)
	p.send("40")
	eventually(t, "the client that reads no more has joined", func() bool { return r.Statistics().ClientsServed == before+1 })
	return p
}

// publish sends large numbered events until done, and proves that the bystander
// gets each of them at once.
func publish(sender, bystander *peer, from, limit int, done func() bool) (next int) {
	sender.t.Helper()
	filler := strings.Repeat("x", 500_000)
	for i := from; i < limit; i++ {
		if done() {
			return i
		}
		sender.send(fmt.Sprintf(`42%d["claude_event",{"type":"big","i":%d,"x":"%s"}]`, i, i, filler))
		sender.nextAck(fmt.Sprintf("%d[]", i))
		if got := bystander.next("claude_event").object(sender.t)["i"]; got != float64(i) {
			sender.t.Fatalf("the bystander got event %v, want %d", got, i)
		}
	}
	sender.t.Fatalf("%d events of 500 kB changed nothing", limit)
	return limit
}

func TestAClientWhoseOldestByteWaitsTooLongIsCutAndABystanderNoticesNothing(t *testing.T) {
	r := start(t, Options{MaxQueueAge: 300 * time.Millisecond, MaxQueuedBytes: 1 << 30})
	r.stuck(t)
	sender, bystander := r.connect(t, ""), r.connect(t, "")
	publish(sender, bystander, 0, 200, func() bool { return r.Statistics().ConnectedClients == 2 })
	bystander.roundTrip()
	if log := r.log.String(); !strings.Contains(log, "client cut off") || !strings.Contains(log, "what waits to be sent is older than 300ms") {
		t.Errorf("the log does not say why: %.500s", log)
	}
}

// It is cut also when nothing more is sent to it.
func TestAClientThatTakesNothingIsCutWithoutFurtherEvents(t *testing.T) {
	r := start(t, Options{MaxQueueAge: 300 * time.Millisecond, MaxQueuedBytes: 1 << 30})
	r.stuck(t)
	sender, bystander := r.connect(t, ""), r.connect(t, "")
	publish(sender, bystander, 0, 200, func() bool {
		if r.Statistics().ConnectedClients == 2 { // between two events
			return true
		}
		for _, l := range r.sessions() {
			if w, ok := l.transport().(*webSocket); ok && w.writes() == slow {
				return true
			}
		}
		return false
	})
	eventually(t, "the stuck client is gone", func() bool { return r.Statistics().ConnectedClients == 2 })
}

func (t *webSocket) writes() writeState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

func TestASlowClientLosesEventsAndNothingElseWhereThatIsThePolicy(t *testing.T) {
	r := start(t, Options{SlowClients: SlowDrop, MaxQueuedBytes: 1 << 20, WriteTimeout: time.Minute})
	slow := r.stuck(t)
	sender, bystander := r.connect(t, ""), r.connect(t, "")
	count := publish(sender, bystander, 0, 200, func() bool { return r.counters.dropped.Load() >= 5 })
	slow.send(`42["ping"]`) // its answer waits behind the events
	eventually(t, "the ping is handled", func() bool { return r.Statistics().EventsProcessed == uint64(count+1) })
	if got := r.Statistics().ConnectedClients; got != 3 {
		t.Fatalf("%d clients are connected, want all 3", got)
	}

	go slow.read() // it reads on
	slow.next("connection_ack")
	slow.next("server_status")
	received := 0
	for {
		e := receive(slow, slow.events, "an event")
		if e.name == "pong" {
			break
		}
		if got := e.object(t)["i"]; got != float64(received) {
			t.Fatalf("event %v follows %d: what is dropped is the newest", got, received)
		}
		received++
	}
	if lost := int(r.counters.dropped.Load()); received+lost != count {
		t.Errorf("%d events came and %d were dropped, want %d together", received, lost, count)
	}
	sent := -1
	publish(sender, bystander, count, count+2, func() bool { sent++; return sent == 1 })
	if got := slow.next("claude_event").object(t)["i"]; got != float64(count) {
		t.Errorf("after it has caught up event %v comes, want %d", got, count)
	}
}

// trickle takes a few bytes of each write and then has waited too long, but for
// the first calls, and hides that it is a TCP connection.
type trickle struct {
	net.Conn
	calls *atomic.Int64
}

func (c trickle) Write(b []byte) (int, error) {
	if c.calls.Add(1)%2 == 0 && len(b) > 1 {
		n, err := c.Conn.Write(b[:len(b)/2])
		if err == nil {
			err = os.ErrDeadlineExceeded
		}
		return n, err
	}
	return c.Conn.Write(b)
}

// A client that takes little is not one that takes nothing.
func TestAClientThatTakesALittleInTimeStaysWhereEventsAreDropped(t *testing.T) {
	for policy, stays := range map[SlowPolicy]bool{SlowDrop: true, SlowDisconnect: false} {
		r := start(t, Options{SlowClients: policy})
		us, them := net.Pipe()
		defer them.Close()
		w := &webSocket{link: newLink(r.Hub), conn: trickle{us, new(atomic.Int64)}, written: make(chan struct{}), out: newOutbox()}
		frames := []*frame{eventFrame("one"), eventFrame("two"), eventFrame("three")}
		var ready readyList
		read := make(chan string, 1)
		go func() {
			var all []byte
			b := make([]byte, 100)
			for len(all) < 3*2+len("onetwothree") {
				n, err := them.Read(b)
				all = append(all, b[:n]...)
				if err != nil {
					break
				}
			}
			read <- string(all)
		}()
		for _, f := range frames {
			w.enqueue([]*frame{f}, false, &ready)
		}
		// The first write has one frame, or more: it is the second that is cut short.
		got := <-read
		if want := "\x81\x03one\x81\x03two\x81\x05three"; stays && got != want {
			t.Errorf("%s: got %q, want %q", policy, got, want)
		}
		if ready.count != 0 {
			t.Errorf("%s: a connection that can only be waited for is given to the writers", policy)
		}
		eventually(t, "nobody writes", func() bool { return w.writes() == idle })
		w.sever("")
	}
}

// startOn serves on a listener that wrap makes.
func startOn(t *testing.T, opts Options, wrap func(net.Listener) net.Listener) *running {
	t.Helper()
	opts.ServerID, opts.ServerVersion = "test-server", "1.2.3"
	h, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(wrap(l)) }()
	t.Cleanup(func() {
		h.Stop(t.Context(), "the test ends", 0)
		if err := <-served; err != nil && err != ErrStopped {
			t.Errorf("Serve: %v", err)
		}
	})
	return &running{Hub: h, addr: l.Addr().String(), log: &logBuffer{}}
}

func TestClientsBehindTLSAreServedAlike(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	r := startOn(t, Options{}, func(l net.Listener) net.Listener { return tls.NewListener(l, certified.TLS) })
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // who it is matters not here
	peers := make([]*peer, 5)
	for i := range peers {
		conn, _, err := dialer.Dial("wss://"+r.addr+DefaultPath+"?EIO=4&transport=websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		peers[i] = &peer{t: t, conn: conn, events: make(chan event, 4096), acks: make(chan string, 4096),
			joined: make(chan string, 1), refused: make(chan string, 1), closed: make(chan struct{})}
		if _, open, err := conn.ReadMessage(); err != nil || open[0] != '0' {
			t.Fatalf("first message is %q (%v), want OPEN", open, err)
		}
		peers[i].join("")
	}
	for i := range 20 {
		peers[0].send(fmt.Sprintf(`42%d["claude_event",{"i":%d,"x":"%s"}]`, i, i, strings.Repeat("x", 10_000)))
		peers[0].nextAck(fmt.Sprintf("%d[]", i))
		for _, p := range peers[1:] {
			if got := p.next("claude_event").object(t)["i"]; got != float64(i) {
				t.Fatalf("got event %v, want %d", got, i)
			}
		}
	}
	r.sessions()[0].close("test", websocket.CloseGoingAway)
}
