package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// maxDescendants bounds what Memory adds up, should a child fork without end.
const maxDescendants = 256

// Memory is what the process and its descendants hold resident, in bytes. What
// several of them share counts for each. The error is os.ErrNotExist when there
// is no such process, and errors.ErrUnsupported where the platform does not
// tell. On other platforms than Linux it is that of the process alone.
func Memory(pid int) (uint64, error) {
	total, err := resident(pid)
	if err != nil {
		return 0, err
	}
	line := []int{pid}
	for n := 0; n < len(line) && len(line) < maxDescendants; n++ {
		for _, child := range childrenOf(line[n]) {
			if more, err := resident(child); err == nil { // else it has just ended
				total += more
				line = append(line, child)
			}
		}
	}
	return total, nil
}

// resident reads /proc/PID/statm.
func resident(pid int) (uint64, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/statm"
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0, fmt.Errorf("read %s: %d fields, want at least 2", path, len(fields))
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return pages * uint64(os.Getpagesize()), nil
}

// childrenOf lists the children that the threads of a process have forked. A
// kernel without that list (CONFIG_PROC_CHILDREN) gives none.
func childrenOf(pid int) []int {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var children []int
	for _, thread := range threads {
		data, _ := os.ReadFile(dir + "/" + thread.Name() + "/children") // empty when the thread has ended
		for _, field := range bytes.Fields(data) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}
