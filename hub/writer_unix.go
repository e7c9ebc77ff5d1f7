//go:build unix

package hub

import (
	"net"
	"syscall"
)

// attempt is one write that never waits. It is kept by a writer and used again,
// so that writing allocates nothing.
type attempt struct {
	data []byte
	n    int
	err  error
	call func(fd uintptr) bool
}

func (a *attempt) init() { a.call = a.try }

func (a *attempt) try(fd uintptr) bool {
	for {
		a.n, a.err = syscall.Write(int(fd), a.data)
		if a.err != syscall.EINTR {
			return true // whatever happened: never wait until it can be written
		}
	}
}

// write writes as much of data as the connection takes at once, perhaps nothing.
func (a *attempt) write(raw syscall.RawConn, data []byte) (int, error) {
	a.data, a.n, a.err = data, 0, nil
	err := raw.Write(a.call)
	a.data = nil
	n := max(a.n, 0)
	switch {
	case err != nil:
		return 0, err
	case a.err == syscall.EAGAIN:
		return n, nil
	}
	return n, a.err
}

// rawConn returns the connection as the operating system has it, to be written to
// without waiting, or nil where that cannot be: a TLS connection, for example.
func rawConn(conn net.Conn) syscall.RawConn {
	s, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
