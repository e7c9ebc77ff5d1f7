package fleet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Fleet is the clients of one server.
type Fleet struct {
	// Patience is after how long a client that has not joined is lost: 10 s.
	Patience time.Duration

	port    int
	request []byte
	epoll   int
	wake    int // an eventfd in epoll: the loop looks at its condition again
	began   time.Time
	buffer  *readBuffer
	events  []unix.EpollEvent
	byFD    []*client
	members []*client // in the order in which they joined
	dialled int

	joined int
	lost   []error // why members left that should not have
	pongs  atomic.Int32

	run *run // the publishing that is under way; nil: none
}

// New makes an empty fleet for the server on 127.0.0.1:port. Close it.
func New(port int) (*Fleet, error) {
	f := &Fleet{Patience: 10 * time.Second, port: port, request: upgradeRequest(port), began: time.Now(), buffer: new(readBuffer), events: make([]unix.EpollEvent, 1024)}
	var err error
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if f.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, f.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(f.wake)})
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return f, nil
}

// Close closes every socket.
func (f *Fleet) Close() {
	for _, c := range f.members {
		f.drop(c, nil)
	}
	f.members = nil
	unix.Close(f.wake)
	unix.Close(f.epoll)
}

// Members is how many clients are connected.
func (f *Fleet) Members() int {
	n := 0
	for _, c := range f.members {
		if c.state == joined {
			n++
		}
	}
	return n
}

// Lost are the reasons for which members were disconnected that had joined.
func (f *Fleet) Lost() []error { return slices.Clone(f.lost) }

func (f *Fleet) now() int64 { return int64(time.Since(f.began)) }

func (f *Fleet) interrupt() {
	one := [8]byte{7: 1}
	_, _ = unix.Write(f.wake, one[:])
}

// loop serves the sockets until done says so or ctx ends. done is called after
// each batch of events, at least every 20 ms.
func (f *Fleet) loop(ctx context.Context, done func(now int64) bool) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for ctx.Err() == nil {
		if done(f.now()) {
			return nil
		}
		n, err := unix.EpollWait(f.epoll, f.events, 20)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, e := range f.events[:max(n, 0)] {
			if int(e.Fd) == f.wake {
				var b [8]byte
				_, _ = unix.Read(f.wake, b[:])
				continue
			}
			if c := f.byFD[e.Fd]; c != nil {
				f.serve(c, e.Events)
			}
		}
	}
	return ctx.Err()
}

// serve handles what epoll says of one client.
func (f *Fleet) serve(c *client, events uint32) {
	if c.state == dialling {
		if code, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			f.drop(c, fmt.Errorf("connect: %w", errors.Join(err, syscall.Errno(code))))
			return
		}
		if events&unix.EPOLLOUT == 0 {
			return
		}
		c.state = upgrading
		err := c.send(f.request)
		if err == nil {
			err = unix.EpollCtl(f.epoll, unix.EPOLL_CTL_MOD, int(c.fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.fd})
		}
		if err != nil {
			f.drop(c, fmt.Errorf("send the upgrade: %w", err))
		}
		return
	}
	had := copy(f.buffer[:], c.rest)
	n, err := unix.Read(int(c.fd), f.buffer[had:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil:
		f.drop(c, fmt.Errorf("read while %s: %w", stateNames[c.state], err))
		return
	case n == 0:
		f.drop(c, fmt.Errorf("the server closed the connection while %s", stateNames[c.state]))
		return
	}
	rest, err := f.take(c, f.buffer[:had+n], f.now())
	if err != nil {
		f.drop(c, err)
		return
	}
	c.rest = append(c.rest[:0], rest...)
}

// drop closes a client's socket; why says what went wrong, nil that nothing did.
func (f *Fleet) drop(c *client, why error) {
	if c.state == gone {
		return
	}
	if c.state == joined {
		f.joined--
		if why != nil {
			f.lost = append(f.lost, why)
		}
	}
	c.state, c.why = gone, why
	f.byFD[c.fd] = nil
	unix.Close(int(c.fd))
}

// open begins the connection of one more client.
func (f *Fleet) open() (*client, error) {
	fd, err := dial(f.port, f.dialled)
	f.dialled++
	if err != nil {
		return nil, err
	}
	c := &client{fd: int32(fd), began: f.now()}
	if fd >= len(f.byFD) {
		f.byFD = append(f.byFD, make([]*client, fd+1024-len(f.byFD))...)
	}
	f.byFD[fd] = c
	err = unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLIN, Fd: int32(fd)})
	if err != nil {
		f.drop(c, nil)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return c, nil
}

// Idle serves the connections for a while.
func (f *Fleet) Idle(ctx context.Context, d time.Duration) error {
	until := f.now() + int64(d)
	return f.loop(ctx, func(now int64) bool { return now >= until })
}
