package fleet

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Usage of some processes.
type Usage struct {
	CPU []time.Duration // user and system time of each so far
}

// Sum of the CPU time.
func (u Usage) Sum() time.Duration {
	var sum time.Duration
	for _, d := range u.CPU {
		sum += d
	}
	return sum
}

// ReadUsage reads the CPU time of processes to the nanosecond, of all their
// threads, those that have ended too. An error means that one is gone.
func ReadUsage(pids ...int) (Usage, error) {
	u := Usage{CPU: make([]time.Duration, len(pids))}
	for i, pid := range pids {
		// The clock of another process, as clock_getcpuclockid(3) computes it.
		const scheduler = 2
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^uint32(pid)<<3|scheduler), &ts); err != nil {
			return u, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
		}
		u.CPU[i] = time.Duration(ts.Nano())
	}
	return u, nil
}

// OwnCPU is the CPU time of this process.
func OwnCPU() time.Duration {
	u, err := ReadUsage(os.Getpid())
	if err != nil {
		return 0
	}
	return u.Sum()
}

// MachineCPU is the time that all processors of this machine were busy so far,
// and that others took from a virtual one, to a hundredth of a second.
func MachineCPU() time.Duration {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	var ticks int64
	for i, field := range bytes.Fields(line) {
		// cpu user nice system idle iowait irq softirq steal guest guest_nice;
		// guests are in user already.
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(string(field), 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100)
}

// Memory of a process, in bytes.
type Memory struct {
	RSS int64 // resident
	PSS int64 // resident, what is shared divided by those that share it
}

// ReadMemory reads the memory of a process.
func ReadMemory(pid int) (Memory, error) {
	path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	raw, err := os.ReadFile(path)
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for line := range bytes.Lines(raw) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			continue
		}
		n, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			continue
		}
		switch string(fields[0]) {
		case "Rss:":
			m.RSS = n << 10
		case "Pss:":
			m.PSS = n << 10
		}
	}
	if m.RSS == 0 {
		return m, fmt.Errorf("%s does not tell the resident memory", path)
	}
	return m, nil
}
