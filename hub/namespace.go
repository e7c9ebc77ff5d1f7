package hub

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// Namespace is a part of a hub with clients, rooms and handlers of its own. Its
// methods may be called from any goroutine, at any time; who has joined before a
// handler was set is not served by it.
type Namespace struct {
	hub     *Hub
	nsp     socket.Namespace
	adapter *adapter
}

// Of returns the namespace of a name, which it makes when there is none yet: clients
// can join a namespace only once somebody has asked for it here. "/" and "" are the
// default one, which is always there; unless the hub is Plain it speaks the contract,
// and handlers come beside that.
func (h *Hub) Of(name string) *Namespace {
	nsp := h.server.Of(name, nil)
	return &Namespace{hub: h, nsp: nsp, adapter: nsp.Adapter().(*adapter)}
}

// Name is the namespace's name, with its leading slash.
func (n *Namespace) Name() string { return n.nsp.Name() }

// Refusal is an error for Use that has more to say to the client than a message.
type Refusal struct {
	Message string
	// Data is written as JSON; nil: none is sent.
	Data any
}

func (r *Refusal) Error() string { return r.Message }

// Use adds a function that every client has to pass before it joins, behind those
// that were added before, on a goroutine of that client. An error refuses the client
// and is sent to it, as the message of its connect_error; a *Refusal sends data, too.
// A panic refuses it without saying why. The supervisor's probe passes.
func (n *Namespace) Use(admit func(*Socket) error) {
	n.nsp.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		refusal := socket.NewExtendedError("internal error, try again", nil)
		defer func() { next(refusal) }()
		own := n.socketOf(s)
		if own.link.probe.Load() {
			refusal = nil
			return
		}
		n.hub.guardedOwn("connect", func() {
			err := admit(own)
			var refused *Refusal
			switch {
			case err == nil:
				refusal = nil
			case errors.As(err, &refused):
				refusal = socket.NewExtendedError(refused.Message, refused.Data)
			default:
				refusal = socket.NewExtendedError(err.Error(), nil)
			}
		})
	})
}

// OnConnect has fn called for every client that joins. The client's events are
// handled, one after the other, once fn has returned, so that handlers which fn sets
// miss none.
func (n *Namespace) OnConnect(fn func(*Socket)) {
	_ = n.nsp.On("connection", func(args ...any) {
		s, ok := first(args).(*socket.Socket)
		if !ok || !s.Connected() {
			return
		}
		own := n.socketOf(s)
		if own.link.probe.Load() {
			return
		}
		n.hub.guardedOwn("connection", func() { fn(own) })
	})
}

func (n *Namespace) socketOf(s *socket.Socket) *Socket {
	return &Socket{namespace: n, socket: s, link: linkOf(s.Request().Context())}
}

// Emit sends an event to every client of the namespace, see Audience.Emit.
func (n *Namespace) Emit(event string, args ...any) error { return n.To().Emit(event, args...) }

// To selects the clients that are in at least one of the rooms; none: every client.
// A client is always in the room of its own id.
func (n *Namespace) To(rooms ...string) Audience {
	return Audience{namespace: n, rooms: roomsOf(rooms)}
}

// Except selects the clients that are in none of the rooms.
func (n *Namespace) Except(rooms ...string) Audience { return n.To().Except(rooms...) }

// Audience is a selection of a namespace's clients, as they are when something is
// sent to it. It is a value: its methods return another one.
type Audience struct {
	namespace     *Namespace
	rooms, except []socket.Room
	volatile      bool
}

// To adds the clients of rooms.
func (a Audience) To(rooms ...string) Audience {
	a.rooms = slices.Concat(a.rooms, roomsOf(rooms))
	return a
}

// Except leaves out the clients of rooms.
func (a Audience) Except(rooms ...string) Audience {
	a.except = slices.Concat(a.except, roomsOf(rooms))
	return a
}

// Volatile leaves out clients that have not taken what was sent to them before, and
// keeps the event for nobody who comes back.
func (a Audience) Volatile() Audience {
	a.volatile = true
	return a
}

// Emit sends an event, never waiting for a client. The arguments are what
// encoding/json can write, with []byte for binary data, in slices of any and maps of
// string to any. Unless it is volatile, or for one client alone, it is in the event log
// when Emit returns, and clients that come back get it; the error says that it could
// not be encoded or kept, and then nobody gets it.
func (a Audience) Emit(event string, args ...any) error {
	p, err := a.namespace.hub.encodeOwn(event, args)
	if err != nil {
		return err
	}
	d := &delivery{rooms: a.rooms, except: a.except, volatile: a.volatile, payload: p}
	if m := a.namespace.adapter.only(d); m != nil { // what is sent to one client is not kept
		m.send(d)
		return nil
	}
	_, err = a.namespace.hub.relay.broadcast(a.namespace.adapter, d)
	return err
}

func roomsOf(names []string) []socket.Room {
	rooms := make([]socket.Room, len(names))
	for i, name := range names {
		rooms[i] = socket.Room(name)
	}
	return rooms
}

// encodeOwn encodes an event of a handler.
func (h *Hub) encodeOwn(event string, args []any) (payload, error) {
	if parser.ReservedEvents.Has(event) {
		return payload{}, fmt.Errorf("emit %q: the protocol keeps this name for itself; take another", event)
	}
	p, err := h.encode(slices.Concat([]any{event}, args))
	if err != nil {
		return p, fmt.Errorf("emit %q: %w", event, err)
	}
	return p, nil
}

// guardedOwn runs a handler of somebody else's. A panic counts as a failure and
// disturbs nobody.
func (h *Hub) guardedOwn(what string, fn func()) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			h.panicked(what, v)
		}
	}()
	fn()
	return true
}

// handled counts an event that a handler of somebody else's has handled.
func (h *Hub) handled() {
	h.counters.processed.Add(1)
	h.counters.touch(time.Now())
}
