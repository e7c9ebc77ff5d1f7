package instance

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gopsnet "github.com/shirou/gopsutil/v3/net"
	"golang.org/x/sys/unix"

	"github.com/upkeephub/upkeep/core/problem"
)

func TestWhoListensOnAPortIsNamedInTime(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		began := time.Now()
		found, err := Listeners(t.Context(), port)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: it took %s", addr, took)
		}
		if err != nil || len(found) != 1 || found[0].PID != os.Getpid() {
			t.Fatalf("%s: found %+v, %v, want this process", addr, found, err)
		}
		if p := found[0]; p.Name == "" || !strings.Contains(p.CommandLine, os.Args[0]) || p.Started.IsZero() || p.MemoryMB <= 0 || p.User == "" {
			t.Errorf("%s: it is described as %+v", addr, p)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		found, err = Listeners(t.Context(), port)
		if slices.ContainsFunc(found, func(p problem.Process) bool { return p.PID == os.Getpid() }) || err != nil && len(found) == 0 && !errors.Is(err, ErrUnseen) {
			t.Errorf("%s: after the end, found %+v, %v", addr, found, err)
		}
	}
}

func TestAListenerThatMayNotBeSeenIsSaidToBeThere(t *testing.T) {
	at := func(pid int32, port uint32, status string) gopsnet.ConnectionStat {
		return gopsnet.ConnectionStat{Pid: pid, Laddr: gopsnet.Addr{Port: port}, Status: status}
	}
	for _, tc := range []struct {
		why  string
		in   []gopsnet.ConnectionStat
		want []int
		err  error
	}{
		{"nobody is there", nil, nil, nil},
		{"it is another's", []gopsnet.ConnectionStat{at(0, 80, "LISTEN")}, nil, ErrUnseen},
		{"one of two is another's", []gopsnet.ConnectionStat{at(0, 80, "LISTEN"), at(7, 80, "LISTEN")}, []int{7}, nil},
		{"a server with workers, on two addresses", []gopsnet.ConnectionStat{at(9, 80, "LISTEN"), at(7, 80, "LISTEN"), at(7, 80, "LISTEN")}, []int{7, 9}, nil},
		{"clients do not listen", []gopsnet.ConnectionStat{at(7, 80, "ESTABLISHED"), at(0, 80, "TIME_WAIT")}, nil, nil},
		{"another port", []gopsnet.ConnectionStat{at(7, 81, "LISTEN")}, nil, nil},
	} {
		got, err := holders(tc.in, 80)
		if !slices.Equal(got, tc.want) || !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, %v, want %v, %v", tc.why, got, err, tc.want, tc.err)
		}
	}
}

func TestTheSearchForAListenerDoesNotOutlastItsPatience(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	found, err := Listeners(ctx, 1)
	if took := time.Since(began); took > time.Second || len(found) > 0 {
		t.Errorf("found %v, %v after %s", found, err, took)
	}
}

func TestAFrozenProcessIsSeenToBe(t *testing.T) {
	c := newChild(t, "host")
	pid := c.cmd.Process.Pid
	c.must("open " + t.TempDir())
	if Frozen(pid) {
		t.Error("a process that runs is called frozen")
	}
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if !Frozen(pid) {
		t.Error("a stopped process is not called frozen")
	}
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.must("close") // it goes on
	if Frozen(pid) {
		t.Error("a process that goes on is called frozen")
	}
	if Frozen(1<<31 - 1) {
		t.Error("a process that does not exist is called frozen")
	}
}

func TestALockThatIsLookedAtStaysAsItIs(t *testing.T) {
	dir := t.TempDir()
	look := func(why string, want bool) {
		t.Helper()
		if held, err := Locked(dir); err != nil || held != want {
			t.Errorf("%s: held is %v, %v, want %v", why, held, err, want)
		}
	}
	look("nothing is there", false)
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("the look created %v", entries)
	}
	c := newChild(t, "host")
	c.must("open " + dir)
	look("a host runs", true)
	c.must("close")
	look("it has ended", false)
	c.must("open " + dir)
	look("another runs", true)
	if held, err := Locked(filepath.Join(dir, "absent")); held || err != nil {
		t.Errorf("a directory that does not exist: %v, %v", held, err)
	}
}

func TestAHostBesideIsFoundByItsProcess(t *testing.T) {
	base := t.TempDir()
	c := newChild(t, "host")
	c.must("open " + filepath.Join(base, "8765"))
	pid := c.must("write 8765").PID
	info, ok := Sibling(filepath.Join(base, "mine"), []problem.Process{{PID: 1}, {PID: pid}})
	if !ok || info.PID != pid || info.StateDir != filepath.Join(base, "8765") {
		t.Errorf("found %+v, %v, want the host %d", info, ok, pid)
	}
	if info, ok := Sibling(filepath.Join(base, "mine"), []problem.Process{{PID: os.Getpid()}}); ok {
		t.Errorf("found %+v for a process that is no host", info)
	}
}

// Rows 75 to 77.
func TestAStalePIDFileIsAProblemForPeople(t *testing.T) {
	for status, want := range map[Staleness]string{NotFound: "not_found", Zombie: "ps -o ppid= -p 42", StalePIDFile: "somebody else", AccessDenied: "administrator", Invalid: "broken again"} {
		e := &StaleError{Path: "/s/host-1.pid", PID: 42, Status: status, Reasons: []string{"because"}}
		p := e.Problem()
		if text := p.Text(); p.Code != problem.StaleProcess || !errors.Is(p, e) || !strings.Contains(text, want) || !strings.Contains(text, "because") {
			t.Errorf("%s: %s", status, text)
		}
	}
}
