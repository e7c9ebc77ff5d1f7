package hub

import (
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// rampStart is how many clients may be about to connect when the hub starts, and
	// the least that are admitted however slow it is.
	rampStart = 32
	// rampTick is how often the ramp looks at the hub while somebody connects.
	rampTick = 25 * time.Millisecond
	// A hub that is later than slowLag admits fewer, one that is later than fairLag
	// no more than before.
	slowLag = 100 * time.Millisecond
	fairLag = 40 * time.Millisecond
	// A connection that sends nothing for silentPlace, or has not become a client
	// within handshakePlace, gives its place away; it is not closed.
	silentPlace    = 50 * time.Millisecond
	handshakePlace = 500 * time.Millisecond
)

// ramp lets clients in as fast as the hub can take them, and no faster. Each
// connection takes a place when it is accepted and gives it back when it has become
// a client, or its first request is answered. While no place is free nobody is
// accepted: clients wait in the listener's queue, where they cost nothing and are
// not refused. The number of places begins low, grows with each client that has
// connected, and is halved when the hub itself becomes late: an event takes long to
// pass, or a timer of its own fires late. So thousands that come back at once, after
// a restart, cannot make the hub ill that they come back to.
//
// While places are taken one goroutine looks at the hub, watch.
type ramp struct {
	hub  *Hub
	most int

	mu     sync.Mutex
	places int // that there are
	taken  map[*countedConn]*place
	free   chan struct{} // closed when a place may be free; nil: nobody waits
	late   bool          // the hub was late when it was looked at last
	watch  bool
}

// place is what one connection takes.
type place struct {
	since time.Time
	spoke bool // bytes of a request have come
}

func newRamp(h *Hub, most int) *ramp {
	return &ramp{hub: h, most: most, places: min(rampStart, most), taken: make(map[*countedConn]*place)}
}

// wait blocks until a place is free, and reports false when closed is first.
func (r *ramp) wait(closed <-chan struct{}) bool {
	for {
		r.mu.Lock()
		if len(r.taken) < r.places {
			r.mu.Unlock()
			return true
		}
		if r.free == nil {
			r.free = make(chan struct{})
		}
		free := r.free
		r.mu.Unlock()
		select {
		case <-free:
		case <-closed:
			return false
		}
	}
}

// take gives a connection a place. Several listeners may take one more than there
// are, each.
func (r *ramp) take(c *countedConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken[c] = &place{since: time.Now()}
	if !r.watch {
		r.watch = true
		r.hub.tasks.spawn(r.look)
	}
}

// done takes back a connection's place, if it still has one, because it became a
// client or was answered. Such a one makes room for one more.
func (r *ramp) done(c *countedConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.taken[c]; !there {
		return
	}
	if !r.late && r.places < r.most {
		r.places++
	}
	r.leaveLocked(c)
}

// leave takes back the place of a connection that is gone.
func (r *ramp) leave(c *countedConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaveLocked(c)
}

func (r *ramp) leaveLocked(c *countedConn) {
	delete(r.taken, c)
	r.wakeLocked()
}

func (r *ramp) wakeLocked() {
	if r.free != nil && len(r.taken) < r.places {
		close(r.free)
		r.free = nil
	}
}

// onState is told by net/http what becomes of a connection.
func (r *ramp) onState(conn net.Conn, state http.ConnState) {
	c := countedOf(conn)
	if c == nil {
		return
	}
	switch state {
	case http.StateActive:
		r.mu.Lock()
		if p := r.taken[c]; p != nil {
			p.spoke = true
		}
		r.mu.Unlock()
	case http.StateIdle: // its request is answered
		r.done(c)
	}
}

// countedOf finds the connection that a listener of ours has accepted, under what
// has been put around it.
func countedOf(conn net.Conn) *countedConn {
	for {
		switch c := conn.(type) {
		case *countedConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// look watches the hub and the places until none is taken.
func (r *ramp) look() {
	ticker := time.NewTicker(rampTick)
	defer ticker.Stop()
	for {
		began := time.Now()
		<-ticker.C
		lag := max(0, time.Since(began)-rampTick) + r.passage()
		if !r.judge(time.Now(), lag) {
			return
		}
	}
}

// passage is how long an event takes to pass now, at most a second.
func (r *ramp) passage() time.Duration {
	began := time.Now()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-r.hub.relay.beatUnderWay():
	case <-timer.C:
	}
	return time.Since(began)
}

// judge fits the number of places to how late the hub is, takes back the places of
// those who keep them for nothing, and reports whether any is left.
func (r *ramp) judge(now time.Time, lag time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = lag > fairLag
	if lag > slowLag {
		r.places = max(r.places/2, min(rampStart, r.most))
	}
	for c, p := range r.taken {
		age := now.Sub(p.since)
		if age <= handshakePlace && (p.spoke || age <= silentPlace) {
			continue
		}
		delete(r.taken, c)
		if !r.late && r.places < r.most { // who only dawdles does not hold up others
			r.places++
		}
	}
	r.wakeLocked()
	r.watch = len(r.taken) > 0
	return r.watch
}

// arrived tells the ramp that the client of this session has joined a namespace.
func (l *link) arrived() {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn == nil {
		return
	}
	if t, ok := conn.Transport().(*webSocket); ok {
		if c := countedOf(t.conn); c != nil {
			l.hub.ramp.done(c)
		}
	}
}
