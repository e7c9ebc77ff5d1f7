package hub

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

func TestAFloodIsToldAndCutAndABystanderNoticesNothing(t *testing.T) {
	text := func(message string) []byte { return clientFrame(0x81, message) }
	for _, c := range []struct {
		why, limit string
		frame      []byte
		count      int
	}{
		{"events that are relayed at once", "messages_per_second", text(`42["claude_event",{}]`), 1000},
		{"events that take the long way", "messages_per_second", text(`42["nobody listens"]`), 1000},
		{"malformed events", "messages_per_second", text(`42["claude_event"]`), 1000},
		{"pings of the WebSocket", "messages_per_second", clientFrame(0x89, "p"), 1000},
		{"pongs of the WebSocket", "messages_per_second", clientFrame(0x8a, ""), 1000},
		{"fragments of a message that never ends", "messages_per_second", clientFrame(0x00, ""), 1000},
		{"large events", "bytes_per_second", text(`42["x","` + strings.Repeat("x", 90_000) + `"]`), 6},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := start(t, Options{MessagesPerSecond: 200, BytesPerSecond: 100_000, MaxPayloadBytes: 100_000})
			flooder, bystander := r.connect(t, ""), r.connect(t, "")
			var flood []byte
			if c.frame[0] == 0x00 {
				flood = clientFrame(0x01, "begun")
			}
			for range c.count {
				flood = append(flood, c.frame...)
			}
			go func() { _, _ = flooder.conn.NetConn().Write(flood) }()
			told := event{}
			for told.name != limitEvent {
				told = receive(flooder, flooder.events, limitEvent)
			}
			body := told.object(t)
			if body["limit"] != c.limit || body["message"] == "" {
				t.Errorf("told %v, want %s", body, c.limit)
			}
			if code := flooder.closeCode(); code != websocket.ClosePolicyViolation {
				t.Errorf("closed with %d, want 1008", code)
			}
			var closed *websocket.CloseError
			if errors.As(flooder.err, &closed); closed.Text != body["message"] {
				t.Errorf("the close frame says %q, want %q", closed.Text, body["message"])
			}
			bystander.send(`421["claude_event",{}]`)
			bystander.nextAck("1[]")
			eventually(t, "the flooder is gone", func() bool { return r.Statistics().ConnectedClients == 1 })
			if got := r.Statistics(); got.EventsFailed != 0 || got.Errors == 0 {
				t.Errorf("%d failed, %d errors; want none and some: a flood is its sender's affair", got.EventsFailed, got.Errors)
			}
			if log := r.log.String(); !strings.Contains(log, c.limit) && !strings.Contains(log, "malformed event") {
				t.Errorf("the log does not name the limit: %s", log)
			}
		})
	}
}

func TestAFloodOfPostsIsToldAndCutAndABystanderNoticesNothing(t *testing.T) {
	r := start(t, Options{MessagesPerSecond: 200, MaxPayloadBytes: 100_000, BytesPerSecond: 100_000})
	for why, flood := range map[string]string{
		"many packets in one payload": strings.TrimSuffix(strings.Repeat("42[\"x\"]\x1e", 500), "\x1e"),
		"packets of one byte":         strings.Repeat("3\x1e", 40_000) + "3",
	} {
		p, bystander := r.poll(t), r.connect(t, "")
		answer := r.waitingPoll(p)
		status, text := p.post(flood)
		if status != http.StatusTooManyRequests || !strings.Contains(text, "200 messages") {
			t.Errorf("%s: answered %d %q, want 429", why, status, text)
		}
		if told := <-answer; !strings.Contains(told, limitEvent) {
			t.Errorf("%s: the poll was answered with %q", why, told)
		}
		if status, _ := p.get(); status != http.StatusBadRequest {
			t.Errorf("%s: a further poll is answered %d, want 400", why, status)
		}
		bystander.roundTrip()
	}
}

// Just what is allowed is allowed, on each way and for hours.
func TestTheRateIsThatOfALongTime(t *testing.T) {
	o := Options{MessagesPerSecond: 1000, BytesPerSecond: 10_000, MaxPayloadBytes: 2000}
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		why             string
		messages, bytes int64 // in each step
		step            time.Duration
		steps           int
		limit           string
	}{
		{"the rate itself", 100, 1000, 100 * time.Millisecond, 10_000, ""},
		{"a pause does not add up", 1000, 0, time.Hour, 3, ""},
		{"more than a burst after a pause", 2100, 0, time.Hour, 2, "messages_per_second"},
		{"a little more for long", 101, 0, 100 * time.Millisecond, 10_000, "messages_per_second"},
		{"a few bytes more for long", 1, 1010, 100 * time.Millisecond, 10_000, "bytes_per_second"},
		{"a clock that stands", 1, 0, 0, 1001, "messages_per_second"},
	} {
		r, at := rate{}, now
		var over *excess
		for range c.steps {
			if r.messages, r.bytes = r.messages-c.messages, r.bytes-c.bytes; r.messages < 0 || r.bytes < 0 {
				over = r.fill(&o, at)
			}
			if over != nil {
				break
			}
			at = at.Add(c.step)
		}
		got := ""
		if over != nil {
			got = over.limit
		}
		if got != c.limit {
			t.Errorf("%s: %q is exceeded, want %q", c.why, got, c.limit)
		}
	}
	large := rate{bytes: -50_000}
	if over := large.fill(&Options{MessagesPerSecond: 1, BytesPerSecond: 1024, MaxPayloadBytes: 100_000}, now); over != nil {
		t.Errorf("one message of half of what is allowed: %v", over)
	}
}

func TestTheProbeIsNotLimited(t *testing.T) {
	r := start(t, Options{MessagesPerSecond: 10})
	probe := r.connect(t, fmt.Sprintf(`{"%s":%q}`, probeAuthKey, testSecret))
	for range 100 {
		probe.roundTrip()
	}
}

func TestAClientThatJoinsTooManyRoomsIsToldAndCutAndABystanderNoticesNothing(t *testing.T) {
	r := start(t, Options{MaxRooms: 5}, func(h *Hub) {
		h.handlers["join"] = func(c *client, args []any) (*answer, error) {
			c.socket.Join(socket.Room(fmt.Sprint(args[0])))
			return nil, nil
		}
	})
	greedy, bystander := r.connect(t, ""), r.connect(t, "")
	for i := range 5 {
		greedy.send(fmt.Sprintf(`42["join","room %d"]`, i))
		greedy.send(fmt.Sprintf(`42["join","room %d"]`, i)) // once more is not one more
		bystander.send(fmt.Sprintf(`42["join","room %d"]`, i))
	}
	greedy.roundTrip()
	greedy.send(`42["join","one more"]`)
	if body := greedy.next(limitEvent).object(t); body["limit"] != "max_rooms" || body["allowed"] != 5.0 {
		t.Errorf("told %v", body)
	}
	if code := greedy.closeCode(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d, want 1008", code)
	}
	bystander.roundTrip()
	eventually(t, "one client is left", func() bool { return r.Statistics().ConnectedClients == 1 })
	r.adapter.mu.Lock()
	defer r.adapter.mu.Unlock()
	if len(r.adapter.rooms) != 5 {
		t.Errorf("%d rooms are left, want the bystander's 5", len(r.adapter.rooms))
	}
}

func TestAClientThatJoinsTooManyNamespacesIsToldAndCutAndABystanderNoticesNothing(t *testing.T) {
	r := start(t, Options{MaxNamespaces: 3}, func(h *Hub) {
		for i := range 4 {
			h.server.Of(fmt.Sprintf("/n%d", i), nil)
		}
	})
	greedy, bystander := r.connect(t, ""), r.connect(t, "")
	join := func(i int) {
		greedy.send(fmt.Sprintf("40/n%d,", i))
		select {
		case <-greedy.joined:
		case <-greedy.closed: // with the answer or before it
		case <-time.After(patience):
			t.Fatal("never joined")
		}
	}
	for range 10 { // who leaves one may join another
		join(0)
		greedy.send("41/n0,")
		greedy.roundTrip() // else it would join what it is still in
	}
	greedy.roundTrip()
	for i := range 3 {
		join(i)
	}
	if body := greedy.next(limitEvent).object(t); body["limit"] != "max_namespaces" || body["allowed"] != 3.0 {
		t.Errorf("told %v", body)
	}
	if code := greedy.closeCode(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d, want 1008", code)
	}
	bystander.roundTrip()
}

func TestAcknowledgementsThatNeverComeAreBounded(t *testing.T) {
	r := start(t, Options{MaxPendingAcks: 4})
	silent := r.connect(t, "")
	answers := make(chan int, 100)
	for range 20 {
		_ = r.server.Timeout(20*time.Millisecond).Emit("answer me", socket.Ack(func(args []any, err error) {
			if err == nil {
				t.Error("acknowledged by nobody")
			}
			answers <- len(args)
		}))
	}
	pending := func() (n int) {
		r.adapter.mu.Lock()
		defer r.adapter.mu.Unlock()
		for _, m := range r.adapter.members {
			n += m.socket.Acks().Len()
		}
		return n
	}
	if n := pending(); n > 4 {
		t.Errorf("%d acknowledgements are waited for, want at most 4", n)
	}
	for range 20 {
		select {
		case n := <-answers:
			if n != 0 {
				t.Errorf("%d answers of one that gives none", n)
			}
		case <-time.After(patience):
			t.Fatal("an event that nobody acknowledges never ends")
		}
	}
	for range 20 {
		if e := receive(silent, silent.events, "a question"); !strings.Contains(e.name, "answer me") {
			t.Fatalf("got %s, want a question", e.name)
		}
	}
	silent.roundTrip()
	eventually(t, "nothing is waited for", func() bool { return pending() == 0 })
}

// A placeholder is some 30 bytes. What stands for a large attachment again and again
// would become as large as all of them together.
func TestAnAttachmentStandsInOnePlaceOnly(t *testing.T) {
	for _, event := range []string{
		`451-["claude_event",{"a":{"_placeholder":true,"num":0},"b":{"_placeholder":true,"num":0}}]`,
		`451-["claude_event",{"a":[` + strings.Repeat(`{"_placeholder":true,"num":0},`, 20_000) + `1]}]`,
	} {
		r := start(t, Options{})
		forger, bystander := r.connect(t, ""), r.connect(t, "")
		forger.send(event)
		_ = forger.conn.WriteMessage(websocket.BinaryMessage, make([]byte, 900_000))
		forger.closeCode()
		bystander.roundTrip()
		eventually(t, "the error is counted", func() bool { return r.Statistics().Errors == 1 })
		if got := r.Statistics(); got.Errors != 1 || got.EventsFailed != 0 || got.HistorySize != 0 {
			t.Errorf("%d errors, %d failed, %d kept; want 1, 0 and 0", got.Errors, got.EventsFailed, got.HistorySize)
		}
	}
}
