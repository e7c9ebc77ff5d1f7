package hub

import (
	"runtime"
	"sync/atomic"
	"time"
)

// maxVersions bounds the client versions in Statistics.
const maxVersions = 1000

// Statistics of a hub. Totals include the base of Hub.SetBase, so they never fall
// when one hub follows another. The supervisor's probe counts nowhere.
type Statistics struct {
	Generation uint64
	// ConnectedClients is how many clients have joined the namespace and are here.
	ConnectedClients int64
	// ClientsServed is how many clients ever joined.
	ClientsServed uint64
	// EventsProcessed counts events that were handled to the end.
	EventsProcessed uint64
	// EventsFailed counts events that failed by a fault of the hub's own.
	EventsFailed uint64
	// Errors counts every error: failed events, and input that was refused.
	Errors uint64
	// LastActivity is when a client was last heard; zero: never.
	LastActivity time.Time
	// ClientDescriptors is how many TCP connections of clients are open, HTTP
	// requests included.
	ClientDescriptors int64
	// HistorySize is how many events are kept.
	HistorySize int64
	// TakenAt is when these numbers were read.
	TakenAt time.Time
	// MaxConnections is the limit on clients that is in force.
	MaxConnections int64
	// ClientVersions names the version of at most 1000 clients, by session id.
	ClientVersions map[string]string
	// SessionsRecovered counts clients that came back and got their session and what
	// they had missed.
	SessionsRecovered uint64
	// LogFailure says why events are kept in memory only, because they cannot be
	// written to the log; empty: they can.
	LogFailure string
	// Suspects are who and what causes most, the gravest first.
	Suspects []Suspect
	// Goroutines of the process that the hub runs in.
	Goroutines int64
}

// counters are what Statistics is read from, without any lock that an event holds:
// a hub that hangs can still say how it stands.
type counters struct {
	connected    atomic.Int64
	served       atomic.Uint64
	processed    atomic.Uint64
	failed       atomic.Uint64
	errors       atomic.Uint64
	lastActivity atomic.Int64 // nanoseconds since 1970; 0: never
	descriptors  atomic.Int64
	recovered    atomic.Uint64
	dropped      atomic.Uint64 // messages that were left out for slow clients
}

func (c *counters) touch(now time.Time) { c.lastActivity.Store(now.UnixNano()) }

// SetBase adds the totals of the hubs before this one. It is called at most once,
// before Serve.
func (h *Hub) SetBase(base Statistics) {
	h.counters.served.Add(base.ClientsServed)
	h.counters.processed.Add(base.EventsProcessed)
	h.counters.failed.Add(base.EventsFailed)
	h.counters.errors.Add(base.Errors)
	h.counters.recovered.Add(base.SessionsRecovered)
	if !base.LastActivity.IsZero() {
		h.counters.lastActivity.CompareAndSwap(0, base.LastActivity.UnixNano())
	}
}

// Statistics reads the statistics. It never waits for an event.
func (h *Hub) Statistics() Statistics {
	s := Statistics{
		Generation:        h.opts.Generation,
		ConnectedClients:  h.counters.connected.Load(),
		ClientsServed:     h.counters.served.Load(),
		EventsProcessed:   h.counters.processed.Load(),
		EventsFailed:      h.counters.failed.Load(),
		Errors:            h.counters.errors.Load(),
		ClientDescriptors: h.counters.descriptors.Load(),
		HistorySize:       int64(h.relay.log.Listed(h.opts.EventHistory)),
		TakenAt:           time.Now(),
		MaxConnections:    h.maxConnections,
		SessionsRecovered: h.counters.recovered.Load(),
		LogFailure:        h.relay.log.Failing(),
		ClientVersions:    h.clients.versions(maxVersions),
		Goroutines:        int64(runtime.NumGoroutine()),
	}
	s.Suspects = h.suspects(s.TakenAt)
	if at := h.counters.lastActivity.Load(); at != 0 {
		s.LastActivity = time.Unix(0, at)
	}
	return s
}
