package adminapi

import (
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// peerUID asks the kernel which user is at the other end.
func peerUID(conn net.Conn) (uid int, known bool, err error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return -1, true, fmt.Errorf("%T has no peer credentials", conn)
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return -1, true, fmt.Errorf("look at the peer: %w", err)
	}
	var cred *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return -1, true, fmt.Errorf("look at the peer: %w", err)
	}
	return int(cred.Uid), true, nil
}

// open says whether anybody but the owner may read the file.
func open(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
