package hub

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestHistoryKeepsTheNewestInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 200).Draw(t, "limit")
		bytes := rapid.IntRange(10, 2000).Draw(t, "bytes")
		h := newHistory(limit, bytes)
		var all []entry // the model: everything that was ever added
		for i := range rapid.IntRange(0, 500).Draw(t, "events") {
			e := entry{kind: "k" + itoa(i%3), event: i, size: rapid.IntRange(1, 40).Draw(t, "size")}
			all = append(all, e)
			h.add(e)
			kept, size := 0, 0
			for j := len(all) - 1; j >= 0 && kept < limit; j-- {
				if size += all[j].size; size > bytes && kept > 0 {
					break
				}
				kept++
			}
			if got := h.count; got < min(kept, limit) || got > limit {
				t.Fatalf("%d events are kept, want %d", got, kept)
			}
			if h.bytes > bytes && h.count > 1 {
				t.Fatalf("%d bytes are kept, want at most %d", h.bytes, bytes)
			}
		}
		events, total := h.newest(limit, nil, 1<<30)
		if total != h.count || len(events) != h.count {
			t.Fatalf("newest returns %d of %d, want %d", len(events), total, h.count)
		}
		for i, event := range events {
			if want := len(all) - len(events) + i; event != want {
				t.Fatalf("event %d is %v, want %d", i, event, want)
			}
		}
	})
}

func TestOneReplyOfHistoryStaysSmallEnoughForItsClient(t *testing.T) {
	h := newHistory(100, 1<<30)
	for i := range 10 {
		h.add(entry{event: i, size: 100})
	}
	events, total := h.newest(100, nil, 350)
	if fmt.Sprint(events) != "[7 8 9]" || total != 10 {
		t.Errorf("returned %v of %d, want the newest three of 10", events, total)
	}
	if events, _ := h.newest(100, nil, 50); fmt.Sprint(events) != "[9]" {
		t.Errorf("returned %v, want at least the newest", events)
	}
}

func TestAnEventWithBinaryDataIsKeptWhole(t *testing.T) {
	r := start(t, Options{})
	sender, other := r.connect(t, ""), r.connect(t, "")
	sender.send(`451-["claude_event",{"type":"bin","n":12345678901234567890,"data":{"_placeholder":true,"num":0}}]`)
	sender.write.Lock()
	err := sender.conn.WriteMessage(2, []byte{1, 2, 3})
	sender.write.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	sender.roundTrip()
	kept, _ := r.relay.newest(1, nil)
	for range 2 { // the second time as whole as the first
		if data := kept[0].(map[string]any)["data"]; fmt.Sprint(data) != "[1 2 3]" {
			t.Errorf("kept %v", data)
		}
		if n := kept[0].(map[string]any)["n"]; fmt.Sprint(n) != "12345678901234567890" {
			t.Errorf("a number became %v", n)
		}
		other.send(`42["get_history"]`)
		other.roundTrip() // binary replies pass this peer by
	}
	if got := r.Statistics(); got.Errors != 0 || got.HistorySize != 1 {
		t.Errorf("%d errors, %d events kept; want 0 and 1", got.Errors, got.HistorySize)
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
