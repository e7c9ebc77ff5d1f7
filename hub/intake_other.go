//go:build !unix

package hub

import (
	"net"
	"syscall"
)

// intake reads from a connection.
type intake struct {
	in   *inbound
	conn net.Conn
}

func newIntake(in *inbound, _ syscall.RawConn, conn net.Conn) *intake {
	return &intake{in: in, conn: conn}
}

// fill waits for bytes of the client and adds them to what it sent before.
func (i *intake) fill() error {
	n, err := i.conn.Read(i.in.room())
	i.in.end += n
	if n > 0 {
		return nil
	}
	return err
}
