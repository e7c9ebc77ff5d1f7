package e2e

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// serviceManager is the other end of sd_notify(3).
type serviceManager struct {
	t      *testing.T
	socket string
	conn   *net.UnixConn
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &serviceManager{t: t, socket: filepath.Join(dir, "notify")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.conn.Close() })
	return m
}

// message waits for the next one, as its lines; none within the given time: nil.
func (m *serviceManager) message(patience time.Duration) []string {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Split(string(b[:n]), "\n")
}

// until reads on until a message has a line that begins so, and returns that message.
func (m *serviceManager) until(prefix string) []string {
	m.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		lines := m.message(time.Until(end))
		if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) }) {
			return lines
		}
	}
	m.t.Fatalf("the service manager was not told %s", prefix)
	return nil
}

func TestAServiceManagerIsToldOfStartReloadTroubleAndStop(t *testing.T) {
	m := newServiceManager(t)
	h := launch(t, rig.Options{Env: map[string]string{"NOTIFY_SOCKET": m.socket, "WATCHDOG_USEC": "1000000"}})
	ready := m.until("READY=1")
	if !slices.ContainsFunc(ready, func(l string) bool {
		return strings.HasPrefix(l, "STATUS=") && strings.Contains(l, "listening on")
	}) {
		t.Errorf("ready says %q, want where it listens", ready)
	}
	m.until("STATUS=healthy")
	m.until("WATCHDOG=1")

	if err := syscall.Kill(h.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	reloading := m.until("RELOADING=1")
	if !slices.ContainsFunc(reloading, func(l string) bool { return strings.HasPrefix(l, "MONOTONIC_USEC=") }) {
		t.Errorf("reloading says %q, want the time beside it", reloading)
	}
	m.until("READY=1")

	if err := syscall.Kill(h.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.until("STOPPING=1")
}

func TestAHostThatIsFrozenGivesNoSignOfLife(t *testing.T) {
	m := newServiceManager(t)
	h := launch(t, rig.Options{Env: map[string]string{"NOTIFY_SOCKET": m.socket, "WATCHDOG_USEC": "1000000"}})
	m.until("READY=1")
	m.until("WATCHDOG=1")
	if err := syscall.Kill(h.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(h.PID(), syscall.SIGCONT) })
	// What was sent before lies in the socket; then there is silence for longer
	// than the watchdog allows, and a service manager would act.
	for m.message(2*time.Second) != nil {
	}
	if err := syscall.Kill(h.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.until("WATCHDOG=1")
}
