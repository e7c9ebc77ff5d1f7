//go:build !unix

package hub

import (
	"errors"
	"net"
)

var errInherit = errors.New("this platform cannot hand sockets from one process to another")

func inheritConn(int) (net.Conn, error) { return nil, errInherit }

func inheritListener(int) (net.Listener, error) { return nil, errInherit }
