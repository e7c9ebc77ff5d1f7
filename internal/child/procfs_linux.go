package child

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// ReadStat reads /proc/PID/stat. The error is os.ErrNotExist when there is no
// such process, and errors.ErrUnsupported on platforms other than Linux.
func ReadStat(pid int) (Stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, syscall.ESRCH) { // ended between open and read
		err = &os.PathError{Op: "read", Path: fmt.Sprintf("/proc/%d/stat", pid), Err: os.ErrNotExist}
	}
	if err != nil {
		return Stat{}, err
	}
	stat, err := parseStat(data)
	if err != nil {
		return Stat{}, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	return stat, nil
}

// parseStat starts behind the last parenthesis: the name before it is the
// process's own choice and may hold spaces and parentheses.
func parseStat(data []byte) (Stat, error) {
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return Stat{}, errors.New("no process name in it")
	}
	fields := bytes.Fields(data[end+1:]) // fields[0] is field 3 of proc(5)
	if len(fields) < 20 {
		return Stat{}, fmt.Errorf("%d fields behind the name, want at least 20", len(fields))
	}
	var failed error
	number := func(field int) uint64 {
		n, err := strconv.ParseUint(string(fields[field-3]), 10, 64)
		if err != nil && failed == nil {
			failed = fmt.Errorf("field %d: %w", field, err)
		}
		return n
	}
	stat := Stat{
		State: fields[0][0], PPID: int(number(4)),
		CPUTicks: number(14) + number(15), StartTicks: number(22),
	}
	return stat, failed
}

// Runnable says whether any thread of the process runs or waits for a
// processor. A process that is Runnable and yet used no processor time is
// starved by others, not asleep. It is false for a process that is gone, and on
// platforms other than Linux.
func Runnable(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, thread := range threads {
		data, err := os.ReadFile(dir + "/" + thread.Name() + "/stat")
		if err != nil {
			continue
		}
		if stat, err := parseStat(data); err == nil && stat.State == 'R' {
			return true
		}
	}
	return false
}
