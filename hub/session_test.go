package hub

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// guest is a client that keeps its session as a stock client does.
type guest struct {
	t         *testing.T
	sid, pid  string
	offset    string
	recovered bool
	// seen are the numbers of the events that it got, in order.
	seen []int
	conn *websocket.Conn
}

// tryEnter connects, with the session if there is one, and reads up to the greeting.
func (g *guest) tryEnter(r *running, header http.Header) error {
	conn, _, err := websocket.DefaultDialer.Dial(wsURL(r.addr), header)
	if err != nil {
		return err
	}
	g.conn = conn
	connect := "40"
	if g.pid != "" {
		connect += fmt.Sprintf(`{"pid":%q,"offset":%q}`, g.pid, g.offset)
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(connect)); err != nil {
		return err
	}
	for {
		name, err := g.read()
		if err != nil {
			return err
		}
		if name == "server_status" {
			return nil
		}
	}
}

func (g *guest) enter(r *running) {
	g.t.Helper()
	if err := g.tryEnter(r, nil); err != nil {
		g.t.Fatalf("enter: %v", err)
	}
	g.t.Cleanup(func() { g.conn.Close() })
}

// read handles one message and returns the name of its event, if it is one.
func (g *guest) read() (string, error) {
	_, raw, err := g.conn.ReadMessage()
	if err != nil {
		return "", err
	}
	text := string(raw)
	switch {
	case text == "2":
		return "", g.conn.WriteMessage(websocket.TextMessage, []byte("3"))
	case strings.HasPrefix(text, "40"):
		var answer struct{ SID, PID string }
		if err := json.Unmarshal(raw[2:], &answer); err != nil {
			return "", err
		}
		g.recovered = g.pid != "" && answer.PID == g.pid
		g.sid, g.pid = answer.SID, answer.PID
	case strings.HasPrefix(text, "44"):
		return "", fmt.Errorf("refused: %s", text)
	case strings.HasPrefix(text, "42"):
		e := decodeTestEvent(text[2:])
		if offset := e.offset(); offset != "" {
			g.offset = offset
		}
		if e.name == "claude_event" || e.name == "news" {
			var object struct{ N int }
			if err := json.Unmarshal(e.args[0], &object); err != nil {
				return "", err
			}
			g.seen = append(g.seen, object.N)
		}
		return e.name, nil
	}
	return "", nil
}

// readUntil reads until the event with that number has come.
func (g *guest) readUntil(n int) {
	g.t.Helper()
	for len(g.seen) == 0 || g.seen[len(g.seen)-1] != n {
		_ = g.conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := g.read(); err != nil {
			g.t.Fatalf("waiting for event %d, seen %v: %v", n, g.seen, err)
		}
	}
}

// wantSeen checks that the events came, each once and in order.
func (g *guest) wantSeen(first, last int) {
	g.t.Helper()
	want := []int{}
	for n := first; n <= last; n++ {
		want = append(want, n)
	}
	if !slices.Equal(g.seen, want) {
		g.t.Errorf("got events %v, want %d to %d", g.seen, first, last)
	}
}

func publishAll(p *peer, first, last int) {
	p.t.Helper()
	for n := first; n <= last; n++ {
		p.send(fmt.Sprintf(`42["claude_event",{"n":%d}]`, n))
	}
	p.roundTrip()
}

// cut ends the connection as a network does, and waits until the hub knows.
func (g *guest) cut(r *running) {
	g.t.Helper()
	g.conn.NetConn().Close()
	eventually(g.t, "the hub notices", func() bool {
		r.adapter.mu.Lock()
		defer r.adapter.mu.Unlock()
		return r.adapter.members[socket.SocketId(g.sid)] == nil
	})
}

func TestAClientThatComesBackGetsWhatItMissedOnceAndInOrder(t *testing.T) {
	r := start(t, Options{})
	sender := r.connect(t, "")
	g := &guest{t: t}
	g.enter(r)
	if g.pid == "" || g.offset == "" {
		t.Fatalf("after its connect the client has private id %q and offset %q, want both", g.pid, g.offset)
	}
	sid := g.sid
	g.cut(r) // before any event
	publishAll(sender, 1, 5)
	g.enter(r)
	g.readUntil(5)
	publishAll(sender, 6, 8)
	g.readUntil(8)
	g.cut(r)
	publishAll(sender, 9, 20)
	g.enter(r)
	publishAll(sender, 21, 21)
	g.readUntil(21)
	g.wantSeen(1, 21)
	if !g.recovered || g.sid != sid {
		t.Errorf("recovered is %v, the id %s, want true and %s", g.recovered, g.sid, sid)
	}
	if got := r.Statistics().SessionsRecovered; got != 2 {
		t.Errorf("%d sessions were recovered, want 2", got)
	}
}

func TestASessionOutlivesItsHub(t *testing.T) {
	opts := Options{LogDir: t.TempDir()}
	first := start(t, opts)
	sender := first.connect(t, "")
	g := &guest{t: t}
	g.enter(first)
	publishAll(sender, 1, 3)
	g.readUntil(3)
	g.cut(first)
	publishAll(sender, 4, 6)
	sid := g.sid
	first.Stop(t.Context(), "the test restarts it", 0)

	second := start(t, opts)
	publishAll(second.connect(t, ""), 7, 9)
	g.enter(second)
	g.readUntil(9)
	g.wantSeen(1, 9)
	if !g.recovered || g.sid != sid {
		t.Errorf("recovered is %v, the id %s, want true and %s", g.recovered, g.sid, sid)
	}
}

func TestAClientThatCannotBeToldWhatItMissedIsToldSo(t *testing.T) {
	tests := []struct {
		name   string
		opts   Options
		change func(g *guest, r *running, sender *peer)
	}{
		{"another's private id", Options{}, func(g *guest, _ *running, _ *peer) { g.pid = "somebody" }},
		{"an offset of nobody", Options{}, func(g *guest, _ *running, _ *peer) { g.offset = "1-1" }},
		{"no offset", Options{}, func(g *guest, _ *running, _ *peer) { g.offset = "x" }},
		{"an offset of the future", Options{}, func(g *guest, r *running, _ *peer) {
			o := r.relay.log.Last()
			o.Sequence += 7
			g.offset = o.String()
		}},
		{"the log has moved on", Options{LogEvents: 8, EventHistory: 8}, func(_ *guest, _ *running, s *peer) { publishAll(s, 100, 120) }},
		{"too much to be sent at once", Options{MaxQueuedBytes: 100_000}, func(_ *guest, r *running, s *peer) {
			for range 60 {
				s.send(fmt.Sprintf(`42["claude_event",{"n":1,"text":%q}]`, strings.Repeat("x", 1000)))
			}
			s.roundTrip()
		}},
		{"the client left by itself", Options{}, func(g *guest, r *running, _ *peer) {
			back := &guest{t: g.t, pid: g.pid, offset: g.offset}
			back.enter(r)
			if err := back.conn.WriteMessage(websocket.TextMessage, []byte("41")); err != nil {
				g.t.Fatal(err)
			}
			eventually(g.t, "the session is forgotten", func() bool {
				_, known := r.relay.log.Session(g.pid)
				return !known
			})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, test.opts)
			sender := r.connect(t, "")
			g := &guest{t: t}
			g.enter(r)
			publishAll(sender, 1, 3)
			g.readUntil(3)
			g.cut(r)
			publishAll(sender, 4, 4)
			pid, sid := g.pid, g.sid
			test.change(g, r, sender)
			g.seen = nil
			g.enter(r)
			if g.recovered || g.pid == pid || g.sid == sid {
				t.Fatalf("recovered is %v, the id %s after %s", g.recovered, g.sid, sid)
			}
			publishAll(sender, 500, 501)
			g.readUntil(501)
			g.wantSeen(500, 501) // and nothing from before
			if r.Statistics().Errors != 0 {
				t.Errorf("an honest answer counts as an error:\n%s", r.log)
			}
		})
	}
}

func TestASessionExpiresWithItsWindow(t *testing.T) {
	r := start(t, Options{RecoveryWindow: time.Second})
	g := &guest{t: t}
	g.enter(r)
	g.cut(r)
	eventually(t, "the window is over", func() bool {
		_, known := r.relay.log.Session(g.pid)
		return !known
	})
	if g.enter(r); g.recovered {
		t.Error("recovered after the window")
	}
}

func TestWithoutRecoveryNoEventCarriesAnOffset(t *testing.T) {
	r := start(t, Options{RecoveryWindow: -1})
	sender := r.connect(t, "")
	g := &guest{t: t}
	g.enter(r)
	publishAll(sender, 1, 2)
	g.readUntil(2)
	if g.pid != "" || g.offset != "" {
		t.Errorf("private id %q and offset %q, want none", g.pid, g.offset)
	}
}

func TestOnlyClientsThatCanUseAnOffsetGetOne(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		auth   string
		want   bool
	}{
		{"a stock client in Node.js", http.Header{"User-Agent": {""}}, ``, true},
		{"a browser", http.Header{"User-Agent": {"Mozilla/5.0"}, "Origin": {"http://localhost:8765"}}, ``, true},
		{"one of the reference", http.Header{}, `{"claude_mpm_version":"3.4.0"}`, false},
		{"one of the reference without a version", http.Header{}, `{"claude_mpm_version":null}`, false},
		{"aiohttp", http.Header{"User-Agent": {"Python/3.11 aiohttp/3.8.4"}}, ``, false},
		{"requests", http.Header{"User-Agent": {"python-requests/2.28.1"}}, ``, false},
		{"websocket-client", http.Header{"User-Agent": {""}, "Origin": {"http://localhost:8765"}}, ``, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, Options{})
			if test.header.Get("Origin") != "" {
				test.header.Set("Origin", "http://"+r.addr)
			}
			sender := r.connect(t, "")
			p := r.dial(t, test.header)
			p.send("40" + test.auth)
			go p.read()
			ack := p.next("connection_ack")
			p.next("server_status")
			sender.send(`42["claude_event",{}]`)
			sender.roundTrip()
			event := p.next("claude_event")
			if got := ack.offset() != "" && event.offset() != ""; got != test.want || len(event.args) > 1 != test.want || len(ack.args) > 1 != test.want {
				t.Errorf("connection_ack %s and event %s, want offsets: %v", ack.args, event.args, test.want)
			}
		})
	}
}

// withRooms lets clients join rooms, and news be sent to them.
func withRooms(h *Hub) {
	h.handlers["join"] = func(c *client, args []any) (*answer, error) {
		c.socket.Join(socket.Room(args[0].(string)))
		return nil, nil
	}
	h.handlers["leave"] = func(c *client, args []any) (*answer, error) {
		c.socket.Leave(socket.Room(args[0].(string)))
		return nil, nil
	}
	h.handlers["news"] = func(_ *client, args []any) (*answer, error) {
		return nil, h.server.Sockets().To(socket.Room(args[0].(string))).Emit("news", args[1])
	}
}

func (g *guest) send(text string) {
	g.t.Helper()
	if err := g.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		g.t.Fatal(err)
	}
}

// settle waits for the answer to an event, so that those before it are handled.
func (g *guest) settle() {
	g.t.Helper()
	g.send(`42["ping"]`)
	for {
		name, err := g.read()
		if err != nil {
			g.t.Fatal(err)
		}
		if name == "pong" {
			return
		}
	}
}

func TestRoomsAreKeptAndWhatWentToThem(t *testing.T) {
	opts := Options{LogDir: t.TempDir()}
	r := start(t, opts, withRooms)
	sender := r.connect(t, "")
	news := func(room string, n int) {
		sender.send(fmt.Sprintf(`42["news",%q,{"n":%d}]`, room, n))
		sender.roundTrip()
	}
	g := &guest{t: t}
	g.enter(r)
	before := g.offset
	news("b", 90) // before it joined b
	g.send(`42["join","a"]`)
	g.send(`42["join","b"]`)
	g.send(`42["join","c"]`)
	g.send(`42["leave","c"]`)
	g.settle()
	g.offset = before // as if nothing had arrived
	g.cut(r)
	news("a", 1)
	news("c", 91) // it has left c
	news("b", 2)
	r.Stop(t.Context(), "the test restarts it", 0)
	r = start(t, opts, withRooms)
	sender = r.connect(t, "")
	g.enter(r)
	news("b", 3)
	g.readUntil(3)
	g.wantSeen(1, 3)
	if !g.recovered {
		t.Error("not recovered")
	}
}

func TestAClientDoesNotGetItsOwnEventsBack(t *testing.T) {
	r := start(t, Options{})
	sender := r.connect(t, "")
	g := &guest{t: t}
	g.enter(r)
	g.send(`42["claude_event",{"n":50}]`)
	g.settle()
	sender.next("claude_event")
	g.cut(r)
	publishAll(sender, 1, 1)
	g.enter(r)
	g.readUntil(1)
	g.wantSeen(1, 1)
}

func TestAClientComesBackBeforeTheHubHasNoticedThatItLeft(t *testing.T) {
	r := start(t, Options{})
	sender := r.connect(t, "")
	g := &guest{t: t}
	g.enter(r)
	old := g.conn
	defer old.Close()
	publishAll(sender, 1, 3) // on their way to the old connection, which nobody reads
	g.enter(r)
	publishAll(sender, 4, 4)
	g.readUntil(4)
	g.wantSeen(1, 4)
	if !g.recovered {
		t.Error("not recovered")
	}
	_ = old.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := old.ReadMessage(); err != nil {
			break // the old connection is closed
		}
	}
	eventually(t, "one client is left beside the sender", func() bool { return r.Statistics().ConnectedClients == 2 })
}

func TestOfTwoThatComeBackAsOneOneIsRecovered(t *testing.T) {
	hold := make(chan struct{})
	var once sync.Once
	r := start(t, Options{}, func(h *Hub) {
		h.middlewares = append(h.middlewares, func(s *socket.Socket) error {
			if s.Recovered() {
				once.Do(func() { <-hold })
			}
			return nil
		})
	})
	g := &guest{t: t}
	g.enter(r)
	g.cut(r)
	second := *g
	entered := make(chan error, 1)
	go func() { entered <- g.tryEnter(r, nil) }()
	eventually(t, "the first is in the middlewares", func() bool {
		r.adapter.mu.Lock()
		defer r.adapter.mu.Unlock()
		return len(r.adapter.pending) == 1
	})
	second.enter(r)
	close(hold)
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	defer g.conn.Close()
	if !g.recovered || second.recovered || g.sid == second.sid {
		t.Errorf("recovered are %v and %v, with ids %s and %s; want the first alone", g.recovered, second.recovered, g.sid, second.sid)
	}
}

func TestRecoveryPassesTheMiddlewares(t *testing.T) {
	refuse := false
	r := start(t, Options{}, func(h *Hub) {
		h.middlewares = append(h.middlewares, func(*socket.Socket) error {
			if refuse {
				return fmt.Errorf("not now")
			}
			return nil
		})
	})
	sender := r.connect(t, "")
	g := &guest{t: t}
	g.enter(r)
	g.cut(r)
	publishAll(sender, 1, 2)
	refuse = true
	if err := g.tryEnter(r, nil); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Fatalf("a client that is refused comes back: %v", err)
	}
	g.conn.Close()
	if len(g.seen) > 0 {
		t.Errorf("a client that was refused got events %v", g.seen)
	}
	refuse = false
	eventually(t, "the session can be restored again", func() bool {
		r.adapter.mu.Lock()
		defer r.adapter.mu.Unlock()
		return len(r.adapter.pending) == 0
	})
	g.enter(r)
	publishAll(sender, 3, 3)
	g.readUntil(3)
	g.wantSeen(1, 3)
	if !g.recovered {
		t.Error("not recovered once it was let in")
	}
}

func TestEventsThatCannotBeKeptAreNotAcknowledged(t *testing.T) {
	r := start(t, Options{})
	p, other := r.connect(t, ""), r.connect(t, "")
	r.relay.log.Close() // as when another process has it
	p.send(`427["claude_event",{"n":1}]`)
	p.roundTrip()
	other.roundTrip()
	if len(p.acks) > 0 || len(other.events) > 0 {
		t.Errorf("acknowledged %d, delivered %d", len(p.acks), len(other.events))
	}
	if s := r.Statistics(); s.EventsFailed != 1 {
		t.Errorf("%d events failed, want 1", s.EventsFailed)
	}
}

// A lost event, or a doubled one, shows as a number out of order: 20 000 events while
// the connections of all clients are cut again and again.
func TestNoEventIsLostOrDoubledWhileConnectionsAreCut(t *testing.T) {
	const events, guests, perCut = 8000, 6, 100
	r := start(t, Options{LogDir: t.TempDir()})
	sender := r.connect(t, "")
	var wg, ready sync.WaitGroup
	for i := range guests {
		g := &guest{t: t}
		ready.Add(1)
		wg.Go(func() {
			last := func() int {
				if len(g.seen) == 0 {
					return 0
				}
				return g.seen[len(g.seen)-1]
			}
			for joined := false; last() < events; joined = true {
				if err := g.tryEnter(r, nil); err != nil {
					t.Errorf("guest %d, which has seen event %d, comes back: %v", i, last(), err)
					return
				}
				if !joined {
					ready.Done()
				} else if !g.recovered {
					t.Errorf("guest %d was not recovered at offset %s", i, g.offset)
					return
				}
				for n := rand.IntN(perCut); n > 0 && last() < events; n-- {
					_ = g.conn.SetReadDeadline(time.Now().Add(patience))
					if _, err := g.read(); err != nil {
						t.Errorf("guest %d, which has seen event %d, reads: %v", i, last(), err)
						return
					}
				}
				g.conn.NetConn().Close()
			}
			g.wantSeen(1, events)
		})
	}
	ready.Wait()
	for n := 1; n <= events; n++ {
		sender.send(fmt.Sprintf(`42["claude_event",{"n":%d}]`, n))
		if n%5 == 0 && n <= events/2 { // then as fast as it goes
			sender.roundTrip()
		}
	}
	wg.Wait()
	if got := r.Statistics().SessionsRecovered; got < 10*guests {
		t.Errorf("only %d sessions were recovered", got)
	}
}
