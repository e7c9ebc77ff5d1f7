package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// ErrTooManyAcks is returned by Socket.EmitWithAck when the client owes
// Options.MaxPendingAcks acknowledgements.
var ErrTooManyAcks = errors.New("the client owes too many acknowledgements")

// ErrLeft is returned when the client has left before it could answer.
var ErrLeft = errors.New("the client has left")

// Socket is a client in one namespace, while it is there. A client that comes back
// is another Socket, of the same id when its session is recovered. Its methods may be
// called from any goroutine.
type Socket struct {
	namespace *Namespace
	socket    *socket.Socket
	link      *link
}

// ID names the client in its namespace. It is the name of a room that only this
// client is in.
func (s *Socket) ID() string { return string(s.socket.Id()) }

// Namespace is where the client is.
func (s *Socket) Namespace() *Namespace { return s.namespace }

// Auth is what the client has sent to authenticate itself, as encoding/json reads it;
// nil when it has sent nothing. It is not to be changed.
func (s *Socket) Auth() map[string]any { return s.socket.Handshake().Auth }

// Header is the header of the request with which the client's session began, without
// what was about the connection only. It is not to be changed.
func (s *Socket) Header() http.Header { return s.socket.Request().Request().Header }

// RemoteAddr is the address that the client's session began from.
func (s *Socket) RemoteAddr() string { return s.socket.Request().Request().RemoteAddr }

// Recovered reports whether the client has got back its session, with id, rooms and
// what it has missed.
func (s *Socket) Recovered() bool { return s.socket.Recovered() }

// Connected reports whether the client is still there.
func (s *Socket) Connected() bool { return s.socket.Connected() }

// Join puts the client into rooms; Options.MaxRooms bounds how many.
func (s *Socket) Join(rooms ...string) { s.socket.Join(roomsOf(rooms)...) }

// Leave takes the client out of rooms.
func (s *Socket) Leave(rooms ...string) {
	for _, room := range roomsOf(rooms) {
		s.socket.Leave(room)
	}
}

// Rooms are the rooms that the client is in, sorted, that of its own id among them.
func (s *Socket) Rooms() []string {
	var names []string
	if rooms := s.namespace.adapter.SocketRooms(s.socket.Id()); rooms != nil {
		for _, room := range rooms.Keys() {
			names = append(names, string(room))
		}
	}
	slices.Sort(names)
	return names
}

// Ack answers an event. Only the first call counts; it does nothing where the client
// has not asked for an acknowledgement.
type Ack func(args ...any)

// On has fn called for every event of the name, after other functions for it. args
// are as encoding/json reads them, but with json.Number for numbers, so that they are
// what was sent, and []byte for binary data; they are the function's own. A panic
// counts as a failure of the hub, which goes on. The names that the protocol keeps for
// itself, and on the default namespace of a hub that is not Plain those of the
// contract, are never events of the caller's: On panics for them.
func (s *Socket) On(event string, fn func(args []any, ack Ack)) {
	h := s.namespace.hub
	_, contract := h.handlers[event]
	if parser.ReservedEvents.Has(event) || contract && !h.opts.Plain && s.namespace.Name() == "/" {
		panic(fmt.Sprintf("hub: On(%q): the name is taken by the hub; take another", event))
	}
	_ = s.socket.On(event, func(args ...any) {
		ack := func(...any) {}
		if n := len(args); n > 0 {
			if send, ok := args[n-1].(socket.Ack); ok {
				args = args[:n-1]
				ack = func(answer ...any) { send(slices.Concat([]any{}, answer), nil) }
			}
		}
		own := make([]any, len(args))
		for i, arg := range args {
			own[i] = plainValue(arg)
		}
		if h.guardedOwn(event, func() { fn(own, ack) }) {
			h.handled()
		}
	})
}

// OnDisconnect has fn called once when the client has left, with the reason in the
// words of Socket.IO, such as "client namespace disconnect" or "transport close". It
// is called at once if that is already so.
func (s *Socket) OnDisconnect(fn func(reason string)) {
	var once sync.Once
	call := func(reason string) {
		once.Do(func() { s.namespace.hub.guardedOwn("disconnect", func() { fn(reason) }) })
	}
	_ = s.socket.On("disconnect", func(args ...any) {
		reason, _ := first(args).(string)
		call(reason)
	})
	if !s.socket.Connected() {
		call("transport close")
	}
}

// Emit sends an event to this client alone, as Audience.Emit does; it is not kept.
// With recovery on, a stock client takes a text as the last argument for an offset, and
// its session is then not recovered: let an object be the last one.
func (s *Socket) Emit(event string, args ...any) error {
	p, err := s.namespace.hub.encodeOwn(event, args)
	if err != nil {
		return err
	}
	s.send(p, nil)
	return nil
}

func (s *Socket) send(p payload, id *uint64) {
	if !s.socket.Connected() {
		return
	}
	var ready readyList
	s.link.enqueue(p.frames(s.namespace.Name(), id, "", false), false, &ready)
	s.namespace.hub.writers.add(ready)
}

// EmitWithAck sends an event to this client alone and waits for its answer, whose
// values are those of On. The error is the context's when that ends first, ErrLeft
// when the client leaves, or ErrTooManyAcks. It must not be called from a handler of
// the same client, whose answer waits until the handler has returned: start a
// goroutine there.
func (s *Socket) EmitWithAck(ctx context.Context, event string, args ...any) ([]any, error) {
	h := s.namespace.hub
	p, err := h.encodeOwn(event, args)
	if err != nil {
		return nil, err
	}
	acks := s.socket.Acks()
	if acks.Len() >= h.opts.MaxPendingAcks {
		return nil, ErrTooManyAcks
	}
	answered := make(chan []any, 1) // from the first answer
	id := s.namespace.nsp.Ids()
	left := make(chan struct{})
	s.OnDisconnect(func(string) { close(left) })
	acks.Store(id, func(args []any, _ error) {
		select {
		case answered <- args:
		default:
		}
	})
	defer acks.Delete(id)
	s.send(p, &id)
	select {
	case args := <-answered:
		for i := range args {
			args[i] = plainValue(args[i])
		}
		return args, nil
	case <-left:
		return nil, ErrLeft
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// To selects the other clients that are in at least one of the rooms; none: every
// other client.
func (s *Socket) To(rooms ...string) Audience { return s.namespace.To(rooms...).Except(s.ID()) }

// Disconnect has the client leave the namespace. A stock client does not come back by
// itself.
func (s *Socket) Disconnect() { s.socket.Disconnect(false) }

// plainValue replaces the library's buffers by their bytes. It changes v.
func plainValue(v any) any {
	switch v := v.(type) {
	case types.BufferInterface:
		return v.Bytes()
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plainValue(v[key])
		}
	}
	return v
}
