package hub

import (
	"fmt"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/config"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// HandleEngine serves Engine.IO at a path, which begins and ends with a slash: open is
// called for every session, before its first message. The limits, timeouts, origins and
// transports are the hub's; tokens are not asked for, because Engine.IO has no place
// for them: see Session.Header. It is called before Serve. The error says what is wrong
// with the path.
func (h *Hub) HandleEngine(path string, open func(*Session)) error {
	if !validPath(path) {
		return fmt.Errorf("serve Engine.IO at %q: give a path such as /engine.io/, with a slash at both ends", path)
	}
	if _, taken := h.routes[path]; taken {
		return fmt.Errorf("serve Engine.IO at %q: something is served there already; give another path", path)
	}
	options := config.DefaultServerOptions()
	h.configureEngine(options)
	server := engine.NewServer(options)
	err := server.On("connection", func(args ...any) {
		conn, ok := first(args).(engine.Socket)
		if !ok {
			return
		}
		l := linkOf(conn.Request().Context())
		h.guardedOwn("session", func() { open(&Session{hub: h, link: l, conn: conn}) })
		l.open(conn)
	})
	if err != nil {
		return fmt.Errorf("serve Engine.IO at %q: %w", path, err)
	}
	h.mount(path, &endpoint{server: server, handler: server})
	return nil
}

// Session is one Engine.IO session of HandleEngine. Its methods may be called from any
// goroutine.
type Session struct {
	hub  *Hub
	link *link
	conn engine.Socket
}

// ID names the session.
func (s *Session) ID() string { return s.conn.Id() }

// Header returns the first value of a header of the request with which the session
// began; empty: there was none.
func (s *Session) Header(name string) string { return s.conn.Request().Request().Header.Get(name) }

// OnMessage has fn called for every message, one after the other, on the goroutine that
// reads: while it runs, nothing more of this client is read. binary tells bytes from
// UTF-8 text. The data are the function's own.
func (s *Session) OnMessage(fn func(data []byte, binary bool)) {
	_ = s.conn.On("message", func(args ...any) {
		buffer, ok := first(args).(types.BufferInterface)
		if !ok {
			return
		}
		_, text := buffer.(*types.StringBuffer)
		if s.hub.guardedOwn("message", func() { fn(buffer.Bytes(), !text) }) {
			s.hub.handled()
		}
	})
}

// OnClose has fn called once, when the session is over.
func (s *Session) OnClose(fn func()) {
	var once sync.Once
	call := func() { once.Do(func() { s.hub.guardedOwn("close", fn) }) }
	_ = s.conn.Once("close", func(...any) { call() })
	if s.conn.ReadyState() == "closed" {
		call()
	}
}

// Send sends a message: bytes, or text, which must be UTF-8. It never waits for the
// client, copies data, and does nothing once the session is over.
func (s *Session) Send(data []byte, binary bool) {
	if binary {
		s.conn.Send(types.NewBytesBuffer(append([]byte{}, data...)), nil, nil)
		return
	}
	s.conn.Send(types.NewStringBuffer(append([]byte{}, data...)), nil, nil)
}

// Close ends the session, after what was sent before.
func (s *Session) Close() { s.link.close("the handler ends the session", websocket.CloseNormalClosure) }
