package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestOneReplyOfHistoryStaysSmallEnoughForItsClient(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, "")
	text := strings.Repeat("x", 500_000)
	for n := range 10 {
		p.send(fmt.Sprintf(`42["claude_event",{"n":%d,"text":%q}]`, n, text))
	}
	p.roundTrip()
	p.send(`42["get_history"]`)
	reply := p.next("event_history").object(t)
	events := reply["events"].([]any)
	if len(events) != 6 || reply["returned"] != 6.0 || reply["total_available"] != 10.0 {
		t.Fatalf("returned %d (%v) of %v, want the newest six of 10", len(events), reply["returned"], reply["total_available"])
	}
	if n := events[0].(map[string]any)["n"]; n != 4.0 {
		t.Errorf("it begins with event %v, want 4", n)
	}
}

func TestHistoryComesInPagesForThoseWhoAsk(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, "")
	text := strings.Repeat("x", 100_000)
	for n := range 10 {
		p.send(fmt.Sprintf(`42["claude_event",{"n":%d,"text":%q}]`, n, text))
	}
	p.roundTrip()
	p.send(`42["get_history",{"paged":true}]`)
	next := 0.0
	for page := 1.0; ; page++ {
		reply := p.next("event_history").object(t)
		if reply["page"] != page || reply["total_available"] != 10.0 {
			t.Fatalf("page %v of %v events, want page %v of 10", reply["page"], reply["total_available"], page)
		}
		for _, event := range reply["events"].([]any) {
			if n := event.(map[string]any)["n"]; n != next {
				t.Fatalf("event %v, want %v", n, next)
			}
			next++
		}
		if reply["more"] == false {
			break
		}
	}
	if next != 10 {
		t.Errorf("%v events came", next)
	}
	p.send(`42["get_history",{"paged":true,"event_types":["none"]}]`)
	if reply := p.next("event_history").object(t); reply["more"] != false || reply["returned"] != 0.0 {
		t.Errorf("an empty history is %v", reply)
	}
}

func TestHistoryIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Options{LogDir: dir})
	p := first.connect(t, "")
	for n := range 5 {
		p.send(fmt.Sprintf(`42["claude_event",{"type":"t","n":%d}]`, n))
	}
	p.roundTrip()
	first.Stop(t.Context(), "the test restarts it", 0)
	second := start(t, Options{LogDir: dir})
	if got := second.Statistics().HistorySize; got != 5 {
		t.Errorf("%d events are kept, want 5", got)
	}
	q := second.connect(t, "")
	q.send(`42["get_history",{"event_types":["t"],"limit":2}]`)
	reply := q.next("event_history").object(t)
	if reply["total_available"] != 5.0 || reply["events"].([]any)[1].(map[string]any)["n"] != 4.0 {
		t.Errorf("after the restart: %v", reply)
	}
}

func TestBinaryDataOfSeveralEventsComesBackInOneHistory(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, "")
	for n := range 3 {
		p.sendBinary(fmt.Sprintf(`452-["claude_event",{"n":%d,"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":0}],"text":"{\"_placeholder\":true,\"num\":0}"}]`, n),
			[]byte{byte(n), 0}, []byte{byte(n), 1})
	}
	p.send(`42["claude_event",{"n":3,"x":{"_placeholder":true,"num":7}}]`)
	p.roundTrip()
	args, attachments := r.history(t)
	if len(attachments) != 6 {
		t.Fatalf("%d attachments, want six: %s", len(attachments), args)
	}
	var reply []json.RawMessage
	if err := json.Unmarshal(args, &reply); err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	var history struct {
		Events []struct {
			N    byte
			A    struct{ Num int }
			B    []struct{ Num int }
			Text string
		}
	}
	if err := json.Unmarshal(reply[1], &history); err != nil || len(history.Events) != 3 {
		t.Fatalf("%s: %v, want the three events with attachments: the fourth would cost its receiver the connection", args, err)
	}
	for i, e := range history.Events {
		a, b := attachments[e.A.Num], attachments[e.B[0].Num]
		if !bytes.Equal(a, []byte{byte(i), 1}) || !bytes.Equal(b, []byte{byte(i), 0}) || e.Text != `{"_placeholder":true,"num":0}` {
			t.Errorf("event %d has %v, %v and %s", i, a, b, e.Text)
		}
	}
}

// history asks for the history past the peer's own reading, which leaves binary
// messages out.
func (r *running) history(t *testing.T) ([]byte, [][]byte) {
	t.Helper()
	q := r.dial(t, nil)
	q.send("40")
	for {
		_, message, err := q.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(message, []byte(`42["server_status"`)) {
			break
		}
	}
	q.send(`42["get_history"]`)
	_, message, err := q.conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	head, args, _ := bytes.Cut(message, []byte("-"))
	count, err := strconv.Atoi(strings.TrimPrefix(string(head), "45"))
	if err != nil {
		t.Fatalf("not a binary event: %.200s", message)
	}
	var attachments [][]byte
	for range count {
		_, attachment, err := q.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		attachments = append(attachments, attachment)
	}
	return args, attachments
}

func (p *peer) sendBinary(text string, attachments ...[]byte) {
	p.t.Helper()
	p.write.Lock()
	defer p.write.Unlock()
	err := p.conn.WriteMessage(websocket.TextMessage, []byte(text))
	for _, attachment := range attachments {
		err = errors.Join(err, p.conn.WriteMessage(websocket.BinaryMessage, attachment))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func TestNumbersAreReadWithoutSurprise(t *testing.T) {
	tests := []struct {
		value any
		want  int
		ok    bool
	}{
		{json.Number("5"), 5, true}, {json.Number("-1.9"), -1, true}, {json.Number("1e3"), 1000, true},
		{json.Number("1e400"), 1 << 30, true}, {json.Number("-1e400"), -(1 << 30), true}, {json.Number("1e-400"), 0, true},
		{7.5, 7, true}, {"5", 0, false}, {nil, 0, false}, {true, 0, false},
	}
	for _, test := range tests {
		if got, ok := wholeNumber(test.value); got != test.want || ok != test.ok {
			t.Errorf("%v: %d %v, want %d %v", test.value, got, ok, test.want, test.ok)
		}
	}
}

func FuzzDecodeEvent(f *testing.F) {
	for _, seed := range []string{`["a",1]`, `5["a"]`, `/x,5["a",{}]`, `[`, `99999999999999999999["a"]`, `[1]`, `["connect"]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		packet, err := decodeEvent(raw)
		if err != nil {
			return
		}
		args, ok := packet.Data.([]any)
		if !ok || len(args) == 0 {
			t.Fatalf("%q gives no arguments: %v", raw, packet.Data)
		}
		if _, ok := args[0].(string); !ok {
			t.Errorf("%q gives an event without a name: %v", raw, args)
		}
		if _, err := json.Marshal(args); err != nil {
			t.Errorf("%q cannot be relayed: %v", raw, err)
		}
	})
}
