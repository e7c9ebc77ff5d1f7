package hub

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// countedListener counts the open connections of its clients, in a counter that
// several listeners share, and hangs up on those beyond the limit. It accepts as
// fast as the ramp lets it.
type countedListener struct {
	net.Listener
	open  *atomic.Int64
	limit int64
	all   *connections
	ramp  *ramp
	close sync.Once
	ended chan struct{} // closed by Close
}

// Close ends accepting, also while it waits for the ramp.
func (l *countedListener) Close() error {
	l.close.Do(func() { close(l.ended) })
	return l.Listener.Close()
}

func (l *countedListener) Accept() (net.Conn, error) {
	for {
		if !l.ramp.wait(l.ended) {
			return nil, net.ErrClosed
		}
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) > l.limit {
			l.open.Add(-1)
			_ = conn.Close()
			continue
		}
		counted := &countedConn{Conn: conn, listener: l}
		l.all.add(counted)
		l.ramp.take(counted)
		return counted, nil
	}
}

// countedConn is one connection, counted until it is closed.
type countedConn struct {
	net.Conn
	listener *countedListener
	closed   atomic.Bool
}

func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.listener.open.Add(-1)
		c.listener.all.remove(c)
		c.listener.ramp.leave(c)
	}
	return c.Conn.Close()
}

// CloseWrite ends our half of the connection.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// SyscallConn returns the connection as the operating system has it.
func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := c.Conn.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// connections are all that are open, so that none outlives Stop: http.Server
// forgets those that became WebSockets.
type connections struct {
	mu   sync.Mutex
	open map[*countedConn]struct{}
}

func (c *connections) add(conn *countedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = struct{}{}
}

func (c *connections) remove(conn *countedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

func (c *connections) closeAll() {
	c.mu.Lock()
	list := make([]*countedConn, 0, len(c.open))
	for conn := range c.open {
		list = append(list, conn)
	}
	c.mu.Unlock()
	for _, conn := range list {
		_ = conn.Close()
	}
}
