package fleet

import (
	"sync/atomic"
	"testing"
)

// BenchmarkDelivery is what one delivered event costs the generator beside the
// system calls.
func BenchmarkDelivery(b *testing.B) {
	const events = 500
	var data []byte
	for seq := range int64(events) {
		frame := appendFrame(nil, opText, appendEvent(nil, seq, -1))
		frame[1] &^= 0x80
		data = append(data, frame[:4]...) // without the mask
		data = append(data, appendEvent(nil, seq, -1)...)
	}
	r := &run{plan: Plan{Measure: 1 << 40}, sentAt: make([]atomic.Int64, events), latencies: make([]uint32, 0, events)}
	r.sent.Store(events)
	f := &Fleet{run: r}
	for b.Loop() {
		c := &client{state: joined}
		r.latencies = r.latencies[:0]
		if rest, err := f.take(c, data, 1000); err != nil || len(rest) > 0 || c.order.next != events {
			b.Fatalf("%d bytes left, %d events, %v", len(rest), c.order.next, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/delivery")
}
