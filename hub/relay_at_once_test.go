package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

// relayedBothWays decodes an object as it is relayed at once, and the long way. It
// reports false when it can only go the long way.
func relayedBothWays(t *testing.T, h *Hub, object []byte) (atOnce, longWay map[string]any, kinds [2]string, ok bool) {
	t.Helper()
	kind, plain := scanObject(object)
	if !plain {
		return nil, nil, kinds, false
	}
	decode := func(raw []byte) (v map[string]any) {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		return v
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	short := h.splicedEntry(object, kind, now)
	event := decode(object)
	event["server_id"], event["received_at"] = h.opts.ServerID, timestamp(now)
	long, err := h.newEntry(event)
	if err != nil {
		t.Fatal(err)
	}
	eventOf := func(e entry) map[string]any {
		var args []json.RawMessage
		if err := json.Unmarshal(e.payload.args, &args); err != nil || len(args) != 2 || string(args[0]) != `"claude_event"` {
			t.Fatalf("the payload is %s: %v", e.payload.args, err)
		}
		return decode(args[1])
	}
	return eventOf(short), eventOf(long), [2]string{short.kind, long.kind}, true
}

func TestAnEventIsTheSameWhicheverWayItGoes(t *testing.T) {
	r := start(t, Options{ServerID: `a "quoted" id`})
	for object, plain := range map[string]bool{
		`{}`:                                 true,
		`{ }`:                                true,
		`{"type":"x"}`:                       true,
		`{"type" : "x\u00e4\n" , "n":1 }`:    true,
		`{"a":"type","type":"x","type":"y"}`: true,
		`{"type":5}`:                         true,
		`{"type":{"type":"no"}}`:             true,
		`{"data":{"type":"no","server_id":"no"},"l":["{"]}`: true,
		`{"a":"\"server_id\":","b":"}"}`:                    true,
		`{"n":12345678901234567890.5,"e":1e400}`:            true,
		`{"server_id":"mine"}`:                              false,
		`{"a":[1,2],"received_at":"then"}`:                  false,
		`{"\u0074ype":"x"}`:                                 false,
		`{"a\\":1}`:                                         false,
	} {
		atOnce, longWay, kinds, ok := relayedBothWays(t, r.Hub, []byte(object))
		if ok != plain {
			t.Errorf("%s: plain is %v, want %v", object, ok, plain)
		}
		if !reflect.DeepEqual(atOnce, longWay) || kinds[0] != kinds[1] {
			t.Errorf("%s: at once %v (%q), the long way %v (%q)", object, atOnce, kinds[0], longWay, kinds[1])
		}
	}
}

func FuzzEventsAreTheSameWhicheverWayTheyGo(f *testing.F) {
	f.Add([]byte(`{"type":"x","data":{"a":[1,"2",{"b":null}]}}`))
	f.Add([]byte(`{"type" : "\"" , "s":"\\"}`))
	h, err := New(Options{ServerID: "fuzz", ServerVersion: "1.0.0"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		if len(object) < 2 || object[0] != '{' || object[len(object)-1] != '}' || !json.Valid(object) || !utf8.Valid(object) {
			return
		}
		atOnce, longWay, kinds, ok := relayedBothWays(t, h, object)
		if ok && (!reflect.DeepEqual(atOnce, longWay) || kinds[0] != kinds[1]) {
			t.Errorf("%s: at once %v (%q), the long way %v (%q)", object, atOnce, kinds[0], longWay, kinds[1])
		}
	})
}

func TestAPlainEventIsRelayedWhereItIsRead(t *testing.T) {
	var longWay atomic.Int64
	r := start(t, Options{}, func(h *Hub) {
		h.handlers["claude_event"] = func(*client, []any) (*answer, error) { longWay.Add(1); return nil, nil }
	})
	sender, bystander := r.connect(t, ""), r.connect(t, "")
	sender.roundTrip()
	// What is read right after another message may go the long way, behind that.
	sent := 0
	for relayed := false; !relayed; relayed = longWay.Load() < int64(sent) {
		if sent++; sent > 100 {
			t.Fatal("every event goes the long way")
		}
		sender.send(fmt.Sprintf(`42%d["claude_event",{"type":"x","n":12345678901234567890}]`, sent))
		sender.nextAck(fmt.Sprintf("%d[]", sent))
	}
	if got := string(bystander.next("claude_event").args[0]); !strings.HasPrefix(got, `{"type":"x","n":12345678901234567890,"server_id":"test-server","received_at":"`) {
		t.Errorf("relayed as %s", got)
	}
	if got := r.Statistics(); got.EventsProcessed != uint64(1+sent) || got.EventsFailed != 0 || got.HistorySize != 1 {
		t.Errorf("statistics are %+v after %d events", got, sent)
	}
}

func TestAnEventNeverOvertakesWhatItsSenderSentBefore(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	r := start(t, Options{}, func(h *Hub) {
		h.handlers["wait"] = func(*client, []any) (*answer, error) {
			close(began)
			<-release
			return &answer{"waited", nil}, nil
		}
	})
	sender, bystander := r.connect(t, ""), r.connect(t, "")
	sender.roundTrip()
	sender.send(`42["wait"]`)
	<-began
	for range 10 {
		sender.send(`421["claude_event",{"type":"x"}]`)
	}
	bystander.got() // nothing
	close(release)
	sender.next("waited")
	for range 10 {
		sender.nextAck("1[]")
		bystander.next("claude_event")
	}
}

func TestAnEventAfterItsSenderLeftTheNamespaceClosesIt(t *testing.T) {
	r := start(t, Options{})
	sender, bystander := r.connect(t, ""), r.connect(t, "")
	sender.send("41")
	eventually(t, "it has left", func() bool { return r.Statistics().ConnectedClients == 1 })
	sender.send(`42["claude_event",{"type":"x"}]`)
	sender.closeCode()
	bystander.got()
}

func TestAnEventInsteadOfAnAttachmentClosesItsSender(t *testing.T) {
	r := start(t, Options{})
	sender, bystander := r.connect(t, ""), r.connect(t, "")
	sender.send(`451-["claude_event",{"x":{"_placeholder":true,"num":0}}]`)
	sender.send(`42["claude_event",{"type":"x"}]`)
	sender.closeCode()
	bystander.got()
}
