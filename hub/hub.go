package hub

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/go-hclog"
	"github.com/upkeephub/upkeep/hub/internal/attribution"
	"github.com/upkeephub/upkeep/hub/internal/eventlog"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/config"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

const (
	// takeLogTimeout bounds the wait for another process that has the event log.
	takeLogTimeout = 10 * time.Second
	headerBytes    = 32 << 10
	// ownDescriptors is what the hub keeps of its file descriptors for itself, and
	// spareConnections what it keeps of its TCP connections for HTTP requests.
	ownDescriptors   = 64
	spareConnections = 256
	// connectionsPerClient is what one client needs at most: polling takes two.
	connectionsPerClient = 2
)

// ErrStopped is returned by Serve when the hub was stopped before.
var ErrStopped = errors.New("the hub is stopped")

// Hub is one Socket.IO server. New makes it, Serve accepts clients, Stop ends it;
// it cannot be started again.
type Hub struct {
	opts           Options
	log            hclog.Logger
	maxConnections int64
	maxTCP         int64
	probeSum       [sha256.Size]byte
	stamp          []byte // what is added to an event, from the comma up to the time
	bounds         bounds

	server      *socket.Server
	endpoints   []*endpoint // the first is Socket.IO's
	handlers    map[string]handler
	middlewares []func(*socket.Socket) error
	routes      map[string]route
	host        *hostClient
	gate        *tokenGate
	tls         *certificates // nil: clients connect without TLS
	hosts       atomic.Pointer[hostRule]

	counters   counters
	clients    clients
	relay      relay
	adapter    *adapter // of the default namespace
	adapters   sync.Map // of all, by the name of the namespace
	writers    *writers
	refusals   refusalLog
	blame      attribution.Ledger
	quarantine quarantine
	ramp       *ramp
	tasks      tasks
	admitted   atomic.Int64 // sessions that take a place, and handshakes under way

	takeLog sync.Once
	tookLog error // what taking the log came to, read after takeLog

	leaving []*link // of those whom release told

	stopping atomic.Bool
	mu       sync.Mutex
	servers  []*http.Server
	bound    []net.Listener
	conns    connections
}

// New builds a hub. It accepts nothing and starts nothing yet. The error names
// every option that is wrong.
func New(opts Options) (*Hub, error) {
	opts, err := opts.withDefaults(time.Now())
	if err != nil {
		return nil, err
	}
	h := &Hub{opts: opts, log: opts.Logger, maxConnections: opts.MaxConnections}
	h.bounds = bounds{bytes: opts.MaxQueuedBytes, age: opts.MaxQueueAge, write: opts.WriteTimeout, policy: opts.SlowClients}
	serverID, err := json.Marshal(opts.ServerID)
	if err != nil {
		return nil, fmt.Errorf("encode the server id: %w", err)
	}
	h.stamp = fmt.Appendf(nil, `,"server_id":%s,"received_at":"`, serverID)
	h.gate = newTokenGate(opts.Tokens)
	if opts.TLS.Enabled() {
		if h.tls, err = newCertificates(opts.TLS, h.log); err != nil {
			return nil, err
		}
	}
	h.writers = newWriters(&h.tasks)
	if limit := descriptorLimit(); limit > 0 {
		affordable := max(1, limit-ownDescriptors-spareConnections)
		h.maxConnections = min(h.maxConnections, affordable)
		h.maxTCP = max(1, limit-ownDescriptors)
	}
	wanted := h.maxConnections*connectionsPerClient + spareConnections
	if h.maxTCP == 0 || wanted < h.maxTCP {
		h.maxTCP = wanted
	}
	if h.maxConnections < opts.MaxConnections {
		h.log.Warn("fewer clients than configured can be admitted: too few files may be opened; raise the limit (ulimit -n)",
			"wanted", opts.MaxConnections, "admitted", h.maxConnections)
	}
	h.probeSum = sha256.Sum256([]byte(opts.ProbeSecret))
	h.clients = clients{hub: h, byID: make(map[socket.SocketId]*client)}
	h.relay.hub = h
	if h.relay.log, err = eventlog.Open(opts.logOptions(h.maxConnections)); err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	h.refusals.hub, h.quarantine.hub = h, h
	h.blame.RelayedAs = "claude_event"
	h.ramp = newRamp(h, opts.MaxHandshakes)
	h.conns.open = make(map[*countedConn]struct{})
	h.host = newHostClient(opts.HostSocket)
	h.handlers = h.contract()
	h.routes = h.makeRoutes()
	h.setHostRule(nil)

	options := socket.DefaultServerOptions()
	options.SetPath(opts.Path)
	options.SetServeClient(false)
	h.configureEngine(options)
	options.SetConnectTimeout(opts.JoinTimeout)
	options.SetParser(sessionParser{newPacketParser(), h})
	if opts.recovers() {
		recovery := socket.DefaultConnectionStateRecovery()
		recovery.SetMaxDisconnectionDuration(opts.RecoveryWindow.Milliseconds())
		recovery.SetSkipMiddlewares(false)
		options.SetConnectionStateRecovery(recovery)
	}
	options.SetAdapter(adapterConstructor{h})
	h.server = socket.NewServer(nil, options)
	h.adapter = h.server.Sockets().Adapter().(*adapter)
	h.server.Use(h.onMiddleware)
	if err := h.server.On("new_namespace", h.guardNamespace); err != nil {
		return nil, fmt.Errorf("listen for namespaces: %w", err)
	}
	if err := h.server.On("connection", h.onConnection); err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	h.mount(opts.Path, &endpoint{handler: h.server.ServeHandler(nil), server: h.server.Engine()})
	// After the library's own listener: when this one runs, the library listens.
	if err := h.server.Engine().On("connection", h.onSession); err != nil {
		return nil, fmt.Errorf("listen for sessions: %w", err)
	}
	if opts.LogDir == "" { // nobody can have it
		if err := h.TakeLog(context.Background()); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// configureEngine sets what every Engine.IO server of the hub has.
func (h *Hub) configureEngine(options config.ServerOptionsInterface) {
	options.SetPingInterval(h.opts.PingInterval)
	options.SetPingTimeout(h.opts.PingTimeout)
	options.SetMaxHttpBufferSize(h.opts.MaxPayloadBytes)
	options.SetTransports(types.NewSet[transports.TransportCtor](&pollingTransport{}, &webSocketTransport{}))
}

func (h *Hub) onSession(args ...any) {
	conn, ok := first(args).(engine.Socket)
	if !ok {
		return
	}
	linkOf(conn.Request().Context()).open(conn)
}

// isProbe compares a secret with the probe's, in constant time.
func (h *Hub) isProbe(secret string) bool {
	if h.opts.ProbeSecret == "" || secret == "" {
		return false
	}
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], h.probeSum[:]) == 1
}

func (h *Hub) setHostRule(bound []netip.Addr) {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	h.hosts.Store(&hostRule{configured: hostOf(h.opts.Host), hostname: name, bound: bound})
}

// TakeLog makes this hub the one that writes the event log of Options.LogDir. It
// waits for the hub that is, until ctx ends, and reads what that one has written
// since New. Serve does it, if nobody has before; who uses Handler alone calls it
// first. Later calls return what the first one did.
func (h *Hub) TakeLog(ctx context.Context) error {
	h.takeLog.Do(func() { h.tookLog = h.relay.takeOver(ctx) })
	return h.tookLog
}

// Serve accepts clients on the listeners until Stop, and returns nil then. It
// blocks, is called once, and closes the listeners, but never shuts down a socket
// that another process shares. An error means that accepting has failed, or that
// another process keeps the event log for longer than 10 s.
func (h *Hub) Serve(listeners ...net.Listener) error {
	ctx, cancel := context.WithTimeout(context.Background(), takeLogTimeout)
	err := h.TakeLog(ctx)
	cancel()
	if err != nil && !h.stopping.Load() {
		for _, l := range listeners {
			_ = l.Close()
		}
		return err
	}
	var bound []netip.Addr
	for _, l := range listeners {
		if addr, err := netip.ParseAddrPort(l.Addr().String()); err == nil {
			bound = append(bound, addr.Addr().Unmap().WithZone(""))
		}
	}
	h.setHostRule(bound)

	h.mu.Lock()
	if h.stopping.Load() {
		h.mu.Unlock()
		for _, l := range listeners {
			_ = l.Close()
		}
		return ErrStopped
	}
	failures := make(chan error, len(listeners)) // one from each server
	for _, l := range listeners {
		server := &http.Server{
			Handler:           h.Handler(),
			ReadHeaderTimeout: h.opts.HeaderTimeout,
			IdleTimeout:       h.opts.IdleTimeout,
			MaxHeaderBytes:    headerBytes,
			ConnState:         h.ramp.onState,
			ErrorLog:          h.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		}
		counted := &countedListener{Listener: l, open: &h.counters.descriptors, limit: h.maxTCP, all: &h.conns, ramp: h.ramp, ended: make(chan struct{})}
		h.servers = append(h.servers, server)
		h.bound = append(h.bound, counted)
		var accepting net.Listener = counted
		if h.tls != nil {
			accepting = tls.NewListener(counted, h.tls.config())
		}
		h.tasks.spawn(func() { failures <- server.Serve(accepting) })
	}
	h.mu.Unlock()
	h.log.Info("hub accepting", "generation", h.opts.Generation, "host_pid", h.opts.HostPID,
		"host", h.opts.Host, "port", h.opts.Port, "bound", bound, "max_connections", h.maxConnections)

	var failed error
	for range listeners {
		err := <-failures
		if err != nil && !h.stopping.Load() {
			failed = errors.Join(failed, fmt.Errorf("accept clients: %w", err))
			h.closeListeners()
		}
	}
	return failed
}

func (h *Hub) closeListeners() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.bound {
		_ = l.Close()
	}
}

// Stop ends the hub and returns the last statistics. It stops accepting, gives the
// events that were accepted up to drain to finish (0: DefaultDrain), tells every
// client by closing its transport, so that stock clients reconnect, and waits for
// its goroutines. It takes drain plus about 0.8 s at most, less if ctx ends; what
// is open then is cut off.
func (h *Hub) Stop(ctx context.Context, reason string, drain time.Duration) Statistics {
	h.release(ctx, reason, drain)
	h.finish(ctx)
	return h.Statistics()
}

// release is the part of Stop after which another hub may take over: nobody is
// accepted, what was accepted is handled, every client is being told, and the event
// log is free.
func (h *Hub) release(ctx context.Context, reason string, drain time.Duration) {
	h.mu.Lock()
	h.stopping.Store(true)
	h.mu.Unlock()
	h.log.Info("hub stopping", "reason", reason, "clients", h.counters.connected.Load())
	h.closeListeners()

	if drain <= 0 {
		drain = DefaultDrain
	}
	drained, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	h.drain(drained)

	for _, l := range h.sessions() {
		l.close("the hub stops", websocket.CloseGoingAway)
		h.leaving = append(h.leaving, l)
	}
	h.relay.close()
}

// finish is the rest of Stop.
func (h *Hub) finish(ctx context.Context) {
	links := h.leaving
	patience := closeTimeout + 50*time.Millisecond
	if slices.ContainsFunc(links, (*link).upgrading) {
		patience += upgradeGrace
	}
	told, cancelTold := context.WithTimeout(ctx, patience)
	defer cancelTold()
	for _, l := range links {
		select {
		case <-l.ended:
		case <-told.Done():
		}
	}
	h.mu.Lock()
	servers := slices.Clone(h.servers)
	h.mu.Unlock()
	for _, server := range servers { // lets the last polls be answered
		_ = server.Shutdown(told)
	}
	h.tasks.wait(told)

	h.server.Close(nil)
	for _, e := range h.endpoints {
		e.server.Close()
	}
	for _, server := range servers {
		_ = server.Close()
	}
	h.conns.closeAll()
	h.host.close()
	ended, cancelEnded := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancelEnded()
	if !h.tasks.wait(ended) {
		h.log.Warn("hub stopped with work left")
	}
}

// drain waits until the events that were read so far are handled, or ctx ends.
func (h *Hub) drain(ctx context.Context) {
	all := h.clients.all()
	settling := make([]<-chan struct{}, len(all))
	for i, c := range all {
		settling[i] = c.settling()
	}
	for i, c := range all {
		select {
		case <-settling[i]:
		case <-c.left:
		case <-ctx.Done():
			h.log.Warn("accepted events did not finish in time")
			return
		}
	}
}

// sessions returns the links of all live sessions.
func (h *Hub) sessions() []*link {
	var links []*link
	for _, e := range h.endpoints {
		e.server.Clients().Range(func(_ string, conn engine.Socket) bool {
			if l := linkOf(conn.Request().Context()); l != nil {
				links = append(links, l)
			}
			return true
		})
	}
	return links
}

// ClearConnections closes the transport of every client that is connected now,
// at random times within spread, so that clients reconnect by themselves and not
// all at once. It blocks for that long and returns how many it closed; the error
// is the context's when that ends first. The probe is left alone.
func (h *Hub) ClearConnections(ctx context.Context, reason string, spread time.Duration) (int, error) {
	links := slices.DeleteFunc(h.sessions(), func(l *link) bool { return l.probe.Load() })
	h.log.Info("clearing connections", "reason", reason, "sessions", len(links), "spread", spread)
	times := make([]time.Duration, len(links))
	for i := range times {
		times[i] = time.Duration(rand.Int64N(int64(max(spread, 0)) + 1))
	}
	slices.Sort(times)
	start, closed := time.Now(), 0
	for i, l := range links {
		if wait := time.Until(start.Add(times[i])); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return closed, ctx.Err()
			}
		}
		if l.close("connections are cleared", websocket.CloseGoingAway) {
			closed++
		}
	}
	return closed, nil
}
