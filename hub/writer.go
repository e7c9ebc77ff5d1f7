package hub

import (
	"runtime"
	"sync"
)

// writers send what waits in WebSockets that are ready: a few goroutines, one for
// each processor at most, which live while there is something to do. None of them
// ever waits for a client: who cannot take everything at once gets a goroutine of
// its own until it has caught up (webSocket.drain).
type writers struct {
	tasks *tasks
	limit int

	mu          sync.Mutex
	first, last *webSocket // ready to be written to, in order, linked by next
	running     int
}

func newWriters(t *tasks) *writers {
	return &writers{tasks: t, limit: runtime.GOMAXPROCS(0)}
}

// readyList collects WebSockets for one call of writers.add.
type readyList struct {
	first, last *webSocket
	count       int
}

func (l *readyList) add(t *webSocket) {
	t.next = nil
	if l.last == nil {
		l.first = t
	} else {
		l.last.next = t
	}
	l.last = t
	l.count++
}

// add hands over WebSockets to write to. It never blocks on one.
func (w *writers) add(l readyList) {
	if l.count == 0 {
		return
	}
	w.mu.Lock()
	if w.last == nil {
		w.first = l.first
	} else {
		w.last.next = l.first
	}
	w.last = l.last
	start := min(l.count, w.limit-w.running)
	w.running += start
	w.mu.Unlock()
	for range start {
		w.tasks.spawn(w.run)
	}
}

// next returns the next one, or nil, and then the calling writer has to end.
func (w *writers) next() *webSocket {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.first
	if t == nil {
		w.running--
		return nil
	}
	w.first = t.next
	if w.first == nil {
		w.last = nil
	}
	t.next = nil
	return t
}

func (w *writers) run() {
	b := batches.Get().(*batch)
	defer batches.Put(b)
	for t := w.next(); t != nil; t = w.next() {
		if t.flush(b) {
			var again readyList
			again.add(t)
			w.add(again)
		}
	}
}

// batch is the room in which frames for one write are put together.
type batch struct {
	room    []byte
	attempt attempt
}

var batches = sync.Pool{New: func() any {
	b := &batch{room: make([]byte, 0, batchBytes)}
	b.attempt.init()
	return b
}}

// gather takes the frames for one write: as many as batchBytes hold, or one that
// is larger. The data is valid until the next call, or for good if it is shared.
func (b *batch) gather(o *outbox) (data []byte, shared bool) {
	n, size := 0, 0
	for ; n < len(o.frames) && (n == 0 || size+len(o.frames[n].wire) <= batchBytes); n++ {
		size += len(o.frames[n].wire)
	}
	switch n {
	case 0:
		return nil, false
	case 1: // frames never change, so one alone need not be copied
		data = o.frames[0].wire
	default:
		b.room = b.room[:0]
		for _, f := range o.frames[:n] {
			b.room = append(b.room, f.wire...)
		}
		data = b.room
	}
	o.take(n)
	return data, n == 1
}
