package hub

import (
	"context"
	"sync"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// relay delivers events and keeps them, in one step, so that the order of the
// history is the order of delivery. Its lock is what a heartbeat passes.
type relay struct {
	hub *Hub

	mu      sync.Mutex
	history *history

	beatMu sync.Mutex
	beat   chan struct{} // the heartbeat that is under way; nil: none
}

// publish keeps an event and sends it to everybody but its sender and the probes.
func (r *relay) publish(e entry, sender socket.SocketId) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.add(e)
	r.hub.counters.history.Store(int64(r.history.count))
	r.hub.adapter.deliver(&delivery{except: []socket.Room{socket.Room(sender), probeRoom}, payload: e.payload})
	return nil
}

// broadcast sends what was emitted through the library, and returns to how many
// clients.
func (r *relay) broadcast(a *adapter, d *delivery) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return a.deliver(d)
}

// activate lets events go to a member that has joined its namespace.
func (r *relay) activate(a *adapter, m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.admit(m)
}

// newest reads the history, see history.newest.
func (r *relay) newest(limit int, kinds map[string]bool) ([]any, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history.newest(limit, kinds, replyBytes)
}

// Heartbeat takes the path of an event, through the relay's lock and the adapter's
// broadcast, and returns the statistics. When the path is blocked it returns the
// context's error. One beat is under way at a time: a caller that finds an earlier
// one blocked waits for that.
func (h *Hub) Heartbeat(ctx context.Context) (Statistics, error) {
	select {
	case <-h.relay.beatUnderWay():
		return h.Statistics(), nil
	case <-ctx.Done():
		return Statistics{}, ctx.Err()
	}
}

func (r *relay) beatUnderWay() <-chan struct{} {
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	if r.beat != nil {
		return r.beat
	}
	beat := make(chan struct{})
	r.beat = beat
	r.hub.tasks.spawn(func() {
		r.pass()
		r.beatMu.Lock()
		r.beat = nil
		r.beatMu.Unlock()
		close(beat)
	})
	return beat
}

func (r *relay) pass() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hub.counters.history.Store(int64(r.history.count))
	r.hub.adapter.deliver(&delivery{rooms: []socket.Room{emptyRoom}, except: []socket.Room{probeRoom}})
}
