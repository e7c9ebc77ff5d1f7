package child

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what has to happen. Bounds that are
// promised are measured, not waited for.
const patience = 30 * time.Second

// lines collects what a child says and lets a test wait for it.
type lines struct {
	mu   sync.Mutex
	all  []string
	more chan struct{} // capacity 1: something was added
}

func newLines() *lines { return &lines{more: make(chan struct{}, 1)} }

func (l *lines) add(line string) {
	l.mu.Lock()
	l.all = append(l.all, line)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

// await returns the first line with this prefix, without the prefix.
func (l *lines) await(t *testing.T, prefix string) string {
	t.Helper()
	late := time.After(patience)
	for {
		for _, line := range l.get() {
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
		}
		select {
		case <-l.more:
		case <-late:
			t.Fatalf("no line %q…; the child said %q", prefix, l.get())
		}
	}
}

func (l *lines) awaitNumber(t *testing.T, prefix string) int {
	t.Helper()
	text := l.await(t, prefix)
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatalf("the child said %q, want a number", text)
	}
	return n
}

func start(t *testing.T, mode string, change func(*Spec)) (*Process, *lines) {
	t.Helper()
	out := newLines()
	spec := Spec{Name: mode, Path: "/proc/self/exe", Env: []string{modeKey + "=" + mode, raceExit}, Stdout: out.add}
	if change != nil {
		change(&spec)
	}
	p, err := Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		await(t, p)
	})
	return p, out
}

func await(t *testing.T, p *Process) Exit {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("process %d is not done", p.PID())
	}
	return p.Exit()
}

// gone waits until a process that need not be our child has ended.
func gone(t *testing.T, pid int, within time.Duration) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if !awaitGone(ctx, fd) {
		t.Errorf("process %d still runs after %v", pid, within)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// awaitStopped returns once a signal has stopped the child.
func awaitStopped(t *testing.T, p *Process) {
	t.Helper()
	if err := unix.Waitid(unix.P_PID, p.PID(), nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
