package hub

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// client is one client of the default namespace.
type client struct {
	link    *link
	socket  *socket.Socket
	version string // "unknown" when it says none that we can read
	verdict compatibility
	probe   bool
	roles   roleSet
	gone    sync.Once
	left    chan struct{} // closed when the client has left the namespace
}

// clients are those that are connected, the probe left out.
type clients struct {
	hub *Hub

	mu   sync.Mutex
	byID map[socket.SocketId]*client
}

func (cs *clients) add(c *client) {
	cs.mu.Lock()
	cs.byID[c.socket.Id()] = c
	cs.mu.Unlock()
	cs.hub.counters.connected.Add(1)
	cs.hub.counters.served.Add(1)
	cs.hub.counters.touch(time.Now())
}

func (cs *clients) all() []*client {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	list := make([]*client, 0, len(cs.byID))
	for _, c := range cs.byID {
		list = append(list, c)
	}
	return list
}

func (cs *clients) versions(limit int) map[string]string {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	versions := make(map[string]string, min(limit, len(cs.byID)))
	for id, c := range cs.byID {
		if len(versions) == limit {
			break
		}
		versions[string(id)] = c.version
	}
	return versions
}

// leave takes the client out of the statistics, once, however it left.
func (c *client) leave() {
	c.gone.Do(func() {
		close(c.left)
		if c.probe {
			return
		}
		cs := &c.link.hub.clients
		cs.mu.Lock()
		delete(cs.byID, c.socket.Id())
		cs.mu.Unlock()
		cs.hub.counters.connected.Add(-1)
	})
}

// settling returns a channel that is closed once every event that was read before
// is handled. It stays open when the client leaves first.
func (c *client) settling() <-chan struct{} { return settling(c.socket) }

func settling(s *socket.Socket) <-chan struct{} {
	done := make(chan struct{})
	// An event passes the socket's queue twice: decoded, then dispatched.
	s.Enqueue(func() {
		s.Enqueue(func() { close(done) })
	})
	return done
}

// emit sends an event to this client alone, as its socket's Emit does, with less
// work for what needs no more.
func (c *client) emit(name string, body any) error {
	if parser.HasBinary(body) || len(c.socket.ListenersAnyOutgoing()) > 0 {
		return c.socket.Emit(name, body)
	}
	p, err := encodeEvent(name, body)
	if err != nil {
		return err
	}
	var ready readyList
	c.link.enqueue(p.frames("/", nil, "", false), false, &ready)
	c.link.hub.writers.add(ready)
	return nil
}

// encodeEvent encodes an event with one argument that holds no binary data.
func encodeEvent(name string, body any) (payload, error) {
	args, err := json.Marshal([]any{name, body})
	if err != nil {
		return payload{}, fmt.Errorf("encode %s: %w", name, err)
	}
	return payload{args: args}, nil
}

// identify reads what a client says about itself when it connects.
func (h *Hub) identify(s *socket.Socket, granted access) *client {
	auth := s.Handshake().Auth
	c := &client{link: linkOf(s.Request().Context()), socket: s, roles: granted.roles, left: make(chan struct{})}
	version, says := auth[versionAuthKey]
	if says {
		c.link.offsets.Store(false)
	}
	c.verdict = judge(h.opts.ServerVersion, version)
	c.version = c.verdict.ClientVersion
	if c.probe = c.link.probe.Load(); !c.probe {
		id := c.link.account.Identity()
		id.Client = string(s.Id())
		c.link.account.Identify(id)
	}
	return c
}
