package sdk

import (
	"context"
	"strings"
	"time"
)

// Checker looks once. It is called concurrently at most by accident (the host
// never overlaps a check with itself) but must bear it.
//
// An error means "I could not look": the status is unknown and it counts
// against the plugin. Bad news about the target is a Result, never an error.
// Check ends when ctx does; the sdk answers the host at the deadline in any case.
type Checker interface {
	Check(ctx context.Context, req Request) (Result, error)
}

// Watcher is a checker that also notices things between checks. Watch calls
// send when something happened and returns when ctx ends or when it cannot go
// on; the host opens it again after a pause. send blocks until the host took
// the result, and its error ends the watch. send is for one goroutine at a time.
type Watcher interface {
	Watch(ctx context.Context, req Request, send func(Result) error) error
}

// Shutdowner releases what the plugin holds. Shutdown is called once, before
// the process ends, if the host asks for it or the process gets SIGTERM; it has
// 2 s. It is not called when the host is gone: then the process ends at once.
type Shutdowner interface {
	Shutdown(ctx context.Context) error
}

// Request is everything a checker may know.
type Request struct {
	// CheckID identifies this check in logs of host and plugin.
	CheckID string
	Target  Target
	// Statistics of the hub; nil: it has not said anything yet.
	Statistics *Statistics
	// Samples are the Counters of earlier checks of this checker, oldest first,
	// at most 64, no older than the aggregation window.
	Samples []Sample
	// Now is the host's time of this check.
	Now time.Time
}

// Target says what to look at.
type Target struct {
	// HostPID is the process id of the host, HubPID that of the hub; a HubPID of
	// 0 means that no hub is running.
	HostPID, HubPID int
	// HubGeneration counts the hubs of this host, from 1.
	HubGeneration uint64
	// Host is the name under which clients reach the hub, e.g. "localhost".
	Host string
	Port int
	// Addresses are those really bound, host:port, e.g. "127.0.0.1:8765".
	Addresses []string
	// Path of the Socket.IO endpoint, "/socket.io/".
	Path string
	// TLS says that clients must use TLS.
	TLS bool
	// ProbeSecret makes a connection invisible to statistics and limits if it is
	// sent as the HTTP header ProbeHeader and in the handshake's auth as ProbeAuthKey.
	ProbeSecret string
}

// Statistics is what the hub says about itself. Counters never fall, also not
// when the hub is restarted.
type Statistics struct {
	Generation       uint64
	ConnectedClients int64
	// ClientsServed counts the clients ever connected.
	ClientsServed uint64
	// EventsProcessed were handled to the end; EventsFailed failed by the hub's
	// own fault; Errors counts all errors, refused input included.
	EventsProcessed, EventsFailed, Errors uint64
	// LastActivity is when a client was last heard; zero: never.
	LastActivity time.Time
	// ClientDescriptors are the open sockets of clients, to be left out when
	// descriptors are counted.
	ClientDescriptors int64
	// HistorySize is the number of events kept.
	HistorySize int64
	// TakenAt is when these numbers were read.
	TakenAt time.Time
	// MaxConnections is the hard limit on connections.
	MaxConnections int64
	// Goroutines of the hub's process; 0: it did not say.
	Goroutines int64
	// LogFailure says why the hub keeps events in memory only, because it cannot
	// write its event log; empty: it can.
	LogFailure string
}

// Sample is what a checker gave back as Counters in an earlier check.
type Sample struct {
	TakenAt time.Time
	// Generation of the hub at that time.
	Generation uint64
	Counters   map[string]float64
}

// Result is a checker's answer.
type Result struct {
	// Status of the check. Left at Unknown, with metrics present, it becomes the
	// worst status among them (see Status.Worse: an unknown metric counts as
	// worse than a warning). To say "unknown" on purpose, return an error, or a
	// metric that is Unknown.
	Status Status
	// Message is one sentence for people. Left empty while the status is not
	// healthy, it names the metrics that are the reason.
	Message string
	// Metrics, at most 256.
	Metrics []Metric
	// Counters are raw numbers that the host hands back as a Sample in later
	// checks: a checker keeps no memory of its own.
	Counters map[string]float64
	// ObservedAt is when the target was looked at; zero: the end of Check.
	ObservedAt time.Time
}

// overall is the status that travels: the author's, or the worst metric's.
func (r Result) overall() Status {
	if r.Status != Unknown || len(r.Metrics) == 0 {
		return r.Status
	}
	statuses := make([]Status, len(r.Metrics))
	for i, m := range r.Metrics {
		statuses[i] = m.Status
	}
	return Worst(statuses...)
}

// message is the text that travels: the author's, or the metrics that make the
// status, worst first.
func (r Result) message() string {
	status := r.overall()
	if r.Message != "" || status == Healthy {
		return r.Message
	}
	const most = 3
	var parts []string
	for _, m := range r.Metrics {
		if m.Status != status {
			continue
		}
		if len(parts) == most {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, m.sentence())
	}
	return strings.Join(parts, "; ")
}
