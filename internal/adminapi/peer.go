package adminapi

import (
	"fmt"
	"net"
)

// peerPrefix begins the address of whoever the kernel knows.
const peerPrefix = "uid "

// peerConn is a connection of a user whom the kernel has named: its remote
// address says who that is, which a unix socket else does not.
type peerConn struct {
	net.Conn
	uid int
}

// RemoteAddr is the user at the other end.
func (c *peerConn) RemoteAddr() net.Addr {
	return &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("%s%d", peerPrefix, c.uid)}
}
