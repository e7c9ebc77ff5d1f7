package hubproc

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/upkeephub/upkeep/internal/child"
)

// host runs a keeper in a process of its own and gives its events, a line each.
func host(t *testing.T, modes string) (p *child.Process, events chan string) {
	t.Helper()
	events = make(chan string, 1000)
	p, err := child.Start(child.Spec{
		Name: "host", Path: "/proc/self/exe", Env: []string{modeKey + "=host", "HUB_MODES=" + modes, "GORACE=atexit_sleep_ms=0"},
		Stdout: func(line string) { events <- line },
		Stderr: func(line string) { events <- "stderr: " + line },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		<-p.Done()
	})
	return p, events
}

func awaitLine(t *testing.T, events chan string, prefix string) string {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case line := <-events:
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
			t.Logf("host: %s", line)
		case <-late:
			t.Fatalf("no line %q", prefix)
		}
	}
}

func TestPausedHostDoesNotBlameItsHub(t *testing.T) {
	for _, c := range []struct {
		modes, after string
		away         time.Duration
		why          string
	}{
		// With a question open, as its hub sleeps over the first one.
		{"slow-beat", "serving ", 600 * time.Millisecond, "shorter than the deadline of a heartbeat"},
		{"slow-beat", "serving ", 3200 * time.Millisecond, "longer"},
		{"slow-beat", "serving ", 6 * time.Second, "longer than a busy hub is given"},
		{"work-on-load", "launched ", 3 * time.Second, "longer than the deadline of the start"},
	} {
		t.Run(c.after+c.away.String(), func(t *testing.T) {
			t.Parallel()
			p, events := host(t, c.modes)
			awaitLine(t, events, c.after)
			if c.after == "serving " {
				<-time.After(600 * time.Millisecond) // the question is open by now, for half a second after the start
			}
			kill(t, p.PID(), syscall.SIGSTOP)
			<-time.After(c.away)
			kill(t, p.PID(), syscall.SIGCONT)
			<-time.After(1200 * time.Millisecond) // time enough for a false verdict
			if exit := p.Stop(t.Context(), patience); exit.Code != 0 {
				t.Errorf("host ended with %v", exit)
			}
			for line := range events {
				kind, _, _ := strings.Cut(line, " ")
				switch EventKind(kind) {
				case Ended:
					return
				case Paused, Serving:
				default:
					t.Fatalf("host says %q, want nothing but its own pause (%s)", line, c.why)
				}
			}
		})
	}
}

func TestHubDiesWithAKilledHost(t *testing.T) {
	p, events := host(t, "good")
	var pid int
	if _, err := fmt.Sscanf(awaitLine(t, events, "serving "), "%d", &pid); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	kill(t, p.PID(), syscall.SIGKILL)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
	if err != nil || n == 0 {
		t.Errorf("hub %d outlives its host by more than a second (%v)", pid, err)
	}
}
