//go:build unix

package hubproc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// inheritable says whether a child can be given sockets here.
const inheritable = true

// ourselves is the executable of this process, also after its file was replaced.
func ourselves() (string, error) {
	if _, err := os.Stat("/proc/self/exe"); err == nil {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

func isInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// isAbsent tells a machine without IPv6 or without its loopback.
func isAbsent(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) ||
		errors.Is(err, syscall.EPROTONOSUPPORT)
}

// duplicates gives files of the sockets that leave them non-blocking. The file
// that TCPListener.File gives would not: asked for its descriptor it clears
// O_NONBLOCK on the socket itself, which all processes share, and the hub that
// is closing its listener then waits for a client to come.
func (l *Listeners) duplicates() (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeFiles(files)
		}
	}()
	for _, tcp := range l.tcp {
		raw, err := tcp.SyscallConn()
		if err != nil {
			return files, fmt.Errorf("pass on the listener %v: %w", tcp.Addr(), err)
		}
		var dup int
		var dupErr error
		if err := raw.Control(func(fd uintptr) {
			dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		}); err != nil {
			return files, fmt.Errorf("pass on the listener %v: %w", tcp.Addr(), err)
		}
		if dupErr != nil {
			return files, fmt.Errorf("pass on the listener %v: %w", tcp.Addr(), dupErr)
		}
		files = append(files, os.NewFile(uintptr(dup), tcp.Addr().String()))
	}
	return files, nil
}

// controlPair makes the control channel: our end and the hub's.
func controlPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock() // until both are close-on-exec; not every Unix can ask for that at once
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(pair[0])
		unix.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make the control channel: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control channel")
	file := os.NewFile(uintptr(pair[0]), "control channel")
	defer func() { _ = file.Close() }() // FileConn has its own duplicate
	ours, err := net.FileConn(file)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("make the control channel: %w", err)
	}
	return ours, theirs, nil
}
