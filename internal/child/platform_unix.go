//go:build unix

package child

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// killGroup and terminateGroup signal a whole process group. The only errors
// are that it is gone or not ours any more; neither has a remedy.
func killGroup(pgid int)      { _ = syscall.Kill(-pgid, syscall.SIGKILL) }
func terminateGroup(pgid int) { _ = syscall.Kill(-pgid, syscall.SIGTERM) }

// duplicate makes a descriptor that os.StartProcess may ask for by Fd without
// harm: for the file of a connection or listener, Fd clears O_NONBLOCK on the
// open file itself, and so for every process that shares it. One that was
// non-blocking before os.NewFile saw it stays so.
func duplicate(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var dup int
	var dupErr error
	if err := raw.Control(func(fd uintptr) {
		dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	return os.NewFile(uintptr(dup), f.Name()), nil
}
