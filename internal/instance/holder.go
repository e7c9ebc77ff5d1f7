package instance

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gopsnet "github.com/shirou/gopsutil/v3/net"
	gopsutil "github.com/shirou/gopsutil/v3/process"

	"github.com/upkeephub/upkeep/core/problem"
)

// lookPatience bounds the look at one process.
const lookPatience = 300 * time.Millisecond

// Look describes a process for people, within 300 ms. What it cannot find out,
// e.g. because the process belongs to somebody else, it leaves empty.
func Look(pid int) problem.Process {
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	found := problem.Process{PID: pid}
	p, err := gopsutil.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return found
	}
	found.Name, _ = p.NameWithContext(ctx)
	if states, err := p.StatusWithContext(ctx); err == nil {
		found.Status = strings.Join(states, ",")
	}
	if cpu, err := p.CPUPercentWithContext(ctx); err == nil {
		found.CPUPercent = math.Round(cpu*10) / 10
	}
	if memory, err := p.MemoryInfoWithContext(ctx); err == nil {
		found.MemoryMB = math.Round(float64(memory.RSS)/(1<<20)*10) / 10
	}
	found.CommandLine, _ = p.CmdlineWithContext(ctx)
	found.User, _ = p.UsernameWithContext(ctx)
	if started, err := p.CreateTimeWithContext(ctx); err == nil {
		found.Started = time.UnixMilli(started).UTC()
	}
	return found
}

// Frozen says whether a process is stopped: by SIGSTOP, Ctrl-Z or a debugger, so
// that it cannot answer until somebody lets it go on. It answers within 300 ms,
// and with no where the system does not say.
func Frozen(pid int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	p, err := gopsutil.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return false
	}
	states, err := p.StatusWithContext(ctx)
	return err == nil && slices.Contains(states, gopsutil.Stop)
}

// searchPatience bounds the search for who listens on a port.
const searchPatience = 2 * time.Second

// What Listeners says when it cannot name anybody.
var (
	// ErrUnseen: somebody listens, and the system does not tell us who.
	ErrUnseen = errors.New("it belongs to another user or container, and this user has no right to see which process it is")
	// ErrSlow: the search took too long.
	ErrSlow = errors.New("the search for it took longer than " + searchPatience.String())
)

// Listeners finds the processes that listen on a TCP port of this machine, by
// rising process id; none when nobody does. It takes at most 2 s and then
// gives ErrSlow; the search ends by itself later. ErrUnseen says that somebody
// listens who cannot be named. Other errors are the system's.
func Listeners(ctx context.Context, port int) ([]problem.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, searchPatience)
	defer cancel()
	type answer struct {
		pids []int
		err  error
	}
	answers := make(chan answer, 1) // sent once, so that the search never blocks
	go func() {
		connections, err := gopsnet.ConnectionsWithoutUidsWithContext(ctx, "tcp")
		if err != nil {
			answers <- answer{nil, err}
			return
		}
		pids, err := holders(connections, port)
		answers <- answer{pids, err}
	}()
	select {
	case a := <-answers:
		found := make([]problem.Process, 0, len(a.pids))
		for _, pid := range a.pids {
			if ctx.Err() != nil { // named without details
				found = append(found, problem.Process{PID: pid})
				continue
			}
			found = append(found, Look(pid))
		}
		return found, a.err
	case <-ctx.Done():
		return nil, ErrSlow
	}
}

// holders are the processes that listen on the port. The system gives a
// connection without a process where we may not see it.
func holders(connections []gopsnet.ConnectionStat, port int) ([]int, error) {
	pids, unseen := map[int]bool{}, false
	for _, c := range connections {
		switch {
		case c.Status != "LISTEN" || c.Laddr.Port != uint32(port):
		case c.Pid > 0:
			pids[int(c.Pid)] = true
		default:
			unseen = true
		}
	}
	if unseen && len(pids) == 0 {
		return nil, ErrUnseen
	}
	return slices.Sorted(maps.Keys(pids)), nil
}

// Locked says whether a process holds the lock of the state directory. It
// creates nothing; a directory without a lock file is free. For the moment of
// the look it may hold the lock itself, which a starting host sits out.
func Locked(dir string) (bool, error) {
	if _, err := os.Lstat(filepath.Join(dir, lockName)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	lock, err := tryLock(dir)
	if err != nil {
		return false, err
	}
	if lock == nil {
		return true, nil
	}
	return false, lock.Unlock()
}

// maxSiblings bounds how many directories Sibling looks into.
const maxSiblings = 64

// Sibling finds the host that is one of the given processes among the state
// directories beside dir, where hosts of other ports are by default; it looks
// into 64 of them. It is false when none is proved to be.
func Sibling(dir string, processes []problem.Process) (Info, bool) {
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		return Info{}, false
	}
	for _, entry := range entries[:min(len(entries), maxSiblings)] {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		info, err := Running(filepath.Join(filepath.Dir(dir), entry.Name()))
		if err == nil && slices.ContainsFunc(processes, func(p problem.Process) bool { return p.PID == info.PID }) {
			return info, true
		}
	}
	return Info{}, false
}
