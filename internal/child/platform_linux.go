package child

import (
	"errors"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// keepInherited makes sure that what we ourselves inherited without close-on-exec,
// from a careless shell or service manager, ends with us: a child that held a
// stranger's pipe open would keep that stranger waiting. Kernels before 5.11 do
// not know the call; there the child inherits it as we did.
func keepInherited() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// awaitDeath returns when the process is dead and leaves it unreaped, so that
// its pid and group id are still its own while the group is killed.
func awaitDeath(p *os.Process) (*os.ProcessState, error) {
	for {
		err := unix.Waitid(unix.P_PID, p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return nil, os.NewSyscallError("waitid", err)
		}
	}
}
