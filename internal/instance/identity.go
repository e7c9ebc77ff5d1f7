package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	gopsutil "github.com/shirou/gopsutil/v3/process"
)

// process is who a process is. Two processes that had the same pid one after
// the other differ in when they started.
type process struct {
	startTicks uint64 // since boot; 0 where the platform does not tell
	bootID     string // "" where the platform has none
	started    time.Time
	executable string
}

var errZombie = errors.New("it has ended and waits for its parent to take notice")

// Verify says whether the process that the file names is the one that wrote
// it: it exists, is no zombie, started when the file says (in ticks of the same
// boot, on Linux), and runs the program that the file says. A bare number of a
// legacy file is believed when the process runs our own program and started
// before the file was written. The error is nil or a *StaleError.
func (i Info) Verify() error {
	stale := func(status Staleness, reasons ...string) error {
		return &StaleError{Path: i.path, PID: i.PID, Status: status, Reasons: reasons}
	}
	if i.PID <= 0 {
		return stale(Invalid, fmt.Sprintf("%d is no process id", i.PID))
	}
	p, err := lookUp(i.PID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return stale(NotFound, fmt.Sprintf("there is no process %d", i.PID))
	case errors.Is(err, errZombie):
		return stale(Zombie, fmt.Sprintf("process %d: %v", i.PID, err))
	case err != nil:
		return stale(AccessDenied, fmt.Sprintf("process %d cannot be looked at: %v", i.PID, err))
	}
	var reasons []string
	if i.Legacy {
		if own, err := os.Executable(); err != nil || p.executable != own {
			reasons = append(reasons, fmt.Sprintf("process %d runs %q, which is not this program", i.PID, p.executable))
		}
		if p.started.After(i.modified.Add(time.Second)) {
			reasons = append(reasons, fmt.Sprintf("process %d started after the file was written", i.PID))
		}
	} else {
		reasons = i.differences(p)
	}
	if len(reasons) > 0 {
		return stale(StalePIDFile, reasons...)
	}
	return nil
}

// differences says in what the process is another than the one in the file.
func (i Info) differences(p process) []string {
	var reasons []string
	if i.BootID != p.bootID {
		reasons = append(reasons, "the machine was started anew since")
	}
	switch recorded := i.ProcessStartTime; {
	case i.StartTicks != p.startTicks,
		p.startTicks == 0 && math.Abs(recorded-seconds(p.started)) > 1.5:
		reasons = append(reasons, fmt.Sprintf("process %d did not start when the file says", i.PID))
	}
	if i.Executable != p.executable {
		reasons = append(reasons, fmt.Sprintf("process %d runs %q, not %q", i.PID, p.executable, i.Executable))
	}
	return reasons
}

// identify fills in what concerns this process.
func (i *Info) identify(now time.Time) error {
	i.PID = os.Getpid()
	p, err := lookUp(i.PID)
	if err != nil {
		return fmt.Errorf("find out who this process is: %w", err)
	}
	i.StartTicks, i.BootID, i.Executable = p.startTicks, p.bootID, p.executable
	i.ProcessStartTime = seconds(p.started)
	i.ProcessInfo = describe(i.PID)
	i.Version, i.Platform, i.CreatedBy, i.LockAcquired = i.ServerVersion, runtime.GOOS+"/"+runtime.GOARCH, "upkeep host", true
	if i.CreatedAt.IsZero() {
		i.CreatedAt = now
	}
	if i.StartTime.IsZero() {
		i.StartTime = p.started
	}
	i.StartTime, i.CreatedAt = i.StartTime.UTC(), i.CreatedAt.UTC()
	return nil
}

// describe is for people: what it does not find out it leaves empty.
func describe(pid int) ProcessInfo {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p, err := gopsutil.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return ProcessInfo{}
	}
	var info ProcessInfo
	info.Name, _ = p.NameWithContext(ctx)
	if states, err := p.StatusWithContext(ctx); err == nil {
		info.Status = strings.Join(states, ",")
	}
	if cpu, err := p.CPUPercentWithContext(ctx); err == nil {
		info.CPUPercent = math.Round(cpu*10) / 10
	}
	if memory, err := p.MemoryInfoWithContext(ctx); err == nil {
		info.MemoryMB = math.Round(float64(memory.RSS)/(1<<20)*10) / 10
	}
	return info
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
