package hub

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/hashicorp/go-hclog"
	"github.com/upkeephub/upkeep/hub/internal/eventlog"
)

// Defaults of Options, as the reference documents them.
const (
	DefaultHost           = "localhost"
	DefaultPort           = 8765
	DefaultEventHistory   = 10_000
	DefaultMaxConnections = 10_000
	DefaultPingInterval   = 25 * time.Second
	DefaultPingTimeout    = 60 * time.Second
	DefaultMaxPayload     = 1_000_000
	DefaultDrain          = 250 * time.Millisecond
	DefaultPath           = "/socket.io/"
	DefaultJoinTimeout    = 10 * time.Second
	DefaultMaxQueuedBytes = 8 << 20
	DefaultMaxQueueAge    = 10 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
	DefaultRecoveryWindow = 2 * time.Minute
	DefaultLogEvents      = 100_000
	DefaultLogBytes       = 64 << 20
	DefaultLogAge         = 24 * time.Hour
)

// Options of a Hub. A field that is zero takes the default named beside it;
// ServerID and ServerVersion have none, and a Plain hub does not need them.
type Options struct {
	// Plain leaves the contract out: clients of the default namespace are greeted and
	// served by handlers of the caller's alone, see Hub.Of, and over HTTP nothing is
	// served but Path and what HandleEngine adds.
	Plain bool
	// Path is where Socket.IO clients connect, DefaultPath. It begins and ends with a
	// slash.
	Path string
	// JoinTimeout is how long a client may be connected without having joined a
	// namespace, DefaultJoinTimeout.
	JoinTimeout time.Duration
	// ServerID names the service in everything clients see. Required.
	ServerID string
	// ServerVersion is the version clients choose servers by, x.y.z. Required.
	ServerVersion string
	// Generation counts the hub processes of one host, from 1.
	Generation uint64
	// HostPID and HostStartedAt are the supervisor's: uptime in answers is since
	// HostStartedAt. Zero: this process, from New.
	HostPID       int64
	HostStartedAt time.Time
	// Host is the name or address as configured, DefaultHost. Requests whose
	// Host header names it are answered.
	Host string
	// Port is the configured port, 1 to 65535, DefaultPort. Nothing is bound by it.
	Port int
	// HostSocket is the path of the unix socket on which the supervisor answers
	// read-only requests. Empty: those requests are answered with 503.
	HostSocket string
	// ProbeSecret marks the supervisor's own probe. Empty: there is no probe.
	ProbeSecret string
	// EventHistory is how many events are kept for get_history, DefaultEventHistory.
	EventHistory int
	// LogDir is the directory of the event log, for this hub alone. A hub before it
	// that still has the log is waited for when this one begins to serve. Empty: events
	// and sessions are kept in memory, and end with the process.
	LogDir string
	// LogEvents, LogBytes and LogAge bound the event log; DefaultLogEvents,
	// DefaultLogBytes, DefaultLogAge. LogEvents is never less than EventHistory.
	LogEvents int
	LogBytes  int64
	LogAge    time.Duration
	// LogSync says when events have to be on the disk: "interval" (the default) within
	// 100 ms, "always" before they are delivered, "never" when the system likes.
	LogSync string
	// RecoveryWindow is for how long after its connection was lost a client gets its
	// session back, with what it missed; DefaultRecoveryWindow. Negative: never, and
	// no event carries an offset.
	RecoveryWindow time.Duration
	// MaxConnections is how many clients may be connected at once,
	// DefaultMaxConnections; lowered where the process may not open enough files.
	MaxConnections int64
	// PingInterval and PingTimeout are Engine.IO's, DefaultPingInterval and
	// DefaultPingTimeout.
	PingInterval time.Duration
	PingTimeout  time.Duration
	// MaxPayloadBytes bounds one message of a client, DefaultMaxPayload.
	MaxPayloadBytes int64
	// MaxQueuedBytes and MaxQueueAge bound what waits to be sent to one client, in
	// bytes and by its oldest byte; DefaultMaxQueuedBytes, DefaultMaxQueueAge.
	// SlowClients says what happens beyond: SlowDisconnect, the default, or SlowDrop.
	MaxQueuedBytes int
	MaxQueueAge    time.Duration
	SlowClients    SlowPolicy
	// WriteTimeout bounds one write to a client that takes nothing,
	// DefaultWriteTimeout. Beyond it the client is disconnected.
	WriteTimeout time.Duration
	// MessagesPerSecond and BytesPerSecond bound what one client sends,
	// DefaultMessagesPerSecond and DefaultBytesPerSecond. After a pause it may send
	// up to twice that in a second. Beyond it is told and disconnected.
	MessagesPerSecond int
	BytesPerSecond    int
	// MaxRooms, MaxNamespaces and MaxPendingAcks bound what one client takes part in
	// and what it is asked to acknowledge; DefaultMaxRooms, DefaultMaxNamespaces and
	// DefaultMaxPendingAcks. Beyond the first two it is told and disconnected; of the
	// last the oldest is no longer waited for.
	MaxRooms       int
	MaxNamespaces  int
	MaxPendingAcks int
	// HeaderTimeout and BodyTimeout bound how long a request may take to come,
	// IdleTimeout how long a connection is kept without one; DefaultHeaderTimeout,
	// DefaultBodyTimeout and DefaultIdleTimeout.
	HeaderTimeout time.Duration
	BodyTimeout   time.Duration
	IdleTimeout   time.Duration
	// MaxHandshakes is how many clients may be about to connect at once while the
	// hub is well, DefaultMaxHandshakes. Others wait in the listener's queue.
	MaxHandshakes int
	// EnableCORS answers same-origin requests with CORS headers. Requests of
	// another origin are refused either way, unless AllowedOrigins has it.
	EnableCORS bool
	// AllowedOrigins are origins of other sites, such as https://app.example.org,
	// whose pages may connect; "*" allows every one.
	AllowedOrigins []string
	// TLS has the certificate that Serve uses. Zero: clients connect without TLS.
	TLS TLS
	// Tokens says who may connect, and what for. Zero: everybody may do everything.
	Tokens TokenPolicy
	// Logger takes the hub's log. Nil: nothing is logged.
	Logger hclog.Logger
}

// withDefaults fills what is zero and reports every field that is wrong.
func (o Options) withDefaults(now time.Time) (Options, error) {
	var wrong []error
	complain := func(field string, got any, want string) {
		wrong = append(wrong, fmt.Errorf("hub options: %s is %v; give %s", field, got, want))
	}
	if o.Plain {
		defaultTo(&o.ServerID, "hub")
		defaultTo(&o.ServerVersion, "0.0.0")
	}
	if o.ServerID == "" {
		complain("ServerID", `""`, "a name that is not empty")
	}
	if _, err := semver.StrictNewVersion(o.ServerVersion); err != nil {
		complain("ServerVersion", fmt.Sprintf("%q", o.ServerVersion), "a version x.y.z")
	}
	if o.HostPID == 0 {
		o.HostPID = int64(os.Getpid())
	}
	if o.HostStartedAt.IsZero() {
		o.HostStartedAt = now
	}
	if o.Host == "" {
		o.Host = DefaultHost
	}
	defaultTo(&o.Port, DefaultPort)
	defaultTo(&o.Path, DefaultPath)
	defaultTo(&o.JoinTimeout, DefaultJoinTimeout)
	defaultTo(&o.EventHistory, DefaultEventHistory)
	defaultTo(&o.LogEvents, DefaultLogEvents)
	o.LogEvents = max(o.LogEvents, o.EventHistory)
	defaultTo(&o.LogBytes, DefaultLogBytes)
	defaultTo(&o.LogAge, DefaultLogAge)
	defaultTo(&o.LogSync, string(eventlog.SyncInterval))
	defaultTo(&o.RecoveryWindow, DefaultRecoveryWindow)
	defaultTo(&o.MaxConnections, DefaultMaxConnections)
	defaultTo(&o.PingInterval, DefaultPingInterval)
	defaultTo(&o.PingTimeout, DefaultPingTimeout)
	defaultTo(&o.MaxPayloadBytes, DefaultMaxPayload)
	defaultTo(&o.MaxQueuedBytes, DefaultMaxQueuedBytes)
	defaultTo(&o.MaxQueueAge, DefaultMaxQueueAge)
	defaultTo(&o.SlowClients, SlowDisconnect)
	defaultTo(&o.WriteTimeout, DefaultWriteTimeout)
	o.limitDefaults()
	if o.Port < 1 || o.Port > 65535 {
		complain("Port", o.Port, "1 to 65535")
	}
	if !validPath(o.Path) {
		complain("Path", fmt.Sprintf("%q", o.Path), "a path such as /socket.io/, with a slash at both ends")
	}
	if o.JoinTimeout < time.Millisecond {
		complain("JoinTimeout", o.JoinTimeout, "at least 1ms")
	}
	if o.EventHistory < 1 {
		complain("EventHistory", o.EventHistory, "at least 1")
	}
	if o.MaxConnections < 1 {
		complain("MaxConnections", o.MaxConnections, "at least 1")
	}
	if o.PingInterval < time.Millisecond {
		complain("PingInterval", o.PingInterval, "at least 1ms")
	}
	if o.PingTimeout < time.Millisecond {
		complain("PingTimeout", o.PingTimeout, "at least 1ms")
	}
	if o.MaxPayloadBytes < 1024 {
		complain("MaxPayloadBytes", o.MaxPayloadBytes, "at least 1024")
	}
	if o.MaxQueuedBytes < 64<<10 {
		complain("MaxQueuedBytes", o.MaxQueuedBytes, "at least 65536")
	}
	if o.MaxQueueAge < time.Millisecond {
		complain("MaxQueueAge", o.MaxQueueAge, "at least 1ms")
	}
	if o.SlowClients != SlowDisconnect && o.SlowClients != SlowDrop {
		complain("SlowClients", fmt.Sprintf("%q", o.SlowClients), `"disconnect" or "drop"`)
	}
	if o.WriteTimeout < time.Millisecond {
		complain("WriteTimeout", o.WriteTimeout, "at least 1ms")
	}
	if o.TLS.Enabled() && (o.TLS.CertificateFile == "" || o.TLS.KeyFile == "") {
		complain("TLS", "half set", "both CertificateFile and KeyFile")
	}
	for _, origin := range o.AllowedOrigins {
		if !isOrigin(origin) {
			complain("AllowedOrigins", fmt.Sprintf("%q", origin), `origins such as https://app.example.org, or "*"`)
		}
	}
	if err := o.Tokens.validate(); err != nil {
		wrong = append(wrong, err)
	}
	o.checkLimits(complain)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return o, errors.Join(wrong...)
}

// recovers reports whether sessions are recovered.
func (o Options) recovers() bool { return o.RecoveryWindow > 0 }

// logOptions are those of the event log. What is wrong with them is reported when it
// is opened.
func (o Options) logOptions(maxConnections int64) eventlog.Options {
	const perConnection = 4 // namespaces of one client, and clients that are away
	return eventlog.Options{
		Dir: o.LogDir, MaxEvents: o.LogEvents, MaxBytes: o.LogBytes, MaxAge: o.LogAge,
		Sync: eventlog.SyncPolicy(o.LogSync), SessionAge: max(o.RecoveryWindow, time.Second),
		MaxSessions: int(perConnection*maxConnections) + 1000, Log: o.Logger.Named("log"),
	}
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
