package child

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Marker is what a parent writes into the environment of all its children, so
// that what outlives it can be found: grandchildren inherit it too.
type Marker struct {
	// Dir is the parent's own directory: the absolute path of its state.
	Dir string
	// PID and StartTicks name the parent.
	PID        int
	StartTicks uint64
}

// NewMarker is the marker of this process for its directory, which has to be an
// absolute path.
func NewMarker(dir string) Marker {
	m := Marker{Dir: dir, PID: os.Getpid()}
	if stat, err := ReadStat(m.PID); err == nil {
		m.StartTicks = stat.StartTicks
	}
	return m
}

// String is the value of the environment variable: "pid:ticks:dir".
func (m Marker) String() string { return fmt.Sprintf("%d:%d:%s", m.PID, m.StartTicks, m.Dir) }

// ParseMarker reads what String wrote.
func ParseMarker(s string) (Marker, error) {
	bad := fmt.Errorf("read child marker %q: want pid:ticks:directory", s)
	pidText, rest, _ := strings.Cut(s, ":")
	ticksText, dir, found := strings.Cut(rest, ":")
	if !found || dir == "" {
		return Marker{}, bad
	}
	pid, err := strconv.Atoi(pidText)
	if err != nil || pid <= 0 {
		return Marker{}, bad
	}
	ticks, err := strconv.ParseUint(ticksText, 10, 64)
	if err != nil {
		return Marker{}, bad
	}
	return Marker{Dir: dir, PID: pid, StartTicks: ticks}, nil
}

// Swept is a process that Sweep ended.
type Swept struct {
	PID int
	// Command is its command line, sanitised and cut at 200 bytes.
	Command string
	// Marker names the parent that it had outlived.
	Marker Marker
	// Gone is false when it did not end in time although it was sent SIGKILL.
	Gone bool
}
