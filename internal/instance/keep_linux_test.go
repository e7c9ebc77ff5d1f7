package instance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/upkeephub/upkeep/core/problem"
)

// lineWriter hands log lines to the test.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func (w lineWriter) await(t *testing.T, part string) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case line := <-w:
			if strings.Contains(line, part) {
				return
			}
		case <-deadline:
			t.Fatalf("no line with %q came", part)
		}
	}
}

// keeping is an instance whose Keep runs, and looks often.
func keeping(t *testing.T, dir string) (*Instance, lineWriter) {
	t.Helper()
	lines := make(lineWriter, 100)
	i := open(t, dir, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: lines})})
	i.keepEvery = 10 * time.Millisecond
	if err := i.WritePID(Info{Port: 8765}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Keep(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return i, lines
}

// exchange lets two paths change places in one step, so that Keep, which looks
// all the time, finds no moment between two.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

func TestKeepLooksOftenEnough(t *testing.T) {
	if i := open(t, t.TempDir(), Options{}); i.keepEvery > 7*time.Second {
		t.Errorf("Keep looks every %s: what was removed must be back within 15 s", i.keepEvery)
	}
}

func TestWhatSomebodyDeletesIsPutBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	_, lines := keeping(t, dir)
	pid, lock, aside := filepath.Join(dir, "host-8765.pid"), filepath.Join(dir, "host.lock"), filepath.Join(t.TempDir(), "aside")
	before, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		why    string
		damage func() error
		told   string
	}{
		{"the PID file is gone", func() error { return os.Remove(pid) }, "the PID file was removed"},
		{"the PID file is another", func() error { return os.WriteFile(pid, []byte("1"), 0o600) }, "the PID file was removed"},
		{"the PID file is a folder", func() error { return errors.Join(os.MkdirAll(filepath.Join(aside, "x"), 0o700), exchange(aside, pid)) }, "the PID file was removed"},
		{"the lock file is gone", func() error { return os.Remove(lock) }, "the lock file was removed"},
		{"everything is gone", func() error { return os.Rename(dir, dir+"-gone") }, "the PID file was removed"},
	} {
		if err := tc.damage(); err != nil {
			t.Fatal(err)
		}
		lines.await(t, tc.told)
		if after, err := os.ReadFile(pid); err != nil || string(after) != string(before) {
			t.Errorf("%s: afterwards it holds %q (%v)", tc.why, after, err)
		}
		if _, err := Open(dir, Options{}); problem.Code(err) != problem.DaemonConflict {
			t.Errorf("%s: a second host gets %v, want daemon_conflict", tc.why, err)
		}
	}
}

func TestWhatCannotBePutBackIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	i, lines := keeping(t, dir)
	if err := errors.Join(os.WriteFile(dir+"2", nil, 0o600), exchange(dir, dir+"2")); err != nil {
		t.Fatal(err)
	}
	lines.await(t, "cannot put back")
	if err := exchange(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	if open, err := i.restore(); !open || err != nil {
		t.Errorf("with the directory back, restore gives %v, %v", open, err)
	}
}

func TestKeepEndsWhenTheInstanceIsClosed(t *testing.T) {
	i := open(t, t.TempDir(), Options{})
	i.keepEvery = time.Millisecond
	done := make(chan error, 1)
	go func() { done <- i.Keep(context.Background()) }()
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
