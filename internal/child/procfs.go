package child

// TicksPerSecond is the unit of Stat: Linux reports to user space in hundredths
// of a second on every architecture that Go supports.
const TicksPerSecond = 100

// Stat is what the kernel says about a process.
type Stat struct {
	// State is the kernel's letter: R runs, S sleeps, D sleeps and cannot be
	// woken, T stopped, t traced, Z dead and not reaped, X dead.
	State byte
	// PPID is the parent.
	PPID int
	// CPUTicks is the processor time used so far, in user and kernel mode, of
	// all threads.
	CPUTicks uint64
	// StartTicks is when it started, in ticks since boot.
	StartTicks uint64
}

// Stopped says whether the process is stopped by a signal or a debugger.
func (s Stat) Stopped() bool { return s.State == 'T' || s.State == 't' }

// Dead says whether the process has ended and merely awaits its parent.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' }

// Alive says whether the process with this pid runs and is the one that started
// at startTicks. It is false where the platform does not tell.
func Alive(pid int, startTicks uint64) bool {
	stat, err := ReadStat(pid)
	return err == nil && stat.StartTicks == startTicks && !stat.Dead()
}
