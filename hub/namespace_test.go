package hub

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// visitor opens a session, joins a namespace and returns what comes after the answer.
func (r *running) visitor(t *testing.T, join string) (p *peer, messages chan string) {
	t.Helper()
	p = r.dial(t, nil)
	messages = make(chan string, 1024)
	p.send(join)
	go func() {
		defer close(p.closed)
		for {
			_, raw, err := p.conn.ReadMessage()
			if err != nil {
				p.err = err
				return
			}
			messages <- string(raw)
		}
	}()
	return p, messages
}

func wantMessage(t *testing.T, p *peer, messages chan string, prefix string) string {
	t.Helper()
	got := receive(p, messages, prefix)
	if !strings.HasPrefix(got, prefix) {
		t.Fatalf("got %s, want %s", got, prefix)
	}
	return got
}

func TestAPlainHubSpeaksOnlyWhatItsHandlersSay(t *testing.T) {
	left := make(chan string, 1)
	r := start(t, Options{Plain: true, RecoveryWindow: -1}, func(h *Hub) {
		h.Of("/").OnConnect(func(s *Socket) {
			s.OnDisconnect(func(reason string) { left <- reason })
			s.On("claude_event", func(args []any, ack Ack) {
				if err := s.Emit("own", args...); err != nil {
					t.Errorf("emit: %v", err)
				}
				ack(len(args))
			})
		})
	})
	p, messages := r.visitor(t, "40")
	wantMessage(t, p, messages, "40{")
	p.send(`427["claude_event",{"n":12345678901234567890}]`)
	if got := receive(p, messages, "the handler's event"); got != `42["own",{"n":12345678901234567890}]` {
		t.Errorf("got %s", got)
	}
	if got := receive(p, messages, "the acknowledgement"); got != `437[1]` {
		t.Errorf("got %s", got)
	}
	if n := r.Statistics().EventsProcessed; n != 1 {
		t.Errorf("%d events are counted, want 1", n)
	}
	for _, path := range []string{"/health", "/version", "/stats"} {
		if status, _, _ := r.request(t, "GET", path, "", nil); status != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", path, status)
		}
	}
	p.send("41")
	if reason := receive(p, left, "the reason"); reason != "client namespace disconnect" {
		t.Errorf("left for %q", reason)
	}
}

func TestHandlersStandBesideTheContract(t *testing.T) {
	r := start(t, Options{}, func(h *Hub) {
		h.Of("").OnConnect(func(s *Socket) {
			s.On("mine", func(args []any, _ Ack) { _ = s.Emit("yours", args...) })
			for _, taken := range []string{"claude_event", "disconnect"} {
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("On(%q) takes a name of the hub's", taken)
						}
					}()
					s.On(taken, func([]any, Ack) {})
				}()
			}
		})
	})
	p := r.connect(t, "")
	p.send(`42["mine",{"n":1}]`)
	if got := p.next("yours"); string(got.args[0]) != `{"n":1}` {
		t.Errorf("got %s", got.args)
	}
	p.roundTrip()
}

func TestUseRefusesWithAMessageAndDataAndAPanicSaysNothing(t *testing.T) {
	r := start(t, Options{Plain: true}, func(h *Hub) {
		h.Of("/guarded").Use(func(s *Socket) error {
			switch s.Auth()["as"] {
			case "nobody":
				return errors.New("not you")
			case "late":
				return &Refusal{Message: "too late", Data: map[string]any{"code": 7}}
			case "bug":
				panic("a bug of this test")
			}
			return nil
		})
	})
	for as, want := range map[string]string{
		"nobody": `44/guarded,{"data":null,"message":"not you"}`,
		"late":   `44/guarded,{"data":{"code":7},"message":"too late"}`,
		"bug":    `44/guarded,{"data":null,"message":"internal error, try again"}`,
		"friend": `40/guarded,{`,
	} {
		p, messages := r.visitor(t, `40/guarded,{"as":"`+as+`"}`)
		wantMessage(t, p, messages, want)
	}
}

func TestAnAudienceIsItsRoomsWithoutTheExceptedOnes(t *testing.T) {
	sockets := make(chan *Socket, 3)
	r := start(t, Options{Plain: true, RecoveryWindow: -1}, func(h *Hub) {
		h.Of("/n").OnConnect(func(s *Socket) { sockets <- s })
	})
	n := r.Of("/n")
	a, inA := r.visitor(t, "40/n,")
	wantMessage(t, a, inA, "40/n,")
	first := receive(a, sockets, "the first client")
	b, inB := r.visitor(t, "40/n,")
	wantMessage(t, b, inB, "40/n,")
	second := receive(b, sockets, "the second client")
	first.Join("x", "y")
	second.Join("x")
	if got, want := first.Rooms(), []string{first.ID(), "x", "y"}; !slices.Equal(got, sorted(want)) {
		t.Errorf("rooms are %q, want %q", got, want)
	}
	emit := func(to Audience, name string) {
		if err := to.Emit(name, []byte{1}); err != nil {
			t.Fatalf("emit %s: %v", name, err)
		}
	}
	emit(n.To("x").Except("y"), "second")
	emit(n.To("y"), "first")
	emit(n.To(first.ID()), "first by id")
	emit(second.To("x"), "others than second")
	emit(n.To("nobody"), "nobody")
	first.Leave("x")
	emit(n.Except("x"), "not in x")
	emit(n.To(), "all")
	for _, c := range []struct {
		p     *peer
		in    chan string
		wants []string
	}{
		{a, inA, []string{"first", "first by id", "others than second", "not in x", "all"}},
		{b, inB, []string{"second", "all"}},
	} {
		for _, want := range c.wants {
			wantMessage(t, c.p, c.in, `451-/n,["`+want+`",`)
			wantMessage(t, c.p, c.in, "\x01")
		}
	}
	if err := n.Emit("connect"); err == nil {
		t.Error("a reserved name is emitted")
	}
	if err := n.Emit("bad", func() {}); err == nil {
		t.Error("a function is emitted")
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func TestAnAnswerIsWaitedForUntilItComesOrItsClientLeavesOrTheTimeIsOver(t *testing.T) {
	sockets := make(chan *Socket, 1)
	r := start(t, Options{Plain: true, MaxPendingAcks: 1}, func(h *Hub) {
		h.Of("/").OnConnect(func(s *Socket) { sockets <- s })
	})
	p, messages := r.visitor(t, "40")
	wantMessage(t, p, messages, "40{")
	s := receive(p, sockets, "the client")
	type answer struct {
		args []any
		err  error
	}
	answers := make(chan answer, 1)
	ask := func(ctx context.Context) {
		go func() {
			args, err := s.EmitWithAck(ctx, "question")
			answers <- answer{args, err}
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ask(ctx)
	id := strings.TrimSuffix(strings.TrimPrefix(wantMessage(t, p, messages, "42"), "42"), `["question"]`)
	if _, err := s.EmitWithAck(ctx, "one too many"); !errors.Is(err, ErrTooManyAcks) {
		t.Errorf("one acknowledgement more than allowed: %v", err)
	}
	p.send(`461-` + id + `["yes",{"_placeholder":true,"num":0}]`)
	if err := p.conn.WriteMessage(websocket.BinaryMessage, []byte{7}); err != nil {
		t.Fatal(err)
	}
	got := receive(p, answers, "the answer")
	if got.err != nil || len(got.args) != 2 || got.args[0] != "yes" || string(got.args[1].([]byte)) != "\x07" {
		t.Fatalf("answered %v, %v", got.args, got.err)
	}

	late, end := context.WithCancel(ctx)
	ask(late)
	wantMessage(t, p, messages, "42")
	end()
	if got := receive(p, answers, "the end of the wait"); !errors.Is(got.err, context.Canceled) {
		t.Errorf("after the context: %v", got.err)
	}
	if n := s.socket.Acks().Len(); n != 0 {
		t.Errorf("%d acknowledgements are still waited for", n)
	}
	ask(ctx)
	wantMessage(t, p, messages, "42")
	p.send("41")
	if got := receive(p, answers, "the end of the wait"); !errors.Is(got.err, ErrLeft) {
		t.Errorf("after the client has left: %v", got.err)
	}
}

func TestAPanicInAHandlerDisturbsNobody(t *testing.T) {
	r := start(t, Options{Plain: true}, func(h *Hub) {
		h.Of("/").OnConnect(func(s *Socket) {
			s.On("bug", func([]any, Ack) { panic("a bug of this test") })
			s.On("fine", func(_ []any, ack Ack) { ack() })
		})
	})
	p, messages := r.visitor(t, "40")
	wantMessage(t, p, messages, "40{")
	p.send(`421["bug"]`)
	p.send(`422["fine"]`)
	wantMessage(t, p, messages, "432[]")
	// The handler acknowledges before it has returned, and is counted after that.
	eventually(t, "one is counted as failed and one as processed", func() bool {
		s := r.Statistics()
		return s.EventsFailed == 1 && s.EventsProcessed == 1
	})
}

func TestAClientOfANamespaceGetsBackWhatItMissedThere(t *testing.T) {
	joined := make(chan bool, 2)
	r := start(t, Options{Plain: true, RecoveryWindow: time.Minute}, func(h *Hub) {
		h.Of("/n").OnConnect(func(s *Socket) {
			if !s.Recovered() {
				s.Join("room")
			}
			joined <- s.Recovered()
		})
	})
	p, messages := r.visitor(t, "40/n,")
	answer := wantMessage(t, p, messages, `40/n,{"sid":`)
	pid := answer[strings.Index(answer, `"pid":"`)+len(`"pid":"`):]
	pid = pid[:strings.Index(pid, `"`)]
	receive(p, joined, "the connect")
	emit := func(name string) {
		if err := r.Of("/n").To("room").Emit(name); err != nil {
			t.Fatal(err)
		}
	}
	emit("seen")
	seen := wantMessage(t, p, messages, `42/n,["seen","`)
	offset := strings.TrimSuffix(strings.TrimPrefix(seen, `42/n,["seen","`), `"]`)
	p.conn.Close()
	eventually(t, "the client has left", func() bool { return r.Of("/n").adapter.Sids().Len() == 0 })
	emit("missed")
	p, messages = r.visitor(t, `40/n,{"pid":"`+pid+`","offset":"`+offset+`"}`)
	wantMessage(t, p, messages, `40/n,{"sid":`)
	wantMessage(t, p, messages, `42/n,["missed","`)
	if !receive(p, joined, "the second connect") {
		t.Error("the session is not recovered")
	}
}

func TestPathJoinTimeoutAndOriginsAreOptions(t *testing.T) {
	r := start(t, Options{Plain: true, Path: "/live/", JoinTimeout: 20 * time.Millisecond, AllowedOrigins: []string{"https://app.example"}})
	if status, _, _ := r.request(t, "GET", DefaultPath, "", nil); status != http.StatusNotFound {
		t.Errorf("the default path is served, too: %d", status)
	}
	dial := func(origin string) (*websocket.Conn, *http.Response, error) {
		url := strings.Replace(wsURL(r.addr), DefaultPath, "/live/", 1)
		return websocket.DefaultDialer.Dial(url, http.Header{"Origin": {origin}})
	}
	if _, response, err := dial("https://evil.example"); err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("a foreign origin: %v", err)
	}
	conn, _, err := dial("https://app.example")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for err == nil { // until the timeout, or that of the test
		_, _, err = conn.ReadMessage()
	}
	status, _, header := r.request(t, "OPTIONS", "/live/", "", func(request *http.Request) {
		request.Header.Set("Origin", "https://app.example")
		request.Header.Set("Access-Control-Request-Method", "POST")
	})
	if status != 204 || header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("preflight: %d %v", status, header)
	}
	_, err = New(Options{Plain: true, Path: "live", JoinTimeout: -1, AllowedOrigins: []string{"app.example"}})
	for _, field := range []string{"Path", "JoinTimeout", "AllowedOrigins"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is wrong, and the error is %v", field, err)
		}
	}
}

func TestEngineIOOfOnesOwnIsStoppedWithTheHubAndItsHandlersArePaths(t *testing.T) {
	closed := make(chan struct{})
	r := start(t, Options{Plain: true}, func(h *Hub) {
		echo := func(s *Session) {
			s.OnMessage(s.Send)
			s.OnClose(func() { close(closed) })
		}
		if err := h.HandleEngine("/raw/", echo); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/raw/", DefaultPath, "raw"} {
			if err := h.HandleEngine(path, echo); err == nil {
				t.Errorf("HandleEngine takes %q", path)
			}
		}
	})
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(wsURL(r.addr), DefaultPath, "/raw/", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("4hello")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`0{`, "4hello"} {
		if _, got, err := conn.ReadMessage(); err != nil || !strings.HasPrefix(string(got), want) {
			t.Fatalf("got %q (%v), want %s", got, err, want)
		}
	}
	r.Stop(context.Background(), "the test ends", 0)
	<-closed
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("the session ends with %v, want 1001", err)
	}
}
