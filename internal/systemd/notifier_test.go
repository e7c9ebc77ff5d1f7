//go:build unix

package systemd_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/internal/systemd"
)

// manager is a service manager's end of the protocol.
func manager(t *testing.T) (socket string, next func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return socket, func() string {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestTheManagerIsToldWhatHappens(t *testing.T) {
	socket, next := manager(t)
	n, err := systemd.New(environment("NOTIFY_SOCKET", socket), 7)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tell func() error
		want string
	}{
		{func() error { return n.Ready("listening on 127.0.0.1:8765") }, "READY=1\nSTATUS=listening on 127.0.0.1:8765"},
		{func() error { return n.Status("two\nlines") }, "STATUS=two lines"},
		{func() error { return n.Stopping("a signal asked for it") }, "STOPPING=1\nSTATUS=a signal asked for it"},
	} {
		if err := c.tell(); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != c.want {
			t.Errorf("the manager got %q, want %q", got, c.want)
		}
	}
	if err := n.Reloading(); err != nil {
		t.Fatal(err)
	}
	if got := next(); !strings.HasPrefix(got, "RELOADING=1") {
		t.Errorf("the manager got %q, want RELOADING=1", got)
	}
}

func TestWithoutAManagerNothingIsTold(t *testing.T) {
	n, err := systemd.New(environment("WATCHDOG_USEC", "1000000"), 7)
	if err != nil || n.Told() || n.Watchdog() != 0 {
		t.Errorf("told %v, watchdog %v, error %v; want nobody", n.Told(), n.Watchdog(), err)
	}
	var none *systemd.Notifier
	if err := none.Ready("x"); err != nil {
		t.Errorf("a nil notifier failed: %v", err)
	}
}

func TestOnlyTheProcessThatIsWatchedFeedsTheWatchdog(t *testing.T) {
	for _, c := range []struct {
		why, usec, pid string
		want           time.Duration
		wrong          bool
	}{
		{"watched by its id", "2000000", "7", 2 * time.Second, false},
		{"watched by default", "2000000", "", 2 * time.Second, false},
		{"another process is watched", "2000000", "8", 0, false},
		{"no number", "soon", "", 0, true},
		{"negative", "-1", "", 0, true},
		{"beyond all bounds", "9223372036854775807", "", 0, true},
	} {
		n, err := systemd.New(environment("NOTIFY_SOCKET", "@nobody", "WATCHDOG_USEC", c.usec, "WATCHDOG_PID", c.pid), 7)
		if n.Watchdog() != c.want || (err != nil) != c.wrong {
			t.Errorf("%s: watchdog %v, error %v; want %v, error %v", c.why, n.Watchdog(), err, c.want, c.wrong)
		}
	}
}

func TestASocketThatIsNoneIsSaid(t *testing.T) {
	n, err := systemd.New(environment("NOTIFY_SOCKET", "vsock:2:1234"), 7)
	if err == nil || !strings.Contains(err.Error(), "vsock:2:1234") || n.Told() {
		t.Errorf("told %v, error %v; want an error that names the value", n.Told(), err)
	}
}

func TestAManagerThatIsGoneIsAnErrorAndNoHang(t *testing.T) {
	n, err := systemd.New(environment("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone")), 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Ready("x"); err == nil {
		t.Error("telling a socket that is not there gave no error")
	}
}

func TestTheWatchdogIsFedAsLongAsTheLoopLives(t *testing.T) {
	socket, next := manager(t)
	n, err := systemd.New(environment("NOTIFY_SOCKET", socket, "WATCHDOG_USEC", "20000"), 7)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const turns = 3
	asked, lost, ended := 0, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		n.Feed(ctx, func(time.Time) bool { asked++; return asked <= turns }, func() { close(lost) })
	}()
	for range turns {
		if got := next(); got != "WATCHDOG=1" {
			t.Fatalf("the manager got %q, want a sign of life", got)
		}
	}
	<-lost
	cancel()
	<-ended
	if err := n.Status("last"); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "STATUS=last" {
		t.Errorf("after the loop was lost the manager got %q, want no sign of life", got)
	}
}
