package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	gopsutil "github.com/shirou/gopsutil/v3/process"

	"github.com/upkeephub/upkeep/sdk"
)

// errNoProcess says that there is no such process.
var errNoProcess = errors.New("there is no such process")

// process is what could be read of one process. Each reading may fail alone.
type process struct {
	state    string // as the system names it, e.g. "sleep"
	stateErr error
	stopped  bool
	zombie   bool

	cpu         reading // seconds used so far
	memory      reading // resident bytes
	virtual     reading // bytes
	descriptors reading
	threads     reading
	start       reading // seconds since 1970
	at          time.Time
}

// reading is one number, or why there is none.
type reading struct {
	value float64
	err   error
}

// metric makes a metric of the number, or an unmeasured one.
func (r reading) metric(name string, of func(float64) sdk.Metric) sdk.Metric {
	if r.err != nil {
		return sdk.Unmeasured(name, r.err.Error())
	}
	return of(r.value)
}

// unreadable is a process that is there and says nothing of itself.
func unreadable(err error) process {
	unknown := reading{err: err}
	return process{stateErr: err, cpu: unknown, memory: unknown, virtual: unknown, descriptors: unknown, threads: unknown, start: unknown}
}

// lookAt reads a process from the system. The only error is errNoProcess; what
// is there and cannot be read is an error of that reading.
func lookAt(ctx context.Context, pid int) (process, error) {
	if pid > math.MaxInt32 {
		return process{}, errNoProcess
	}
	p, err := gopsutil.NewProcessWithContext(ctx, int32(pid))
	if errors.Is(err, gopsutil.ErrorProcessNotRunning) {
		return process{}, errNoProcess
	}
	if err != nil {
		return unreadable(because("look for the process", err)), nil
	}
	var out process
	states, err := p.StatusWithContext(ctx)
	out.stateErr = because("read its state", err)
	if len(states) > 0 && err == nil {
		out.state = states[0]
	}
	out.stopped = slices.Contains(states, gopsutil.Stop)
	out.zombie = slices.Contains(states, gopsutil.Zombie)

	out.at = time.Now()
	if times, err := p.TimesWithContext(ctx); err != nil {
		out.cpu.err = because("read its CPU time", err)
	} else {
		out.cpu.value = times.User + times.System
	}
	if memory, err := p.MemoryInfoWithContext(ctx); err != nil {
		out.memory.err = because("read its memory", err)
		out.virtual.err = out.memory.err
	} else {
		out.memory.value, out.virtual.value = float64(memory.RSS), float64(memory.VMS)
	}
	descriptors, err := p.NumFDsWithContext(ctx)
	out.descriptors = reading{float64(descriptors), because("count its file descriptors", err)}
	threads, err := p.NumThreadsWithContext(ctx)
	out.threads = reading{float64(threads), because("count its threads", err)}
	started, err := p.CreateTimeWithContext(ctx)
	out.start = reading{float64(started) / 1000, because("read its start time", err)}

	// It may have ended between the readings: then they say nothing.
	if exists, err := gopsutil.PidExistsWithContext(ctx, int32(pid)); err == nil && !exists {
		return process{}, errNoProcess
	}
	return out, nil
}

// because says what was attempted when err came; without err, nothing.
func because(attempt string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", attempt, err)
}
