package trial

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Target stands for a hub that checkers are tried on: a port of this machine
// that accepts connections and never answers, as that of a hung hub, and one that
// hangs up at once, as that of a broken one. It knows how many connections to the
// silent port are open, and so whether a check has let go.
type Target struct {
	silent, broken net.Listener

	mu      sync.Mutex
	open    map[net.Conn]bool
	changed chan struct{} // replaced and closed whenever open changes
	ended   bool
	tasks   sync.WaitGroup
}

// NewTarget opens the ports. Close it.
func NewTarget() (*Target, error) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a port to try the plugin on: %w", err)
	}
	broken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = silent.Close()
		return nil, fmt.Errorf("open a port to try the plugin on: %w", err)
	}
	t := &Target{silent: silent, broken: broken, open: map[net.Conn]bool{}, changed: make(chan struct{})}
	t.tasks.Go(t.accept)
	t.tasks.Go(t.hangUp)
	return t, nil
}

// Silent is the address that accepts and never answers.
func (t *Target) Silent() string { return t.silent.Addr().String() }

// Broken is the address that accepts and hangs up at once.
func (t *Target) Broken() string { return t.broken.Addr().String() }

// hangUp resets every connection to the broken port.
func (t *Target) hangUp() {
	for {
		conn, err := t.broken.Accept()
		if err != nil {
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // a reset leaves nothing behind
		_ = conn.Close()
	}
}

// accept takes connections and reads them to their ends. Each has a goroutine.
func (t *Target) accept() {
	for {
		conn, err := t.silent.Accept()
		if err != nil {
			return
		}
		if !t.track(conn, true) {
			_ = conn.Close()
			return
		}
		t.tasks.Go(func() {
			buf := make([]byte, 4<<10)
			for {
				if _, err := conn.Read(buf); err != nil {
					break
				}
			}
			t.track(conn, false)
			_ = conn.Close()
		})
	}
}

// track notes that a connection came or went; false once the target is closed.
func (t *Target) track(conn net.Conn, came bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if came && t.ended {
		return false
	}
	if came {
		t.open[conn] = true
	} else {
		delete(t.open, conn)
	}
	close(t.changed)
	t.changed = make(chan struct{})
	return true
}

// Seen waits until a connection to the silent port is open, for at most that
// long: not every check looks there.
func (t *Target) Seen(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	t.await(ctx, func(n int) bool { return n > 0 })
}

// Quiet waits until no connection is open and gives 0, or how many are when ctx
// ends.
func (t *Target) Quiet(ctx context.Context) int {
	return t.await(ctx, func(n int) bool { return n == 0 })
}

// await waits until so many connections are open, or ctx ends, and gives how many are.
func (t *Target) await(ctx context.Context, enough func(int) bool) int {
	for {
		t.mu.Lock()
		n, changed := len(t.open), t.changed
		t.mu.Unlock()
		if enough(n) {
			return n
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return n
		}
	}
}

// Close closes both ports and every connection, and waits for its goroutines.
func (t *Target) Close() {
	_ = t.silent.Close()
	_ = t.broken.Close()
	t.mu.Lock()
	t.ended = true
	for conn := range t.open {
		_ = conn.Close()
	}
	t.mu.Unlock()
	t.tasks.Wait()
}
