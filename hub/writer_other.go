//go:build !unix

package hub

import (
	"errors"
	"net"
	"syscall"
)

// attempt is one write that never waits, which this platform does not have: every
// client that something waits for is written to by a goroutine of its own.
type attempt struct{}

func (*attempt) init() {}

func (*attempt) write(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }

func rawConn(net.Conn) syscall.RawConn { return nil }
