package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/upkeephub/upkeep/hub/internal/attribution"
	"github.com/upkeephub/upkeep/proto/handshake"
	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

const (
	probeAuthKey = handshake.ProbeAuthKey
	// probeRoom holds the probes, so that relayed events pass them by.
	probeRoom socket.Room = "upkeep:probes"
	// emptyRoom has no member; heartbeats are broadcast to it.
	emptyRoom socket.Room = "upkeep:nobody"
)

// handler handles one event of a client, and may answer it. A malformedError counts
// against the sender; every other error, and a panic, is a failure of ours.
type handler func(c *client, args []any) (*answer, error)

// answer is the event that answers another. It is sent once that one is counted, so
// that whoever has it finds it in the statistics.
type answer struct {
	event string
	body  any
}

// malformedError says what is wrong with an event that a client sent.
type malformedError string

func (e malformedError) Error() string { return string(e) }

func (h *Hub) contract() map[string]handler {
	return map[string]handler{
		"claude_event":   h.onClaudeEvent,
		"get_history":    h.onGetHistory,
		"ping":           h.onPing,
		"get_version":    h.onGetVersion,
		"request.status": h.onRequestStatus,
	}
}

// roleFor has the events that not everybody may send.
var roleFor = map[string]Role{"claude_event": RolePublish, "get_history": RoleHistory}

// onConnection greets a client that has joined the default namespace. The library
// calls it on the queue that also handles the client's events, so none of them
// comes before the handlers are in place.
func (h *Hub) onConnection(args ...any) {
	s, ok := first(args).(*socket.Socket)
	if !ok {
		return
	}
	c, ok := s.Data().(*client)
	if !ok { // the middleware failed and said so
		s.Disconnect(true)
		return
	}
	defer c.link.announce("/") // with the greeting, in one write
	h.guarded(c, "connection", func() error {
		if c.probe {
			s.Join(probeRoom)
		} else {
			h.clients.add(c)
		}
		_ = s.On("disconnect", func(...any) { h.guarded(c, "disconnect", func() error { c.leave(); return nil }) })
		if !h.opts.Plain {
			s.OnAny(func(args ...any) { h.handle(c, args) })
		}
		if !c.link.join(c) { // the session ended meanwhile; the library may not know
			s.Disconnect(false)
			c.leave()
			return nil
		}
		if h.opts.Plain {
			return nil
		}
		return h.greet(c)
	})
}

func (h *Hub) greet(c *client) error {
	ack, err := encodeEvent("connection_ack", map[string]any{
		"server_version": h.opts.ServerVersion,
		"server_id":      h.opts.ServerID,
		"compatibility":  c.verdict,
		"timestamp":      timestamp(time.Now()),
	})
	if err != nil {
		return err
	}
	// With this the client has an offset before the first event comes.
	err = errors.Join(h.relay.position(c, ack), c.emit("server_status", h.status()))
	if !c.verdict.Compatible {
		err = errors.Join(err, c.emit("compatibility_warning", c.verdict))
	}
	return err
}

// handle handles an event of a client: its name, its arguments and, where the sender
// wants an acknowledgement, the function for that. It is acknowledged, without
// arguments, once it is handled; one that is refused or fails is not, because an
// acknowledgement says that it was relayed and kept. What has no handler is left to
// listeners that others may have.
func (h *Hub) handle(c *client, args []any) {
	name, _ := first(args).(string)
	if name == refusedEvent {
		reason, _ := first(args[1:]).(string)
		h.refused(c, name, reason)
		return
	}
	if !c.probe {
		h.blame.Count(attribution.Event, name, attribution.Events, 1)
	}
	handle, ours := h.handlers[name]
	if !ours || !c.socket.Connected() {
		return
	}
	args = args[1:]
	var ack socket.Ack
	if n := len(args); n > 0 {
		if fn, ok := args[n-1].(socket.Ack); ok {
			ack, args = fn, args[:n-1]
		}
	}
	h.guarded(c, name, func() error {
		if needed, restricted := roleFor[name]; restricted && !c.roles.has(needed) {
			refusal := notAllowed(name, needed)
			return errors.Join(c.emit(refusal.event, refusal.body), malformedError("its token lacks the role "+string(needed)))
		}
		reply, err := handle(c, args)
		if err != nil {
			return err
		}
		if !c.probe {
			h.counters.processed.Add(1)
			h.counters.touch(time.Now())
		}
		if reply != nil {
			if err := c.emit(reply.event, reply.body); err != nil {
				return err
			}
		}
		if ack != nil {
			ack([]any{}, nil)
		}
		return nil
	})
}

// guarded runs fn and counts how it went wrong, if it did. A panic disturbs
// nobody.
func (h *Hub) guarded(c *client, what string, fn func() error) {
	defer func() {
		if v := recover(); v != nil {
			h.failed(c, what, fmt.Errorf("panic: %v", v), debug.Stack())
		}
	}()
	err := fn()
	var malformed malformedError
	switch {
	case err == nil:
	case errors.As(err, &malformed):
		h.refused(c, what, what+": "+string(malformed))
	default:
		h.failed(c, what, err, nil)
	}
}

// panicked counts a panic in a handler of somebody else's.
func (h *Hub) panicked(what string, v any) {
	h.failed(nil, what, fmt.Errorf("panic: %v", v), debug.Stack())
}

// failed counts a failure of our own.
func (h *Hub) failed(c *client, what string, err error, stack []byte) {
	args := []any{"event", what, "error", err}
	if stack != nil {
		args = append(args, "stack", string(stack))
	}
	h.log.Error("event failed", args...)
	if c == nil || !c.probe {
		h.counters.failed.Add(1)
		h.counters.errors.Add(1)
		h.charge(c, what, attribution.Failures)
	}
}

// refused counts a malformed event against its sender, who stays connected.
func (h *Hub) refused(c *client, event, reason string) {
	if c.probe {
		return
	}
	h.counters.errors.Add(1)
	h.charge(c, event, attribution.Refusals)
	h.refusals.log("malformed event", "reason", reason, "client", c.link.remote(), "sid", string(c.socket.Id()))
}

// onMiddleware runs before a client joins. Whatever happens, next is called:
// otherwise the client would wait for an answer for ever.
func (h *Hub) onMiddleware(s *socket.Socket, next func(*socket.ExtendedError)) {
	var refusal *socket.ExtendedError
	defer func() {
		if v := recover(); v != nil {
			h.failed(nil, "connect", fmt.Errorf("panic: %v", v), debug.Stack())
			refusal = socket.NewExtendedError("internal error, try again", nil)
		}
		next(refusal)
	}()
	for _, admit := range h.middlewares {
		if err := admit(s); err != nil {
			refusal = socket.NewExtendedError(err.Error(), nil)
			return
		}
	}
	granted, err := h.admitToken(s)
	if err != nil {
		refusal = refusalOf(err)
		return
	}
	c := h.identify(s, granted)
	if refusal = h.quarantine.refusal(c.link); refusal == nil {
		s.SetData(c)
	}
}

func (h *Hub) onClaudeEvent(c *client, args []any) (*answer, error) {
	if len(args) == 0 {
		return nil, malformedError("no argument; want one object")
	}
	event, ok := args[0].(map[string]any)
	if !ok {
		return nil, malformedError(fmt.Sprintf("the argument is %s; want an object", jsonKind(args[0])))
	}
	if c.probe {
		return nil, nil
	}
	event["server_id"] = h.opts.ServerID
	event["received_at"] = timestamp(time.Now())
	e, err := h.newEntry(event)
	if err != nil {
		return nil, err
	}
	return nil, h.relay.publish(e, c.socket.Id())
}

// newEntry encodes an event once, for log and clients alike.
func (h *Hub) newEntry(event map[string]any) (entry, error) {
	e := entry{}
	e.kind, _ = event["type"].(string)
	if parser.HasBinary(event) {
		var err error
		e.payload, err = h.encode([]any{"claude_event", event})
		return e, err
	}
	raw, err := json.Marshal(event)
	if err != nil {
		return e, fmt.Errorf("encode the event: %w", err)
	}
	e.setRaw(raw)
	return e, nil
}

// setRaw sets the event to a JSON object, of which the parts are copied.
func (e *entry) setRaw(parts ...[]byte) {
	size := len(eventBefore) + 1
	for _, part := range parts {
		size += len(part)
	}
	args := append(make([]byte, 0, size), eventBefore...)
	for _, part := range parts {
		args = append(args, part...)
	}
	args = append(args, ']')
	e.payload = payload{args: args}
}

func (h *Hub) onPing(*client, []any) (*answer, error) {
	return &answer{"pong", map[string]any{
		"timestamp": timestamp(time.Now()),
		"server_id": h.opts.ServerID,
	}}, nil
}

func (h *Hub) onGetVersion(*client, []any) (*answer, error) {
	return &answer{"version_info", map[string]any{
		"server_version":       h.opts.ServerVersion,
		"server_id":            h.opts.ServerID,
		"socketio_version":     socketIOVersion,
		"compatibility_matrix": compatibilityMatrix(h.opts.ServerVersion),
	}}, nil
}

func (h *Hub) onRequestStatus(*client, []any) (*answer, error) {
	return &answer{"server_status", h.status()}, nil
}

func (h *Hub) status() map[string]any {
	now := time.Now()
	return map[string]any{
		"server_version":    h.opts.ServerVersion,
		"server_id":         h.opts.ServerID,
		"uptime":            h.uptime(now),
		"clients_connected": h.counters.connected.Load(),
		"events_processed":  h.counters.processed.Load(),
		"timestamp":         timestamp(now),
	}
}

// uptime is how long the supervisor runs, in seconds, to the millisecond.
func (h *Hub) uptime(now time.Time) float64 {
	return max(0, now.Sub(h.opts.HostStartedAt).Round(time.Millisecond).Seconds())
}

// timestamp writes a time as RFC 3339 in UTC, to the microsecond.
func timestamp(t time.Time) string { return t.UTC().Format(timestampLayout) }

const timestampLayout = "2006-01-02T15:04:05.000000Z07:00"

// jsonKind names the kind of a decoded JSON value, for messages.
func jsonKind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "text"
	case json.Number, float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "binary data"
}
