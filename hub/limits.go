package hub

import (
	"fmt"
	"time"

	"github.com/gorilla/websocket"
	"github.com/upkeephub/upkeep/hub/internal/attribution"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// Defaults of the limits in Options. A publisher that waits for each acknowledgement
// reaches some 40 000 messages a second on two cores: the rates stop floods, and are
// no brake.
const (
	DefaultMessagesPerSecond = 100_000
	DefaultBytesPerSecond    = 64 << 20
	DefaultMaxRooms          = 1000
	DefaultMaxNamespaces     = 32
	DefaultMaxPendingAcks    = 1000
	DefaultHeaderTimeout     = 5 * time.Second
	DefaultBodyTimeout       = 10 * time.Second
	DefaultIdleTimeout       = 75 * time.Second
	DefaultMaxHandshakes     = 512
)

func (o *Options) limitDefaults() {
	defaultTo(&o.MessagesPerSecond, DefaultMessagesPerSecond)
	defaultTo(&o.BytesPerSecond, DefaultBytesPerSecond)
	defaultTo(&o.MaxRooms, DefaultMaxRooms)
	defaultTo(&o.MaxNamespaces, DefaultMaxNamespaces)
	defaultTo(&o.MaxPendingAcks, DefaultMaxPendingAcks)
	defaultTo(&o.HeaderTimeout, DefaultHeaderTimeout)
	defaultTo(&o.BodyTimeout, DefaultBodyTimeout)
	defaultTo(&o.IdleTimeout, DefaultIdleTimeout)
	defaultTo(&o.MaxHandshakes, DefaultMaxHandshakes)
}

func (o *Options) checkLimits(complain func(field string, got any, want string)) {
	for _, limit := range []struct {
		field string
		value int
		least int
	}{
		{"MessagesPerSecond", o.MessagesPerSecond, 1},
		{"BytesPerSecond", o.BytesPerSecond, 1024},
		{"MaxRooms", o.MaxRooms, 1},
		{"MaxNamespaces", o.MaxNamespaces, 1},
		{"MaxPendingAcks", o.MaxPendingAcks, 1},
		{"MaxHandshakes", o.MaxHandshakes, 1},
	} {
		if limit.value < limit.least {
			complain(limit.field, limit.value, fmt.Sprintf("at least %d", limit.least))
		}
	}
	for _, timeout := range []struct {
		field string
		value time.Duration
	}{{"HeaderTimeout", o.HeaderTimeout}, {"BodyTimeout", o.BodyTimeout}, {"IdleTimeout", o.IdleTimeout}} {
		if timeout.value < time.Millisecond {
			complain(timeout.field, timeout.value, "at least 1ms")
		}
	}
}

// setLimits takes over the limits that a supervisor sets.
func (o *Options) setLimits(l *hubv1.Limits) {
	o.MessagesPerSecond = int(l.GetMessagesPerSecond())
	o.BytesPerSecond = int(l.GetBytesPerSecond())
	o.MaxQueuedBytes = int(l.GetMaxQueuedBytes())
	o.MaxQueueAge = l.GetMaxQueueAge().AsDuration()
	o.SlowClients = SlowPolicy(l.GetSlowClients())
	o.WriteTimeout = l.GetWriteTimeout().AsDuration()
	o.MaxRooms = int(l.GetMaxRooms())
	o.MaxNamespaces = int(l.GetMaxNamespaces())
	o.MaxPendingAcks = int(l.GetMaxPendingAcks())
	o.HeaderTimeout = l.GetHeaderTimeout().AsDuration()
	o.BodyTimeout = l.GetBodyTimeout().AsDuration()
	o.IdleTimeout = l.GetIdleTimeout().AsDuration()
	o.MaxHandshakes = int(l.GetMaxHandshakes())
}

// limitEvent tells a client which limit it has exceeded, before it is disconnected.
const limitEvent = "limit_exceeded"

// excess is a limit that a client has exceeded.
type excess struct {
	limit   string // its name in the configuration
	allowed int64
	text    string // for people
}

func (e *excess) Error() string { return e.text }

// tell tells a client which limit it has exceeded, and counts and logs that. Whoever
// calls it closes the session.
func (l *link) tell(e *excess) {
	l.mu.Lock()
	client, counted := l.client, l.refused
	l.refused = true
	if l.cause == "" {
		l.cause = e.text
	}
	l.mu.Unlock()
	if counted {
		return
	}
	l.hub.counters.errors.Add(1)
	l.account.Add(attribution.Refusals, 1)
	l.hub.refusals.log("client disconnected: it exceeded a limit", "limit", e.limit, "reason", e.text, "client", l.remote())
	if client != nil {
		_ = client.socket.Emit(limitEvent, map[string]any{"limit": e.limit, "allowed": e.allowed, "message": e.text})
	}
}

// exceed tells a client which limit it has exceeded and disconnects it, on another
// goroutine: the library calls the adapter with a lock of the socket held, for which
// closing waits. The reader of a connection does it itself, see webSocket.readFailed.
func (l *link) exceed(e *excess) {
	l.tell(e)
	l.spawn(func() { l.close(e.text, websocket.ClosePolicyViolation) })
}

// rate bounds what a client sends over one transport: a bucket for messages and one
// for bytes, each of which holds what may come in a second. The clock is looked at
// only when one is empty, so that a client which sends little costs two
// subtractions a message. It is used by one goroutine at a time.
type rate struct {
	messages, bytes int64 // that may come yet
	filled          time.Time
}

// take counts what has come, and returns how it exceeds the limits, or nil.
func (r *rate) take(l *link, messages, bytes int) *excess {
	r.messages -= int64(messages)
	r.bytes -= int64(bytes)
	if r.messages >= 0 && r.bytes >= 0 || l.probe.Load() {
		return nil
	}
	return r.fill(&l.hub.opts, time.Now())
}

// fill fills the buckets with what has become allowed since they were filled last.
// One message of any allowed size fits, whatever the bytes in a second.
func (r *rate) fill(o *Options, now time.Time) *excess {
	passed := min(now.Sub(r.filled), time.Second).Seconds()
	r.filled = now
	room := max(int64(o.BytesPerSecond), o.MaxPayloadBytes)
	r.messages = min(r.messages+int64(passed*float64(o.MessagesPerSecond)), int64(o.MessagesPerSecond))
	r.bytes = min(r.bytes+int64(passed*float64(room)), room)
	switch {
	case r.messages < 0:
		return &excess{"messages_per_second", int64(o.MessagesPerSecond),
			fmt.Sprintf("more than %d messages came in a second", o.MessagesPerSecond)}
	case r.bytes < 0:
		return &excess{"bytes_per_second", int64(o.BytesPerSecond),
			fmt.Sprintf("more than %d bytes came in a second", o.BytesPerSecond)}
	}
	return nil
}

func tooManyRooms(h *Hub) *excess {
	return &excess{"max_rooms", int64(h.opts.MaxRooms), fmt.Sprintf("more than %d rooms were joined", h.opts.MaxRooms)}
}

func tooManyNamespaces(h *Hub) *excess {
	return &excess{"max_namespaces", int64(h.opts.MaxNamespaces),
		fmt.Sprintf("more than %d namespaces were joined", h.opts.MaxNamespaces)}
}

// pendingAcks are the newest acknowledgements that a client was asked for by events
// to many. The library forgets one only when it comes, so a client that never
// answers would make it keep them all.
type pendingAcks struct {
	ids    []uint64
	oldest int // where the next one goes once there are as many as allowed
}

// expect has ack called when the client acknowledges id. When too many are pending
// the oldest one is no longer waited for: its event ends with its own timeout. The
// adapter calls it with its lock held.
func (m *member) expect(id uint64, ack socket.Ack) {
	acks, most := m.socket.Acks(), m.link.hub.opts.MaxPendingAcks
	if p := &m.asked; len(p.ids) < most {
		p.ids = append(p.ids, id)
	} else {
		acks.Delete(p.ids[p.oldest])
		p.ids[p.oldest] = id
		p.oldest = (p.oldest + 1) % most
	}
	acks.Store(id, ack)
}

// forgetLater ends the wait for acknowledgements of an event to many once that has
// timed out.
func (a *adapter) forgetLater(id uint64, opts *socket.BroadcastOptions) {
	var timeout time.Duration
	if opts != nil && opts.Flags != nil && opts.Flags.Timeout != nil {
		timeout = *opts.Flags.Timeout
	}
	time.AfterFunc(timeout, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, m := range a.active {
			m.socket.Acks().Delete(id)
		}
	})
}
