package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// environLimit bounds what is read of a stranger's environment.
const environLimit = 4 << 20

// Sweep ends, with SIGKILL, what earlier owners of dir left behind: every
// process of our user and pid namespace whose environment says envKey=Marker for
// this dir and a parent that is no longer alive. Ourselves and our ancestors are
// spared. It returns what it ended, when all of it is gone or ctx ends (at
// most 2 s); the error says what could not be looked at or signalled.
// Call it after taking the lock on dir. On platforms other than Linux it does nothing.
func Sweep(ctx context.Context, envKey, dir string) ([]Swept, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("sweep what an earlier host left: %w", err)
	}
	spared := ancestors()
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return nil, fmt.Errorf("sweep what an earlier host left: %w", err)
	}
	var ended []Swept
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	var problems []error
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || spared[pid] {
			continue
		}
		marker, ok := orphanMarker(pid, envKey, dir, space)
		if !ok {
			continue
		}
		// From here on the descriptor names the process: the pid may go to a
		// stranger, so look again before the signal.
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("end process %d: %w", pid, err))
			continue
		}
		again, ok := orphanMarker(pid, envKey, dir, space)
		if !ok || again != marker {
			_ = unix.Close(fd)
			continue
		}
		command := commandLine(pid)
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
			_ = unix.Close(fd)
			if !errors.Is(err, unix.ESRCH) {
				problems = append(problems, fmt.Errorf("end process %d: %w", pid, err))
			}
			continue
		}
		fds = append(fds, fd)
		ended = append(ended, Swept{PID: pid, Command: command, Marker: marker})
	}
	for i := range ended {
		ended[i].Gone = awaitGone(ctx, fds[i])
	}
	return ended, errors.Join(problems...)
}

// orphanMarker reads the marker of a process and says whether the process is an
// orphan of this directory. A process of another pid namespace is not: the pid
// of its parent means nothing here, and it may well be alive.
func orphanMarker(pid int, envKey, dir, space string) (Marker, bool) {
	proc := "/proc/" + strconv.Itoa(pid)
	var st unix.Stat_t
	if unix.Stat(proc, &st) != nil || int(st.Uid) != os.Geteuid() {
		return Marker{}, false
	}
	f, err := os.Open(filepath.Join(proc, "environ"))
	if err != nil {
		return Marker{}, false
	}
	defer func() { _ = f.Close() }()
	env, err := io.ReadAll(io.LimitReader(f, environLimit))
	if err != nil {
		return Marker{}, false
	}
	for _, entry := range bytes.Split(env, []byte{0}) {
		value, ok := bytes.CutPrefix(entry, []byte(envKey+"="))
		if !ok {
			continue
		}
		marker, err := ParseMarker(string(value))
		if err != nil || marker.Dir != dir || Alive(marker.PID, marker.StartTicks) {
			return Marker{}, false
		}
		own, err := os.Readlink(filepath.Join(proc, "ns/pid"))
		return marker, err == nil && own == space
	}
	return Marker{}, false
}

// ancestors are this process and all above it.
func ancestors() map[int]bool {
	chain := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !chain[pid]; {
		chain[pid] = true
		stat, err := ReadStat(pid)
		if err != nil {
			break
		}
		pid = stat.PPID
	}
	return chain
}

func commandLine(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	data = bytes.ReplaceAll(bytes.TrimRight(data, "\x00"), []byte{0}, []byte{' '})
	return Sanitise(data[:min(len(data), 200)])
}

// awaitGone waits until the process of this descriptor has ended.
func awaitGone(ctx context.Context, fd int) bool {
	deadline, _ := ctx.Deadline()
	for {
		left := time.Until(deadline)
		if ctx.Err() != nil {
			left = 0
		}
		// In slices, so that a cancelled ctx is seen.
		wait := min(max(left, 0), 50*time.Millisecond)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait.Milliseconds()))
		if n > 0 {
			return true
		}
		if (err != nil && !errors.Is(err, unix.EINTR)) || left <= 0 {
			return false
		}
	}
}
