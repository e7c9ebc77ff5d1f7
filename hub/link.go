package hub

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upkeephub/upkeep/hub/internal/attribution"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// link is what the hub knows about one Engine.IO session, from its handshake
// request to its end. It rides in the context of the session's requests, which is
// how transports and handlers, made by the library, find it.
type link struct {
	hub *Hub
	// endpoint is where the session began; nil: nowhere, it is unknown.
	endpoint *endpoint
	// probe is set for the supervisor's own probe: by its first request or,
	// later, by the auth of its namespace connect.
	probe atomic.Bool
	// offsets is set when the client can use the offset of an event for the recovery
	// of its session. It is read when the client joins a namespace.
	offsets atomic.Bool
	// lossy is set once the client was not sent an event that it was to get.
	lossy atomic.Bool
	// outlet is the transport that sends; nil before the session exists.
	outlet atomic.Pointer[outlet]
	// namespaces are how many the client has joined.
	namespaces atomic.Int64
	// account is what the session has caused; nil for the probe. offences counts what
	// was refused of it, or failed, while anybody is quarantined.
	account  *attribution.Account
	offences atomic.Int64
	// ended is closed when the session is over.
	ended chan struct{}

	// holdMu is taken before the transport's lock, and mu after that.
	holdMu sync.Mutex
	// holding are the namespaces whose connect is being answered, see hold.
	holding []string

	mu sync.Mutex
	// admitted says that the session holds a place in the count of connections.
	admitted bool
	conn     engine.Socket // nil before the session exists
	client   *client       // nil before the namespace connect
	// visits are to namespaces other than the default one.
	visits   []*visit
	cause    string // why the hub itself closes the session; empty: it does not
	refused  bool   // a malformed packet was counted already
	over     bool
	departed []departure // sockets that have left
	// expiry closes the session at expires; nil: no token of it ends.
	expiry  *time.Timer
	expires time.Time
}

// departure is a socket that the library has finished with when the link is over.
type departure struct {
	adapter *adapter
	id      socket.SocketId
}

// depart notes that a socket has left, and reports false when the link is over, so
// that nothing more is to come of it.
func (l *link) depart(a *adapter, id socket.SocketId) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.departed = append(l.departed, departure{a, id})
	}
	return !l.over
}

// outlet is a transport of ours, as senders see it.
type outlet interface {
	// enqueue queues the frames of one message and never blocks. A WebSocket that
	// the writers have to see to is added to ready.
	enqueue(frames []*frame, volatile bool, ready *readyList)
	// hold and release delay what is sent until the client is registered.
	hold()
	release()
	// drained returns a channel that is closed once little waits to be sent.
	drained() <-chan struct{}
}

type linkKey struct{}

func newLink(h *Hub) *link { return &link{hub: h, ended: make(chan struct{})} }

// linkOf returns the link of a request. Every request that reaches the library
// has one.
func linkOf(ctx context.Context) *link {
	l, _ := ctx.Value(linkKey{}).(*link)
	return l
}

func (l *link) attach(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), linkKey{}, l))
}

// open is called once the session exists and the library listens to it. Only now
// may its transport read.
func (l *link) open(conn engine.Socket) {
	l.mu.Lock()
	l.conn = conn
	l.mu.Unlock()
	if t, ok := conn.Transport().(outlet); ok {
		l.outlet.Store(&t)
	}
	_ = conn.Once("close", func(args ...any) {
		reason, _ := first(args).(string)
		l.end(reason)
	})
	if conn.ReadyState() == "closed" { // before we listened
		l.end("transport close")
		return
	}
	if t, ok := conn.Transport().(*webSocket); ok {
		t.startReading()
	}
}

// opened reports whether the session came into being.
func (l *link) opened() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn != nil
}

// join ties the client of the default namespace to its session. It reports false
// when the session is over already.
func (l *link) join(c *client) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.client = c
	return true
}

// joined returns the client of the default namespace while it is there, else nil.
func (l *link) joined() *client {
	l.mu.Lock()
	c := l.client
	l.mu.Unlock()
	if c != nil {
		select {
		case <-c.left:
			return nil
		default:
		}
	}
	return c
}

// end is called once, when the session is over.
func (l *link) end(reason string) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	l.over = true
	client, cause, departed := l.client, l.cause, l.departed
	l.departed = nil
	if l.expiry != nil {
		l.expiry.Stop()
	}
	l.mu.Unlock()
	close(l.ended)
	for _, d := range departed {
		d.adapter.departed(d.id, l)
	}
	l.release()
	// The library closes a client itself when a packet cannot be understood or
	// comes at the wrong time, and when no namespace was joined in time.
	if reason == "parse error" || (reason == "forced close" && cause == "") {
		l.refuse("the client broke the protocol")
	}
	if client != nil {
		client.leave()
	}
}

// enqueue queues the frames of one message for the client, see outlet.
func (l *link) enqueue(frames []*frame, volatile bool, ready *readyList) {
	if t := l.outlet.Load(); t != nil {
		(*t).enqueue(frames, volatile, ready)
	}
}

// hold lets nothing out before the answer to the connect of a namespace, which is
// about to be sent, and the client's registration, see announce.
func (l *link) hold(nsp string) {
	l.holdMu.Lock()
	defer l.holdMu.Unlock()
	if slices.Contains(l.holding, nsp) {
		return
	}
	l.holding = append(l.holding, nsp)
	if t := l.outlet.Load(); t != nil {
		(*t).hold()
	}
}

// announce lets out the answer to the connect of a namespace, unless that of another
// is held. The library sends it before it registers the client, and would close a
// client whose first event comes in between.
func (l *link) announce(nsp string) {
	l.holdMu.Lock()
	defer l.holdMu.Unlock()
	l.holding = slices.DeleteFunc(l.holding, func(held string) bool { return held == nsp })
	if len(l.holding) > 0 {
		return
	}
	l.holding = nil
	if t := l.outlet.Load(); t != nil {
		(*t).release()
	}
}

// drained returns a channel that is closed once little, drainedBytes at most, waits
// to be sent to the client, or nothing will be sent any more.
func (l *link) drained() <-chan struct{} {
	if t := l.outlet.Load(); t != nil {
		return (*t).drained()
	}
	drained := make(chan struct{})
	close(drained)
	return drained
}

// dropped counts a message that the client was too slow for.
func (l *link) dropped() {
	l.lossy.Store(true)
	l.account.Add(attribution.SlowWrites, 1)
	l.hub.counters.dropped.Add(1)
}

// release gives back the session's place in the count of connections.
func (l *link) release() {
	l.mu.Lock()
	admitted := l.admitted
	l.admitted = false
	l.mu.Unlock()
	if admitted {
		l.hub.admitted.Add(-1)
	}
}

// refuse counts a malformed packet against its sender, once per session: the
// session ends with it.
func (l *link) refuse(reason string) {
	l.mu.Lock()
	counted := l.refused
	l.refused = true
	l.mu.Unlock()
	if counted || l.probe.Load() {
		return
	}
	l.hub.counters.errors.Add(1)
	l.account.Add(attribution.Refusals, 1)
	l.hub.refusals.log("malformed packet", "reason", reason, "client", l.remote())
}

// cut logs why a client that does not keep up is disconnected.
func (l *link) cut(reason string) {
	l.mu.Lock()
	if l.cause == "" {
		l.cause = reason
	}
	l.mu.Unlock()
	l.account.Add(attribution.SlowWrites, 1)
	l.hub.log.Warn("client cut off", "reason", reason, "client", l.remote())
}

// close ends the session for a reason of the hub's own, so that a stock client
// reconnects: a WebSocket gets a close frame with the given code, an open poll is
// answered with a close packet. It reports whether there was a session to close.
//
// A session that is just changing from polling to a WebSocket is closed a little
// later: its client has stopped to poll, and when the WebSocket ends before it counts,
// a stock client notices nothing before its ping timeout.
func (l *link) close(cause string, code int) bool {
	l.mu.Lock()
	conn, over := l.conn, l.over
	if l.cause == "" {
		l.cause = cause
	}
	l.mu.Unlock()
	if conn == nil || over {
		return false
	}
	if conn.Upgrading() {
		l.spawn(func() {
			l.awaitUpgrade(conn)
			l.shut(conn, code)
		})
		return true
	}
	l.shut(conn, code)
	return true
}

// upgradeGrace is how long a session may take to finish its upgrade when it is to be
// closed: its client may be busy with what it missed.
const upgradeGrace = 400 * time.Millisecond

// upgrading reports whether the session is changing from polling to a WebSocket.
func (l *link) upgrading() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn != nil && !l.over && l.conn.Upgrading()
}

func (l *link) awaitUpgrade(conn engine.Socket) {
	upgraded := make(chan struct{})
	var once sync.Once
	_ = conn.Once("upgrade", func(...any) { once.Do(func() { close(upgraded) }) })
	if !conn.Upgrading() { // before we listened
		return
	}
	timer := time.NewTimer(upgradeGrace)
	defer timer.Stop()
	select {
	case <-upgraded:
	case <-l.ended:
	case <-timer.C:
	}
}

func (l *link) shut(conn engine.Socket, code int) {
	if t, ok := conn.Transport().(*webSocket); ok {
		t.setCloseCode(code)
	}
	conn.Close(true)
}

func (l *link) remote() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return ""
	}
	return l.conn.RemoteAddress()
}

// settle waits until the events that were read so far are handled, so that a
// client cannot queue more than it was allowed to send at once. It gives up when
// the session ends or stop is closed.
func (l *link) settle(stop <-chan struct{}) {
	l.mu.Lock()
	client, visits := l.client, l.visits
	l.mu.Unlock()
	for _, v := range visits {
		if !l.await(v.settling(), v.left, stop) {
			return
		}
	}
	if client != nil {
		l.await(client.settling(), client.left, stop)
	}
}

// await waits until a client has settled or left, and reports false when the session
// has ended or stop is closed.
func (l *link) await(settled, left, stop <-chan struct{}) bool {
	select {
	case <-settled:
	case <-left:
	case <-l.ended:
		return false
	case <-stop:
		return false
	}
	return true
}

func (l *link) spawn(fn func()) { l.hub.tasks.spawn(fn) }

// refusalLog logs refused input without letting a storm of it fill the log: the
// first of an interval is logged, with the number that were left out before it.
type refusalLog struct {
	hub *Hub

	mu      sync.Mutex
	next    time.Time
	skipped int
}

const refusalInterval = 10 * time.Second

func (r *refusalLog) log(message string, args ...any) {
	now := time.Now()
	r.mu.Lock()
	if now.Before(r.next) {
		r.skipped++
		r.mu.Unlock()
		return
	}
	skipped := r.skipped
	r.next, r.skipped = now.Add(refusalInterval), 0
	r.mu.Unlock()
	r.hub.log.Warn(message, append(args, "similar_before", skipped)...)
}

// first returns the first of the arguments an emitter hands over, or nil.
func first(args []any) any {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

// sessionOf finds the link of a live session by its Engine.IO id.
func (e *endpoint) sessionOf(id string) *link {
	if conn, ok := e.server.Clients().Load(id); ok {
		return linkOf(conn.Request().Context())
	}
	return nil
}
