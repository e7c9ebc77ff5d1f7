package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/proto/handshake"
)

// Stat is what the kernel says about a process at one moment.
type Stat struct {
	PID     int
	Parent  int
	State   byte          // R, S, D, T (stopped), Z (zombie), …
	CPU     time.Duration // user and system time of the process so far
	Start   uint64        // in clock ticks since boot: with PID the identity of the process
	RSS     int64         // resident bytes
	Command []string
}

// ticks per second of /proc's clocks on every Linux that Go runs on.
const ticks = 100

// ReadStat reads a process. An error means that there is none with that pid.
func ReadStat(pid int) (Stat, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	raw, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Stat{}, err
	}
	// The name, in parentheses, may hold anything; the last one ends it.
	end := bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[end+1:]))
	if end < 0 || len(fields) < 22 {
		return Stat{}, fmt.Errorf("rig: cannot read %s/stat: %q", dir, raw)
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(fields[i-3], 10, 64); return n }
	s := Stat{
		PID: pid, Parent: int(number(4)), State: fields[0][0], Start: uint64(number(22)),
		CPU: time.Duration(number(14)+number(15)) * time.Second / ticks, RSS: number(24) * int64(os.Getpagesize()),
	}
	command, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return Stat{}, err
	}
	s.Command = strings.Split(strings.TrimRight(string(command), "\x00"), "\x00")
	return s, nil
}

func pids() []int {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(filepath.Base(e)); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// Children lists the direct children of a process, zombies included.
func Children(pid int) []Stat {
	var children []Stat
	for _, p := range pids() {
		if s, err := ReadStat(p); err == nil && s.Parent == pid {
			children = append(children, s)
		}
	}
	slices.SortFunc(children, func(a, b Stat) int { return a.PID - b.PID })
	return children
}

// Started lists the living processes that this host started, directly or not,
// and whoever is their parent now: host marks their environment.
func (h *Host) Started() []Stat {
	marker := fmt.Appendf(nil, "%s=%d:%d:", handshake.ChildMarkerEnv, h.Self.PID, h.Self.Start)
	var found []Stat
	for _, p := range pids() {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(p) + "/environ")
		if err != nil {
			continue
		}
		for entry := range bytes.SplitSeq(env, []byte{0}) {
			if !bytes.HasPrefix(entry, marker) {
				continue
			}
			if s, err := ReadStat(p); err == nil && s.State != 'Z' {
				found = append(found, s)
			}
		}
	}
	return found
}

// Alive says whether exactly this process (not another one that got its pid)
// still runs. A zombie does not.
func (s Stat) Alive() bool {
	now, err := ReadStat(s.PID)
	return err == nil && now.Start == s.Start && now.State != 'Z'
}

// Signal sends a signal to exactly this process.
func (s Stat) Signal(sig syscall.Signal) error {
	if !s.Alive() {
		return fmt.Errorf("rig: process %d is gone", s.PID)
	}
	return syscall.Kill(s.PID, sig)
}

// WaitGone waits until none of the processes lives any more, and returns how
// long that took. The error names those that still live when ctx ends.
func WaitGone(ctx context.Context, processes ...Stat) (time.Duration, error) {
	began := time.Now()
	var left []string
	err := Poll(ctx, 2*time.Millisecond, func() error {
		left = left[:0]
		for _, s := range processes {
			if s.Alive() {
				left = append(left, fmt.Sprintf("%d (%s)", s.PID, strings.Join(s.Command, " ")))
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("still there: %s", strings.Join(left, ", "))
		}
		return nil
	})
	return time.Since(began), err
}

// Poll calls f every interval until it returns nil, or ctx ends; then the
// error is f's last one.
func Poll(ctx context.Context, interval time.Duration, f func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}
