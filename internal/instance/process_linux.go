package instance

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is the unit in which the kernel tells user space, on every
// architecture that Go supports.
const ticksPerSecond = 100

// lookUp asks the kernel who the process is. The error is fs.ErrNotExist, errZombie, or
// says what could not be read.
func lookUp(pid int) (process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return process{}, gone(err)
	}
	end := bytes.LastIndexByte(stat, ')') // the name before it may hold anything
	fields := bytes.Fields(stat[end+1:])  // fields[0] is field 3 of proc(5)
	if end < 0 || len(fields) < 20 {
		return process{}, fmt.Errorf("read %s/stat: it is cut", dir)
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		return process{}, errZombie
	}
	p := process{}
	if p.startTicks, err = strconv.ParseUint(string(fields[22-3]), 10, 64); err != nil {
		return process{}, fmt.Errorf("read %s/stat: start time: %w", dir, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{}, fmt.Errorf("read the boot id: %w", err)
	}
	p.bootID = strings.TrimSpace(string(boot))
	if p.started, err = startOf(p.startTicks); err != nil {
		return process{}, err
	}
	exe, err := os.Readlink(dir + "/exe")
	if err != nil {
		return process{}, gone(err)
	}
	p.executable = strings.TrimSuffix(exe, " (deleted)") // replaced by a newer one while it runs
	return p, nil
}

// startOf turns ticks since boot into a time, which is as exact as the kernel's
// idea of when it booted: a second.
func startOf(ticks uint64) (time.Time, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time of boot: %w", err)
	}
	_, after, found := bytes.Cut(stat, []byte("\nbtime "))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	boot, err := strconv.ParseInt(string(line), 10, 64)
	if !found || err != nil {
		return time.Time{}, errors.New("read the time of boot: /proc/stat does not say")
	}
	return time.Unix(boot, 0).Add(time.Duration(ticks) * (time.Second / ticksPerSecond)), nil
}

// gone translates the ways in which the kernel says that a process has ended.
func gone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return fs.ErrNotExist
	}
	return err
}
