package hub

import (
	"errors"
	"sync"
	"time"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// adapterConstructor makes the hub's adapters.
type adapterConstructor struct{ hub *Hub }

func (c adapterConstructor) New(nsp socket.Namespace) socket.Adapter {
	a := &adapter{
		Adapter: socket.MakeAdapter(),
		hub:     c.hub,
		members: make(map[socket.SocketId]*member),
		rooms:   make(map[socket.Room]map[*member]struct{}),

		pending:   make(map[socket.SocketId]*pending),
		departing: make(map[socket.SocketId]*link),
	}
	a.Prototype(a)
	a.Construct(nsp)
	c.hub.adapters.Store(nsp.Name(), a)
	return a
}

// adapter knows the sockets of one namespace and their rooms, and delivers events
// to them. Against the library's own it encodes an event once, or twice where some
// clients get an offset, makes one frame of each encoding, and hands that to every
// client: what an event costs for one client more is a place in its outbox. The
// rest of the work is the writers'.
//
// Its lock is taken after the relay's and before a transport's.
type adapter struct {
	socket.Adapter // for what is not overridden: events, sessions, other servers
	hub            *Hub

	mu      sync.Mutex
	members map[socket.SocketId]*member
	// active are the members that events go to, each at its index.
	active []*member
	// rooms holds whoever joined a room other than the one of its own id.
	rooms map[socket.Room]map[*member]struct{}
	round uint64 // counts selections, see member.round
	// pending are sessions that are being restored, and departing the links of those
	// who left and whose connections the library may still be busy with.
	pending   map[socket.SocketId]*pending
	departing map[socket.SocketId]*link
}

var _ socket.Adapter = (*adapter)(nil)

// member is a socket as its adapter knows it.
type member struct {
	id      socket.SocketId
	nsp     string
	socket  *socket.Socket // nil before it is active
	link    *link
	offsets bool          // its client can use offsets
	index   int           // in adapter.active; -1: not there
	own     bool          // in the room of its own id
	rooms   []socket.Room // others
	round   uint64        // the selection in which it was left out or found last
	pid     string        // names its session; empty: it has none, or it is kept
	kept    bool          // its session is kept for its return
	// since says for each of its rooms behind which event it joined.
	since map[socket.Room]uint64
	asked pendingAcks
}

// delivery is one event and whom it is for.
type delivery struct {
	rooms    []socket.Room // none: everybody
	except   []socket.Room
	volatile bool // not for clients that are busy
	// id and ack ask every client for an acknowledgement.
	id      *uint64
	ack     socket.Ack
	payload payload
	offset  string // for clients that can use it; empty: there is none
}

// deliver hands one event to everybody whom it is for, and returns how many that
// are. It never waits for a client. The relay calls it with its lock held, once the
// event is kept, so that all clients get events in the order in which they are kept.
func (a *adapter) deliver(d *delivery) int {
	var plain, offset []*frame // made when the first client needs them
	var ready readyList
	a.mu.Lock()
	count := 0
	a.selectLocked(d.rooms, d.except, func(m *member) {
		count++
		if d.ack != nil {
			m.expect(*d.id, d.ack)
		}
		frames := &plain
		text := ""
		if m.offsets && d.offset != "" {
			frames, text = &offset, d.offset
		}
		if *frames == nil {
			*frames = d.payload.frames(m.nsp, d.id, text, true)
		}
		m.link.enqueue(*frames, d.volatile, &ready)
	})
	a.mu.Unlock()
	a.hub.writers.add(ready)
	return count
}

// send sends an event to this member alone, whoever else it is for, and however slow
// it is. It may be called before the member is admitted, by relay.activate.
func (m *member) send(d *delivery) {
	offset := ""
	if m.offsets {
		offset = d.offset
	}
	var ready readyList
	m.link.enqueue(d.payload.frames(m.nsp, d.id, offset, false), d.volatile, &ready)
	m.link.hub.writers.add(ready)
}

// selectLocked calls fn once for each active member that is in one of the rooms,
// or for each of all when there are none, and in none of the excepted ones.
func (a *adapter) selectLocked(rooms, except []socket.Room, fn func(*member)) {
	a.round++
	round := a.round
	for _, room := range except {
		a.eachLocked(room, func(m *member) { m.round = round })
	}
	if len(rooms) == 0 {
		for _, m := range a.active {
			if m.round != round {
				fn(m)
			}
		}
		return
	}
	for _, room := range rooms {
		a.eachLocked(room, func(m *member) {
			if m.round != round && m.index >= 0 {
				m.round = round
				fn(m)
			}
		})
	}
}

func (a *adapter) eachLocked(room socket.Room, fn func(*member)) {
	if m, ok := a.members[socket.SocketId(room)]; ok && m.own {
		fn(m)
	}
	for m := range a.rooms[room] {
		fn(m)
	}
}

// AddAll puts a socket into rooms. The library calls it with the room of the
// socket's own id when the socket has joined the namespace, and perhaps before with
// rooms of a session that is restored.
func (a *adapter) AddAll(id socket.SocketId, rooms *types.Set[socket.Room]) {
	joins, changed, crowded := false, false, false
	a.hub.relay.mu.Lock() // so that no event comes while it joins
	last := a.hub.relay.log.Last().Sequence
	a.mu.Lock()
	m, known := a.members[id]
	if !known {
		m = &member{id: id, nsp: a.Nsp().Name(), index: -1}
		a.members[id] = m
	}
	for _, room := range rooms.Keys() {
		if room == socket.Room(id) {
			joins = m.index < 0
			m.own = true
			continue
		}
		in := a.rooms[room]
		if _, there := in[m]; !there && len(m.rooms) >= a.hub.opts.MaxRooms {
			crowded = true
			continue
		}
		if in == nil {
			in = make(map[*member]struct{})
			a.rooms[room] = in
		}
		if _, there := in[m]; !there {
			in[m] = struct{}{}
			m.rooms = append(m.rooms, room)
			if m.index >= 0 {
				m.since[room] = last
				changed = true
			}
		}
	}
	if changed {
		a.saveLocked(m, time.Time{})
	}
	a.mu.Unlock()
	a.hub.relay.mu.Unlock()
	if crowded && m.link != nil {
		m.link.exceed(tooManyRooms(a.hub))
	}
	if !joins {
		return
	}
	s, ok := a.Nsp().Sockets().Load(id)
	if !ok { // a session that is restored has its own room, too
		return
	}
	a.mu.Lock()
	m.socket = s
	m.link = linkOf(s.Request().Context())
	m.offsets = m.link.offsets.Load()
	a.mu.Unlock()
	a.hub.relay.activate(a, m)
	m.link.arrived()
	if m.link.namespaces.Add(1) > int64(a.hub.opts.MaxNamespaces) {
		m.link.exceed(tooManyNamespaces(a.hub))
	}
}

// admit makes a member active: from now on events go to it. Nothing leaves before
// the answer to its connect, which is about to come. The relay calls it with its lock held.
func (a *adapter) admit(m *member) {
	m.link.hold(m.nsp)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.members[m.id] == m && m.index < 0 {
		m.index = len(a.active)
		a.active = append(a.active, m)
	}
}

// Del takes a socket out of a room.
func (a *adapter) Del(id socket.SocketId, room socket.Room) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, ok := a.members[id]
	if !ok {
		return
	}
	if room == socket.Room(id) {
		m.own = false
		return
	}
	a.leaveLocked(m, room)
	for i := range m.rooms {
		if m.rooms[i] == room {
			m.rooms = append(m.rooms[:i], m.rooms[i+1:]...)
			delete(m.since, room)
			a.saveLocked(m, time.Time{})
			break
		}
	}
}

func (a *adapter) leaveLocked(m *member, room socket.Room) {
	in := a.rooms[room]
	delete(in, m)
	if len(in) == 0 {
		delete(a.rooms, room)
	}
}

// DelAll forgets a socket, and its session unless that was kept for its return.
func (a *adapter) DelAll(id socket.SocketId) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, ok := a.members[id]
	if !ok {
		return
	}
	delete(a.members, id)
	if m.index < 0 {
		a.settleLocked(id) // it was not admitted
	} else if m.kept && m.link.depart(a, id) {
		a.departing[id] = m.link
	}
	if m.pid != "" {
		a.hub.relay.log.DropSession(m.pid)
	}
	for _, room := range m.rooms {
		a.leaveLocked(m, room)
	}
	if m.index < 0 {
		return
	}
	m.link.namespaces.Add(-1)
	end := len(a.active) - 1
	a.active[m.index] = a.active[end]
	a.active[m.index].index = m.index
	a.active[end] = nil
	a.active = a.active[:end]
	m.index = -1
}

// Broadcast delivers what was emitted through the library.
func (a *adapter) Broadcast(packet *parser.Packet, opts *socket.BroadcastOptions) {
	d, err := a.deliveryOf(packet, opts)
	if err != nil {
		a.hub.failed(nil, "broadcast", err, nil)
		return
	}
	if m := a.only(d); m != nil { // what is sent to one client is not kept
		m.send(d)
		return
	}
	if _, err := a.hub.relay.broadcast(a, d); err != nil {
		a.hub.failed(nil, "broadcast", err, nil)
	}
}

// only returns the one active member that a delivery is for, or nil when it is
// for several or for none.
func (a *adapter) only(d *delivery) *member {
	if len(d.rooms) != 1 || len(d.except) > 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.members[socket.SocketId(d.rooms[0])]
	if m == nil || !m.own || m.index < 0 || len(a.rooms[d.rooms[0]]) > 0 {
		return nil
	}
	return m
}

// BroadcastWithAck delivers what was emitted through the library and calls ack for
// each answer.
func (a *adapter) BroadcastWithAck(packet *parser.Packet, opts *socket.BroadcastOptions, clients func(uint64), ack socket.Ack) {
	id := a.Nsp().Ids()
	d, err := a.deliveryOf(packet, opts)
	if err != nil {
		a.hub.failed(nil, "broadcast", err, nil)
		clients(0)
		return
	}
	// The library's timer reads packet.Id without a lock, so it is not told the id.
	d.id, d.ack = &id, ack
	count, err := a.hub.relay.broadcast(a, d)
	if err != nil {
		a.hub.failed(nil, "broadcast", err, nil)
	}
	clients(uint64(count))
	a.forgetLater(id, opts)
}

func (a *adapter) deliveryOf(packet *parser.Packet, opts *socket.BroadcastOptions) (*delivery, error) {
	packet.Nsp = a.Nsp().Name()
	for _, s := range a.targets(opts) {
		s.NotifyOutgoingListeners()(packet)
	}
	p, err := a.hub.encode(packet.Data)
	if err != nil {
		return nil, err
	}
	d := &delivery{payload: p, id: packet.Id}
	if opts != nil {
		d.rooms, d.except = keysOf(opts.Rooms), keysOf(opts.Except)
		d.volatile = opts.Flags != nil && opts.Flags.Volatile
	}
	return d, nil
}

func keysOf(set *types.Set[socket.Room]) []socket.Room {
	if set == nil {
		return nil
	}
	return set.Keys()
}

// encode encodes the name and arguments of an event.
func (h *Hub) encode(data any) (payload, error) {
	encoded := h.server.Encoder().Encode(&parser.Packet{Type: parser.EVENT, Nsp: "/", Data: data})
	text := encoded[0].Bytes()
	start := 0
	for start < len(text) && text[start] != '[' {
		start++
	}
	if start == len(text) {
		return payload{}, errors.New("encode an event: its arguments cannot be written as JSON")
	}
	p := payload{args: text[start:]}
	for _, attachment := range encoded[1:] {
		p.attachments = append(p.attachments, attachment.Bytes())
	}
	return p, nil
}

// targets returns the sockets that options select.
func (a *adapter) targets(opts *socket.BroadcastOptions) []*socket.Socket {
	var rooms, except []socket.Room
	if opts != nil {
		rooms, except = keysOf(opts.Rooms), keysOf(opts.Except)
	}
	var found []*socket.Socket
	a.mu.Lock()
	defer a.mu.Unlock()
	a.selectLocked(rooms, except, func(m *member) { found = append(found, m.socket) })
	return found
}

// Sockets returns the ids of the sockets in the given rooms.
func (a *adapter) Sockets(rooms *types.Set[socket.Room]) *types.Set[socket.SocketId] {
	ids := types.NewSet[socket.SocketId]()
	for _, s := range a.targets(&socket.BroadcastOptions{Rooms: rooms}) {
		ids.Add(s.Id())
	}
	return ids
}

// SocketRooms returns a copy of the rooms of a socket, or nil if it is unknown.
func (a *adapter) SocketRooms(id socket.SocketId) *types.Set[socket.Room] {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, ok := a.members[id]
	if !ok {
		return nil
	}
	return m.roomSet()
}

func (m *member) roomSet() *types.Set[socket.Room] {
	rooms := types.NewSet(m.rooms...)
	if m.own {
		rooms.Add(socket.Room(m.id))
	}
	return rooms
}

// Sids returns a copy of all sockets with their rooms.
func (a *adapter) Sids() *types.Map[socket.SocketId, *types.Set[socket.Room]] {
	all := &types.Map[socket.SocketId, *types.Set[socket.Room]]{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, m := range a.members {
		all.Store(id, m.roomSet())
	}
	return all
}

// Rooms returns a copy of all rooms with their sockets.
func (a *adapter) Rooms() *types.Map[socket.Room, *types.Set[socket.SocketId]] {
	all := &types.Map[socket.Room, *types.Set[socket.SocketId]]{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, m := range a.members {
		for _, room := range m.roomSet().Keys() {
			ids, _ := all.LoadOrStore(room, types.NewSet[socket.SocketId]())
			ids.Add(id)
		}
	}
	return all
}

// FetchSockets returns a function that hands over the selected sockets.
func (a *adapter) FetchSockets(opts *socket.BroadcastOptions) func(func([]socket.SocketDetails, error)) {
	return func(callback func([]socket.SocketDetails, error)) {
		found := []socket.SocketDetails{}
		for _, s := range a.targets(opts) {
			found = append(found, s)
		}
		callback(found, nil)
	}
}

// AddSockets makes the selected sockets join rooms.
func (a *adapter) AddSockets(opts *socket.BroadcastOptions, rooms []socket.Room) {
	for _, s := range a.targets(opts) {
		s.Join(rooms...)
	}
}

// DelSockets makes the selected sockets leave rooms.
func (a *adapter) DelSockets(opts *socket.BroadcastOptions, rooms []socket.Room) {
	for _, s := range a.targets(opts) {
		for _, room := range rooms {
			s.Leave(room)
		}
	}
}

// DisconnectSockets disconnects the selected sockets.
func (a *adapter) DisconnectSockets(opts *socket.BroadcastOptions, closeConn bool) {
	for _, s := range a.targets(opts) {
		s.Disconnect(closeConn)
	}
}
