//go:build !unix

package hubproc

import (
	"errors"
	"net"
	"os"
	"syscall"
)

const inheritable = false

func ourselves() (string, error) { return os.Executable() }

// What the system calls here answer with; package syscall has other names for them.
const (
	wsaAddrInUse       = syscall.Errno(10048)
	wsaAddrNotAvail    = syscall.Errno(10049)
	wsaAFNoSupport     = syscall.Errno(10047)
	wsaAccess          = syscall.Errno(10013) // also: somebody has the address exclusively
	wsaProtoNoSupport  = syscall.Errno(10043)
	sharingUnsupported = "a hub inherits its sockets, which this platform does not offer; run host on Linux or macOS"
)

func isInUse(err error) bool { return errors.Is(err, wsaAddrInUse) || errors.Is(err, wsaAccess) }

func isAbsent(err error) bool {
	return errors.Is(err, wsaAddrNotAvail) || errors.Is(err, wsaAFNoSupport) || errors.Is(err, wsaProtoNoSupport)
}

func (l *Listeners) duplicates() ([]*os.File, error) { return nil, errors.New(sharingUnsupported) }

func controlPair() (net.Conn, *os.File, error) { return nil, nil, errors.New(sharingUnsupported) }
