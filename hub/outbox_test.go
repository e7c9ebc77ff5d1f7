package hub

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func textFrame(text string) *frame { return newFrame(websocket.TextMessage, []byte(text)) }

func eventFrame(text string) *frame {
	f := textFrame(text)
	f.event = true
	return f
}

func (o *outbox) text() string {
	var parts []string
	for _, f := range o.frames {
		parts = append(parts, string(f.payload()))
	}
	return strings.Join(parts, " ")
}

func TestAnOutboxBoundsWhatWaits(t *testing.T) {
	const limit = 1000
	now := time.Now()
	for _, c := range []struct {
		why    string
		policy SlowPolicy
		waits  int       // bytes
		oldest time.Time // of what waits
		frame  *frame
		want   verdict
		reason string
	}{
		{"there is room", SlowDisconnect, 0, time.Time{}, eventFrame("x"), queued, ""},
		{"just enough room", SlowDisconnect, limit - 3, now, eventFrame("x"), queued, ""},
		{"too much waits", SlowDisconnect, limit - 2, now, eventFrame("x"), refused, "more than 1000 bytes wait to be sent"},
		{"the oldest waits too long", SlowDisconnect, 1, now.Add(-11 * time.Second), eventFrame("x"), refused, "what waits to be sent is older than 10s"},
		{"not too long yet", SlowDisconnect, 1, now.Add(-9 * time.Second), eventFrame("x"), queued, ""},
		{"too much waits, events are dropped", SlowDrop, limit - 2, now, eventFrame("x"), dropped, ""},
		{"the oldest waits too long, events are dropped", SlowDrop, 1, now.Add(-11 * time.Second), eventFrame("x"), dropped, ""},
		{"an answer is never dropped", SlowDrop, limit, now, textFrame("x"), queued, ""},
		{"but answers are bounded, too", SlowDrop, 2*limit - 2, now, textFrame("x"), refused, "more than 1000 bytes wait to be sent"},
	} {
		o := newOutbox()
		o.bytes = c.waits
		got, reason := o.add([]*frame{c.frame}, bounds{bytes: limit, age: 10 * time.Second, policy: c.policy}, c.oldest)
		if got != c.want || reason != c.reason {
			t.Errorf("%s: %v %q, want %v %q", c.why, got, reason, c.want, c.reason)
		}
		if (got == queued) != (o.bytes > c.waits) || (got == queued) != (len(o.frames) == 1) {
			t.Errorf("%s: %d bytes and %d frames wait", c.why, o.bytes, len(o.frames))
		}
	}
}

func TestAMessageOfSeveralFramesIsDroppedWhole(t *testing.T) {
	o := newOutbox()
	message := payload{args: []byte(`["a"]`), attachments: [][]byte{make([]byte, 600), make([]byte, 600)}}.frames("/", nil, "", true)
	if got, _ := o.add(message, bounds{bytes: 1000, age: time.Hour, policy: SlowDrop}, time.Time{}); got != dropped || len(o.frames) != 0 {
		t.Errorf("verdict %v, %d frames wait; want none", got, len(o.frames))
	}
}

func TestEventsOfABindingThatIsNotAnsweredYetComeBehindTheAnswer(t *testing.T) {
	big := bounds{bytes: 1 << 20, age: time.Hour}
	add := func(o *outbox, text string) { o.add([]*frame{textFrame(text)}, big, time.Time{}) }

	o := newOutbox()
	add(&o, "2")
	o.hold()
	add(&o, `42["event"]`)
	o.hold() // once more changes nothing
	add(&o, `40{"sid":"x"}`)
	add(&o, `42["later"]`)
	if got, want := o.text(), `2 40{"sid":"x"} 42["event"] 42["later"]`; got != want || !o.held {
		t.Errorf("held %v: %s, want %s", o.held, got, want)
	}
	o.release()
	if o.held {
		t.Error("it is still held after its release")
	}

	o = newOutbox() // an answer holds by itself, too
	add(&o, "2")
	add(&o, `40{"sid":"x"}`)
	if got, want := o.text(), `2 40{"sid":"x"}`; got != want || !o.held {
		t.Errorf("held %v: %s, want %s", o.held, got, want)
	}
}

func TestAnOutboxSaysWhenItIsDrained(t *testing.T) {
	isClosed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	o := newOutbox()
	if !isClosed(o.whenDrained()) {
		t.Error("an empty outbox is not drained")
	}
	o.bytes = drainedBytes + 10
	waiting := o.whenDrained()
	o.sent(9)
	if isClosed(waiting) {
		t.Error("it is drained while more than drainedBytes wait")
	}
	o.sent(1)
	if !isClosed(waiting) {
		t.Error("it is not drained when drainedBytes wait")
	}
	o.bytes = drainedBytes + 10
	waiting = o.whenDrained()
	o.clear()
	if !isClosed(waiting) {
		t.Error("who waits is not told that nothing will be sent")
	}
}

func TestABatchTakesManySmallFramesOrOneLarge(t *testing.T) {
	b := &batch{room: make([]byte, 0, batchBytes)}
	o := newOutbox()
	small, large := eventFrame(strings.Repeat("s", 1000)), eventFrame(strings.Repeat("l", 2*batchBytes))
	for range 100 {
		o.frames = append(o.frames, small)
	}
	o.frames = append(o.frames, large, small)
	var sizes []int
	var shares []bool
	for {
		data, shared := b.gather(&o)
		if data == nil {
			break
		}
		sizes, shares = append(sizes, len(data)), append(shares, shared)
	}
	wire := len(small.wire)
	first := batchBytes / wire
	want := []int{first * wire, (100 - first) * wire, len(large.wire), wire}
	for i := range want {
		if len(sizes) != len(want) || sizes[i] != want[i] || shares[i] != (i >= 2) {
			t.Fatalf("batches of %v, shared %v; want %v", sizes, shares, want)
		}
	}
	if len(o.frames) != 0 || cap(o.frames) != 0 {
		t.Errorf("%d frames are left in room for %d", len(o.frames), cap(o.frames))
	}
}
