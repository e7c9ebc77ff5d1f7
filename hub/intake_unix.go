//go:build unix

package hub

import (
	"io"
	"net"
	"syscall"
)

// intake reads from a connection. While nothing comes it holds no buffer, which is
// most of what an idle client would cost.
type intake struct {
	in   *inbound
	raw  syscall.RawConn // nil: only conn can be read
	conn net.Conn
	n    int
	err  error
	call func(fd uintptr) bool
}

func newIntake(in *inbound, raw syscall.RawConn, conn net.Conn) *intake {
	i := &intake{in: in, raw: raw, conn: conn}
	i.call = i.try
	return i
}

func (i *intake) try(fd uintptr) bool {
	for {
		i.n, i.err = syscall.Read(int(fd), i.in.room())
		switch i.err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			i.in.rest()
			return false // wait until there is something
		default:
			return true
		}
	}
}

// fill waits for bytes of the client and adds them to what it sent before.
func (i *intake) fill() error {
	if i.raw == nil {
		n, err := i.conn.Read(i.in.room())
		i.in.end += n
		if n > 0 {
			return nil
		}
		return err
	}
	i.n, i.err = 0, nil
	if err := i.raw.Read(i.call); err != nil {
		return err
	}
	switch {
	case i.err != nil:
		return &net.OpError{Op: "read", Net: "tcp", Err: i.err}
	case i.n <= 0:
		return io.EOF
	}
	i.in.end += i.n
	return nil
}
