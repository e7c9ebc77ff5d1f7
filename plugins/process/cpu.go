package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

const (
	// window is the least time over which CPU use is averaged, when earlier
	// counters allow; shortest is the least that earlier counters are good for.
	window   = 30 * time.Second
	shortest = time.Second
	// within is how long is measured inside the check when there is nothing to compare with.
	within = 100 * time.Millisecond
	// sameStart is how far two readings of one start time may lie apart, in
	// seconds: the system derives it from a clock that may be set.
	sameStart = 2
)

// usage is how much CPU a process had used at some time.
type usage struct {
	pid   float64
	start float64 // seconds since 1970
	cpu   float64 // seconds
	at    float64 // seconds since 1970
}

// share is a CPU use in percent, and over how many seconds it is the mean. A
// share that could not be measured has an error.
type share struct {
	percent, seconds float64
	err              error
}

func (s share) metric(threshold float64) sdk.Metric {
	m := sdk.Unmeasured(metricCPU, "")
	if s.err != nil {
		m.Message = s.err.Error()
	} else {
		m = sdk.Limited(metricCPU, s.percent, threshold).WithMessage(fmt.Sprintf("mean over %.1f s", s.seconds))
	}
	return m.WithUnit("%").AsLoad()
}

// usage of a subject, and whether it is known.
func (s *subject) usage() (usage, bool) {
	if s.err != nil || s.cpu.err != nil || s.start.err != nil {
		return usage{}, false
	}
	return usage{pid: float64(s.pid), start: s.start.value, cpu: s.cpu.value, at: seconds(s.at)}, true
}

// count adds the counters that a later check compares with.
func (s *subject) count(counters map[string]float64) {
	if u, ok := s.usage(); ok {
		counters[s.role+"_pid"] = u.pid
		counters[s.role+"_start_seconds"] = u.start
		counters[s.role+"_cpu_seconds"] = u.cpu
		counters[s.role+"_read_seconds"] = u.at
	}
}

// counted reads what count wrote.
func counted(role string, counters map[string]float64) (usage, bool) {
	pid, ok := counters[role+"_pid"]
	return usage{
		pid:   pid,
		start: counters[role+"_start_seconds"],
		cpu:   counters[role+"_cpu_seconds"],
		at:    counters[role+"_read_seconds"],
	}, ok
}

// baseline picks the earlier usage to compare with: of the same process, the
// newest that is at least window old, else the oldest that is at least shortest old.
func baseline(role string, now usage, samples []sdk.Sample) (usage, bool) {
	var best usage
	found := false
	for _, s := range samples { // oldest first
		then, ok := counted(role, s.Counters)
		if !ok || then.pid != now.pid || math.Abs(then.start-now.start) > sameStart || then.cpu > now.cpu {
			continue
		}
		switch age := now.at - then.at; {
		case age >= window.Seconds():
			best, found = then, true
		case age >= shortest.Seconds() && !found:
			best, found = then, true
		}
	}
	return best, found
}

// between is the share of cpus that a process used between two readings.
func between(then, now usage, cpus float64) share {
	elapsed := now.at - then.at
	if elapsed <= 0 || cpus <= 0 {
		return share{err: fmt.Errorf("the clock went back by %.3f s during the measurement", -elapsed)}
	}
	percent := 100 * (now.cpu - then.cpu) / elapsed / cpus
	// Hundredths are finer than the system's clock, and keep 96 % from being 95.99999.
	return share{percent: math.Round(100*min(100, max(0, percent))) / 100, seconds: elapsed}
}

// cpuShares measures the CPU use of each subject. Those without a past that can
// be compared with are read again after a short pause, all in the same one.
func (c *checker) cpuShares(ctx context.Context, subjects []*subject, samples []sdk.Sample) ([]share, error) {
	cpus := c.cpus()
	shares := make([]share, len(subjects))
	var fresh []int
	for i, s := range subjects {
		now, ok := s.usage()
		switch then, known := baseline(s.role, now, samples); {
		case !ok:
			shares[i].err = s.unknownUsage()
		case known:
			shares[i] = between(then, now, cpus)
		default:
			fresh = append(fresh, i)
		}
	}
	if len(fresh) == 0 {
		return shares, nil
	}
	if err := c.pause(ctx, within); err != nil {
		return nil, fmt.Errorf("measure CPU for %v: %w", within, err)
	}
	for _, i := range fresh {
		s := subjects[i]
		then, _ := s.usage()
		again := &subject{role: s.role, pid: s.pid}
		again.process, again.err = c.look(ctx, s.pid)
		now, ok := again.usage()
		if !ok || math.Abs(then.start-now.start) > sameStart {
			shares[i].err = fmt.Errorf("process %d ended during the measurement", s.pid)
			continue
		}
		shares[i] = between(then, now, cpus)
	}
	return shares, nil
}

func (s *subject) unknownUsage() error {
	for _, err := range []error{s.err, s.cpu.err, s.start.err} {
		if err != nil {
			return err
		}
	}
	return nil
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
