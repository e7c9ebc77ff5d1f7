//go:build unix

package hub

import (
	"errors"
	"net"
	"os"
)

// inheritConn makes a connection of an inherited file descriptor. The descriptor
// itself is closed; the connection has a copy.
func inheritConn(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "control")
	if file == nil {
		return nil, errors.New("there is no such file descriptor")
	}
	defer file.Close()
	return net.FileConn(file)
}

// inheritListener makes a listener of an inherited file descriptor. Nothing here
// clears O_NONBLOCK, which belongs to the socket and not to the copy: another
// process would hang in accept.
func inheritListener(fd int) (net.Listener, error) {
	file := os.NewFile(uintptr(fd), "listener")
	if file == nil {
		return nil, errors.New("there is no such file descriptor")
	}
	defer file.Close()
	return net.FileListener(file)
}
