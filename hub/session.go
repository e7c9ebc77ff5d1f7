package hub

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/upkeephub/upkeep/hub/internal/eventlog"
	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// versionAuthKey is how clients of the reference say their version when they
// connect. Their handlers take one argument and fail when an offset follows it.
const versionAuthKey = "claude_mpm_version"

// pendingTimeout is how long a session that is being restored waits for its client
// to pass the middlewares.
const pendingTimeout = 10 * time.Second

// farewellTimeout bounds how long a client that comes back waits for the end of its
// last connection: a poll may be on its way, see polling.DoClose.
const farewellTimeout = 4 * closeTimeout

var (
	errTooMuch    = errors.New("the client has missed more than may wait for it")
	errStillThere = errors.New("the client's last connection does not end")
)

// takesOffsets reports whether the client of a handshake can use what follows the
// arguments of an event. python-socketio passes it to handlers, which fail then: its
// HTTP libraries name Python, or no agent at all but an origin, and offer no
// extensions.
func takesOffsets(header http.Header) bool {
	agent := header.Get("User-Agent")
	if strings.Contains(strings.ToLower(agent), "python") {
		return false
	}
	return agent != "" || header.Get("Origin") == "" || header.Get("Sec-WebSocket-Extensions") != ""
}

// sessionParser has the adapters learn the private id of each session: the library
// shows it to nobody but the encoder of the answer to a connect.
type sessionParser struct {
	parser.Parser
	hub *Hub
}

func (p sessionParser) NewEncoder() parser.Encoder {
	return sessionEncoder{p.Parser.NewEncoder(), p.hub}
}

type sessionEncoder struct {
	parser.Encoder
	hub *Hub
}

// connectData is what the library answers to a connect.
type connectData = *struct {
	Sid socket.SocketId         `json:"sid" msgpack:"sid"`
	Pid socket.PrivateSessionId `json:"pid,omitempty" msgpack:"pid,omitempty"`
}

func (e sessionEncoder) Encode(p *parser.Packet) []types.BufferInterface {
	if p.Type == parser.CONNECT {
		if data, ok := p.Data.(connectData); ok && data.Pid != "" {
			if a, ok := e.hub.adapters.Load(p.Nsp); ok {
				a.(*adapter).begin(data.Sid, string(data.Pid))
			}
		}
	}
	return e.Encoder.Encode(p)
}

// pending is a session that is being restored: its client has shown its private id
// and has not passed the middlewares yet.
type pending struct {
	since  time.Time
	over   chan struct{} // closed when it is restored, or is not
	rooms  map[socket.Room]uint64
	missed []*delivery     // what it has missed up to next
	next   eventlog.Offset // what follows is read when it is here
}

// begin keeps the session of a member that has just joined, before the member
// learns its private id.
func (a *adapter) begin(id socket.SocketId, pid string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, ok := a.members[id]
	if !ok || m.index < 0 || m.link.probe.Load() {
		return
	}
	m.pid = pid
	a.saveLocked(m, time.Time{})
}

// saveLocked writes a member's session down.
func (a *adapter) saveLocked(m *member, closedAt time.Time) {
	if m.pid == "" {
		return
	}
	rooms := make(map[string]uint64, len(m.since))
	for room, since := range m.since {
		rooms[string(room)] = since
	}
	a.hub.relay.log.PutSession(eventlog.Session{
		PID: m.pid, SID: string(m.id), Namespace: m.nsp, Rooms: rooms, ClosedAt: closedAt,
	})
}

// PersistSession keeps the session of a client that was lost and may come back.
func (a *adapter) PersistSession(s *socket.SessionToPersist) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, ok := a.members[s.Sid]
	if !ok || m.pid != string(s.Pid) || m.link.lossy.Load() { // who was not sent everything is not told so
		return
	}
	a.saveLocked(m, time.Now())
	m.pid, m.kept = "", true
}

// RestoreSession is asked when a client shows the private id of a session, and the
// offset of the last event it has seen. It returns the session if the log has all
// that the client has missed, else nil. What it has missed is sent when it has
// passed the middlewares, see restore.
func (a *adapter) RestoreSession(pid socket.PrivateSessionId, text string) (*socket.Session, error) {
	log := a.hub.relay.log
	offset, err := eventlog.ParseOffset(text)
	if err != nil {
		return nil, err
	}
	session, ok := log.Session(string(pid))
	if !ok || session.Namespace != a.Nsp().Name() {
		return nil, eventlog.ErrUnknownOffset
	}
	id := socket.SocketId(session.SID)
	p, before, err := a.await(id)
	if err != nil {
		return nil, err
	}
	err = a.farewell(before)
	if err == nil {
		session, ok = log.Session(string(pid)) // as its last connection left it
		if !ok {
			err = eventlog.ErrUnknownOffset
		}
	}
	if err == nil {
		err = a.collect(p, session, offset)
	}
	if err != nil {
		a.mu.Lock()
		a.settleLocked(id)
		a.mu.Unlock()
		return nil, err
	}
	rooms := types.NewSet[socket.Room]()
	for room := range p.rooms {
		rooms.Add(room)
	}
	return &socket.Session{SessionToPersist: &socket.SessionToPersist{Sid: id, Pid: pid, Rooms: rooms}}, nil
}

// await makes a session pending. It waits for an attempt to restore it that is under
// way, perhaps over a connection that the client has given up again. before is the
// session's last connection, if anything is left of it.
func (a *adapter) await(id socket.SocketId) (p *pending, before *link, err error) {
	timer := time.NewTimer(farewellTimeout)
	defer timer.Stop()
	for {
		a.mu.Lock()
		other := a.pending[id]
		if other == nil || time.Since(other.since) > pendingTimeout {
			a.settleLocked(id)
			p = &pending{since: time.Now(), over: make(chan struct{})}
			a.pending[id] = p
			before = a.departing[id]
			if twin := a.members[id]; twin != nil && twin.link != nil {
				before = twin.link
			}
			a.mu.Unlock()
			return p, before, nil
		}
		a.mu.Unlock()
		select {
		case <-other.over:
		case <-timer.C:
			return nil, nil, errStillThere // somebody else is coming back as this one
		}
	}
}

// settleLocked ends the waiting for a session's restoration.
func (a *adapter) settleLocked(id socket.SocketId) {
	if p := a.pending[id]; p != nil {
		close(p.over)
		delete(a.pending, id)
	}
}

// farewell ends the connection that a client has given up, if the hub has not noticed
// yet, and waits until the library is done with it: it knows sockets by their id, and
// would take the new one for the old.
func (a *adapter) farewell(before *link) error {
	if before == nil {
		return nil
	}
	before.close("its client has come back", websocket.CloseGoingAway)
	timer := time.NewTimer(farewellTimeout)
	defer timer.Stop()
	select {
	case <-before.ended:
		return nil
	case <-timer.C:
		return errStillThere
	}
}

// departed forgets a link that is over.
func (a *adapter) departed(id socket.SocketId, l *link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.departing[id] == l {
		delete(a.departing, id)
	}
}

// collect reads what a client has missed.
func (a *adapter) collect(p *pending, session eventlog.Session, offset eventlog.Offset) error {
	p.rooms = make(map[socket.Room]uint64, len(session.Rooms))
	for room, since := range session.Rooms {
		p.rooms[socket.Room(room)] = since
	}
	id := socket.SocketId(session.SID)
	p.next = offset
	size := 0
	err := a.hub.relay.log.Since(offset, func(r *eventlog.Record, at eventlog.Offset) bool {
		p.next = at
		if d := a.missed(r, at, id, p.rooms); d != nil {
			p.missed = append(p.missed, d)
			size += len(r.Data)
			for _, attachment := range r.Attachments {
				size += len(attachment)
			}
		}
		return size <= a.hub.bounds.bytes/2
	})
	if err == nil && size > a.hub.bounds.bytes/2 {
		err = errTooMuch
	}
	return err
}

// missed returns what a member of rooms, each since a sequence, was to get of an
// event; nil: nothing. It was there since it was in the room of its own id.
func (a *adapter) missed(r *eventlog.Record, at eventlog.Offset, id socket.SocketId, rooms map[socket.Room]uint64) *delivery {
	in := func(name string) bool {
		since, member := rooms[socket.Room(name)]
		return member && since < r.Sequence
	}
	if r.Namespace != a.Nsp().Name() || !in(string(id)) {
		return nil
	}
	for _, name := range r.Except {
		if in(name) {
			return nil
		}
	}
	wanted := len(r.Rooms) == 0
	for _, name := range r.Rooms {
		wanted = wanted || in(name)
	}
	if !wanted {
		return nil
	}
	return &delivery{payload: payload{args: r.Data, attachments: r.Attachments}, offset: at.String()}
}

// activate lets events go to a member that has joined its namespace. One whose
// session is restored gets what it has missed first. No event comes between.
func (r *relay) activate(a *adapter, m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.mu.Lock()
	p := a.pending[m.id]
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.settleLocked(m.id)
		a.mu.Unlock()
	}()
	switch {
	case !m.socket.Recovered():
	case p == nil || r.restore(a, m, p) != nil:
		// The library has taken the session for restored, so the client would too.
		r.hub.tasks.spawn(func() { m.link.close("its session could not be restored", websocket.CloseGoingAway) })
		return
	default:
		r.hub.counters.recovered.Add(1)
	}
	since := r.log.Last().Sequence
	a.mu.Lock()
	if m.since == nil {
		m.since = make(map[socket.Room]uint64)
	}
	if p != nil {
		for room, at := range p.rooms {
			m.since[room] = at
		}
	} else {
		m.since[socket.Room(m.id)] = since
	}
	a.mu.Unlock()
	a.admit(m)
}

// restore sends a member what it has missed.
func (r *relay) restore(a *adapter, m *member, p *pending) error {
	var late []*delivery
	if err := r.log.Since(p.next, func(record *eventlog.Record, at eventlog.Offset) bool {
		if d := a.missed(record, at, m.id, p.rooms); d != nil {
			late = append(late, d)
		}
		return true
	}); err != nil {
		return err
	}
	m.link.hold(m.nsp) // until the answer to its connect
	for _, d := range p.missed {
		m.send(d)
	}
	for _, d := range late {
		m.send(d)
	}
	return nil
}

// position sends a client an event of its own, with the offset that it is at: from
// there on it can be told what it missed.
func (r *relay) position(c *client, p payload) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := &delivery{rooms: []socket.Room{socket.Room(c.socket.Id())}, payload: p}
	m := r.hub.adapter.only(d)
	if m == nil {
		return nil // it has left
	}
	if r.hub.opts.recovers() && !c.probe {
		d.offset = r.log.Last().String()
	}
	m.send(d)
	return nil
}
