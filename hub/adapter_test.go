package hub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// rooms lets clients join and leave rooms, and says what they are in.
func rooms(h *Hub) {
	room := func(args []any) socket.Room { return socket.Room(args[0].(string)) }
	h.handlers["join"] = func(c *client, args []any) (*answer, error) {
		c.socket.Join(room(args))
		return &answer{"joined", nil}, nil
	}
	h.handlers["leave"] = func(c *client, args []any) (*answer, error) {
		c.socket.Leave(room(args))
		return &answer{"left", nil}, nil
	}
}

func (p *peer) joinRoom(room string) {
	p.t.Helper()
	p.send(`42["join","` + room + `"]`)
	p.next("joined")
}

// got proves that nothing but the given events, in this order, has reached a peer.
func (p *peer) got(names ...string) {
	p.t.Helper()
	for _, name := range names {
		p.next(name)
	}
	p.roundTrip()
}

func TestABroadcastReachesTheRoomsThatItIsForAndNobodyElse(t *testing.T) {
	r := start(t, Options{}, rooms)
	a, b, both, none := r.connect(t, ""), r.connect(t, ""), r.connect(t, ""), r.connect(t, "")
	a.joinRoom("a")
	b.joinRoom("b")
	both.joinRoom("a")
	both.joinRoom("b")

	_ = r.server.Emit("to all")
	_ = r.server.To("a").Emit("to a")
	_ = r.server.To("a", "b").Emit("to a and b")
	_ = r.server.To("a").Except("b").Emit("to a without b")
	_ = r.server.Except("a").Emit("to all without a")
	_ = r.server.To("nowhere").Emit("to nobody")
	a.got("to all", "to a", "to a and b", "to a without b")
	b.got("to all", "to a and b", "to all without a")
	both.got("to all", "to a", "to a and b")
	none.got("to all", "to all without a")

	both.send(`42["leave","a"]`)
	both.next("left")
	_ = r.server.To("a").Emit("once more")
	a.got("once more")
	both.got()
}

func TestRoomsAreKnownAndForgottenWithTheirSockets(t *testing.T) {
	r := start(t, Options{}, rooms)
	p, q := r.connect(t, ""), r.connect(t, "")
	p.joinRoom("a")
	q.joinRoom("a")
	q.joinRoom("b")
	if got := r.adapter.Rooms(); got.Len() != 4 {
		t.Errorf("the rooms are %v, want two and one of each socket", got.Keys())
	}
	in, _ := r.adapter.Rooms().Load("a")
	if ids := r.adapter.Sockets(types.NewSet[socket.Room]("a")); in.Len() != 2 || ids.Len() != 2 {
		t.Errorf("in room a are %v, found %v", in.Keys(), ids.Keys())
	}
	r.adapter.Sids().Range(func(id socket.SocketId, rooms *types.Set[socket.Room]) bool {
		if own := r.adapter.SocketRooms(id); !own.Has("a") || !own.Has(socket.Room(id)) || own.Len() != rooms.Len() {
			t.Errorf("%s is in %v", id, own.Keys())
		}
		return true
	})
	p.conn.Close()
	q.conn.Close()
	eventually(t, "both are forgotten", func() bool {
		r.adapter.mu.Lock()
		defer r.adapter.mu.Unlock()
		return len(r.adapter.members)+len(r.adapter.active)+len(r.adapter.rooms) == 0
	})
	if r.adapter.SocketRooms("who") != nil {
		t.Error("a stranger has rooms")
	}
}

func TestSocketsAreSteeredByRoom(t *testing.T) {
	r := start(t, Options{}, rooms)
	p, bystander := r.connect(t, ""), r.connect(t, "")
	p.joinRoom("a")
	r.server.In("a").SocketsJoin("b", "c")
	r.server.In("a").SocketsLeave("c")
	_ = r.server.To("b").Emit("to b")
	_ = r.server.To("c").Emit("to c")
	p.got("to b")
	found := 0
	r.server.In("b").FetchSockets()(func(sockets []*socket.RemoteSocket, err error) { found = len(sockets) })
	if found != 1 {
		t.Errorf("%d sockets were found in room b, want 1", found)
	}
	r.server.In("b").DisconnectSockets(true)
	select {
	case <-p.closed:
	case <-time.After(patience):
		t.Fatal("the socket in room b was not disconnected")
	}
	bystander.got()
}

func TestNamespacesDoNotHearEachOther(t *testing.T) {
	r := start(t, Options{RecoveryWindow: -1}) // no offsets
	_ = r.server.Of("/other", nil).On("connection", func(args ...any) {
		s := args[0].(*socket.Socket)
		s.Join("room")
		_ = s.Emit("welcome")
	})
	both, bystander := r.connect(t, ""), r.connect(t, "")
	raw := r.dial(t, nil)
	raw.send("40/other,")
	read := func(want string) {
		t.Helper()
		_ = raw.conn.SetReadDeadline(time.Now().Add(patience))
		if _, got, err := raw.conn.ReadMessage(); err != nil || !strings.HasPrefix(string(got), want) {
			t.Fatalf("got %q, %v; want %s", got, err, want)
		}
	}
	read("40/other,{")
	read(`42/other,["welcome"]`)
	_ = r.server.Of("/other", nil).Emit("there", 1)
	_ = r.server.Of("/other", nil).To("room").Emit("in the room")
	_ = r.server.Emit("here")
	read(`42/other,["there",1]`)
	read(`42/other,["in the room"]`)
	both.got("here")
	bystander.got("here")
}

func TestBinaryEventsReachWebSocketsAndPollersInOneOrder(t *testing.T) {
	r := start(t, Options{RecoveryWindow: -1}) // no offsets
	poller, ws := r.poll(t), r.dial(t, nil)
	ws.send("40")
	for range 3 { // CONNECT, connection_ack, server_status
		if _, _, err := ws.conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	_ = r.server.Emit("before")
	_ = r.server.Emit("binary", map[string]any{"x": []byte{0, 0xff}, "y": []byte("second")})
	_ = r.server.Emit("after")
	want := []string{`42["before"]`, `452-["binary",{"x":{"_placeholder":true,"num":0},"y":{"_placeholder":true,"num":1}}]`, "\x00\xff", "second", `42["after"]`}
	var got []string
	for range want {
		_, message, err := ws.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(message))
	}
	// A map has no order: the attachments may come the other way round.
	if slices.Sort(got[2:4]); got[0] != want[0] || !strings.HasPrefix(got[1], `452-["binary",{`) || !slices.Equal(got[2:], want[2:]) {
		t.Errorf("the WebSocket got %q, want %q", got, want)
	}
	if _, body := poller.get(); !strings.HasPrefix(body, want[0]+"\x1e452-") || !strings.Contains(body, "\x1ebAP8=") || !strings.HasSuffix(body, "\x1e"+want[4]) {
		t.Errorf("the poller got %q", body)
	}
}

func TestABroadcastIsAcknowledgedByEverybody(t *testing.T) {
	r := start(t, Options{})
	const clients = 5
	for range clients {
		p := r.dial(t, nil)
		p.send("40")
		go func() {
			for {
				_, raw, err := p.conn.ReadMessage()
				if err != nil {
					return
				}
				var id int
				if n, _ := fmt.Sscanf(string(raw), `42%d["question"]`, &id); n == 1 {
					p.send(fmt.Sprintf(`43%d["answer"]`, id))
				}
			}
		}()
	}
	eventually(t, "all have joined", func() bool { return r.Statistics().ConnectedClients == clients })
	answers := make(chan []any, 1)
	_ = r.server.Timeout(patience).Emit("question", socket.Ack(func(got []any, err error) {
		if err != nil {
			t.Error(err)
		}
		answers <- got
	}))
	select {
	case got := <-answers:
		if len(got) != clients {
			t.Errorf("answers are %v, want %d", got, clients)
		}
	case <-time.After(2 * patience):
		t.Fatal("no acknowledgement came")
	}
}

func TestAVolatileEventIsLeftOutForWhoIsBusy(t *testing.T) {
	r := start(t, Options{RecoveryWindow: -1}) // no offsets
	poller, ws := r.poll(t), r.connect(t, "")
	_ = r.server.Volatile().Emit("volatile")
	_ = r.server.Emit("lasting")
	ws.got("volatile", "lasting")
	if _, body := poller.get(); body != `42["lasting"]` {
		t.Errorf("between two polls came %q, want what is not volatile", body)
	}
	answer := r.waitingPoll(poller)
	_ = r.server.Volatile().Emit("volatile")
	if got := <-answer; got != `200 42["volatile"]` {
		t.Errorf("a waiting poll was answered %q", got)
	}
}

// fakeOutlet keeps what is queued.
type fakeOutlet struct {
	mu     sync.Mutex
	frames []*frame
}

func (o *fakeOutlet) enqueue(frames []*frame, _ bool, _ *readyList) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames = append(o.frames, frames...)
}
func (*fakeOutlet) hold()                    {}
func (*fakeOutlet) release()                 {}
func (*fakeOutlet) drained() <-chan struct{} { return nil }

func TestAnEventIsEncodedTwiceAtMostWhateverTheNumberOfClients(t *testing.T) {
	r := start(t, Options{})
	outlets := make([]*fakeOutlet, 100)
	for i := range outlets {
		outlets[i] = &fakeOutlet{}
		var out outlet = outlets[i]
		l := newLink(r.Hub)
		l.outlet.Store(&out)
		m := &member{id: socket.SocketId(fmt.Sprint("member ", i)), nsp: "/", link: l, own: true, offsets: i%2 == 1, index: -1}
		r.adapter.mu.Lock()
		r.adapter.members[m.id] = m
		r.adapter.mu.Unlock()
		r.adapter.admit(m)
	}
	if n := r.adapter.deliver(&delivery{payload: payload{args: []byte(`["e"]`)}, offset: "g-1"}); n != len(outlets) {
		t.Errorf("delivered to %d, want %d", n, len(outlets))
	}
	for i, want := range []string{`42["e"]`, `42["e","g-1"]`} {
		for j := i; j < len(outlets); j += 2 {
			if got := outlets[j].frames; len(got) != 1 || string(got[0].payload()) != want || got[0] != outlets[i].frames[0] {
				t.Fatalf("client %d got %d frames, want the one that client %d got: %s", j, len(got), i, want)
			}
		}
	}
	r.adapter.deliver(&delivery{payload: payload{args: []byte(`["e"]`)}})
	if a, b := outlets[0].frames[1], outlets[1].frames[1]; a != b {
		t.Errorf("without an offset %s and %s are two frames, want one", a.payload(), b.payload())
	}
	for i := range outlets {
		r.adapter.DelAll(socket.SocketId(fmt.Sprint("member ", i)))
	}
	if n := r.adapter.deliver(&delivery{payload: payload{args: []byte(`["e"]`)}}); n != 0 {
		t.Errorf("delivered to %d that are gone", n)
	}
}

// Events that are relayed while a client joins come behind the answer to its
// connect, and none is lost once it has joined.
func TestWhoJoinsDuringAStormGetsTheAnswerFirst(t *testing.T) {
	r := start(t, Options{})
	stop := make(chan struct{})
	var storm sync.WaitGroup
	storm.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = r.server.Emit("storm", i)
			}
		}
	})
	defer storm.Wait()
	defer close(stop)
	for range 50 {
		p := r.dial(t, nil)
		if err := p.conn.WriteMessage(websocket.TextMessage, []byte("40")); err != nil {
			t.Fatal(err)
		}
		_ = p.conn.SetReadDeadline(time.Now().Add(patience))
		_, first, err := p.conn.ReadMessage()
		if err != nil || !strings.HasPrefix(string(first), "40{") {
			t.Fatalf("the first message after the connect is %.60q (%v)", first, err)
		}
		last := -1
		for range 20 {
			_, raw, err := p.conn.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if found, _ := fmt.Sscanf(string(raw), `42["storm",%d]`, &n); found != 1 {
				continue
			}
			if last >= 0 && n != last+1 {
				t.Fatalf("event %d follows event %d", n, last)
			}
			last = n
		}
		p.conn.Close()
	}
}
