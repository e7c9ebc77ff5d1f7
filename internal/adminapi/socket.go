package adminapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
)

// SocketFile is the name of the owner's socket in the socket directory.
const SocketFile = "admin.sock"

// ListenUnix binds the owner's socket in dir, which must be private to this user
// (0700), and replaces what an earlier host left there. The socket has mode 0600;
// on Linux each peer is asked who it is besides, and only this user and root get
// in. Closing the listener removes the socket. Serve it with Options.Owner.
func ListenUnix(dir string, log hclog.Logger) (net.Listener, error) {
	path := filepath.Join(dir, SocketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replace the admin socket %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("make the admin socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("protect the admin socket %s: %w", path, err)
	}
	if log == nil {
		log = hclog.NewNullLogger()
	}
	return &ownerListener{Listener: l, log: log, peer: peerUID, self: os.Geteuid()}, nil
}

// ownerListener hands out connections of this user and root only.
type ownerListener struct {
	net.Listener
	log  hclog.Logger
	peer func(net.Conn) (uid int, known bool, err error)
	self int
}

// Accept waits for the next connection that may come in; others are closed.
func (l *ownerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, known, err := l.peer(conn)
		if err == nil && (!known || uid == l.self || uid == 0) {
			if known {
				conn = &peerConn{conn, uid}
			}
			return conn, nil
		}
		l.log.Warn("refused a stranger on the admin socket", "uid", uid, "error", err)
		_ = conn.Close()
	}
}
