package eventlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary runs itself as another process: a writer that is killed, and one
// that lives on a file system of 64 KiB.
const roleEnv = "EVENTLOG_TEST_ROLE"

func TestMain(m *testing.M) {
	role, dir, isRole := strings.Cut(os.Getenv(roleEnv), " ")
	if !isRole {
		os.Exit(m.Run())
	}
	run := map[string]func(dir string) error{"writer": writeForEver, "full-disk": fillTheDisk}[role]
	if err := run(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func role(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleEnv+"="+name+" "+dir)
	return cmd
}

func takenOver(opts Options) (*Log, error) {
	l, err := Open(opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return l, l.TakeOver(ctx)
}

// writeForEver appends events of different sizes and says of each that it is kept.
func writeForEver(dir string) error {
	l, err := takenOver(options(dir))
	if err != nil {
		return err
	}
	for n := int(l.Last().Sequence) + 1; ; n++ {
		r := numbered(n)
		r.Kind = strings.Repeat("x", rand.IntN(20_000)) // several pages, so that a kill can fall between them
		o, err := l.Append(r)
		if err != nil {
			return err
		}
		l.PutSession(Session{PID: fmt.Sprint("p", n%50), SID: "s", Namespace: "/", Rooms: map[string]uint64{"s": o.Sequence}})
		fmt.Println(n, o)
	}
}

func TestWhatWasAppendedOutlivesAKillInMidWrite(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []Offset
	for range 20 {
		cmd := role(t, "writer", dir)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		die := 1 + rand.IntN(200)
		for i := 0; lines.Scan(); i++ {
			var n int
			var text string
			if _, err := fmt.Sscan(lines.Text(), &n, &text); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			o, err := ParseOffset(text)
			if err != nil {
				t.Fatal(err)
			}
			if i == die {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			acknowledged = append(acknowledged, o)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the writer has ended by itself")
		}
	}
	// The last log keeps no more than its bounds, so look at what it has.
	l := open(t, options(dir))
	last := acknowledged[len(acknowledged)-1]
	kept := 0
	for _, o := range acknowledged {
		if o.Sequence+uint64(l.State().Events) < last.Sequence {
			continue
		}
		kept++
		if err := l.Knows(o); err != nil {
			t.Fatalf("%v was given out and is not known: %v", o, err)
		}
	}
	if kept < 1000 {
		t.Errorf("only %d offsets were tried", kept)
	}
	first := acknowledged[len(acknowledged)-kept]
	next := first.Sequence
	if err := l.Since(first, func(r *Record, _ Offset) bool {
		next++
		return string(r.Data) == string(numbered(int(next)).Data)
	}); err != nil || next < last.Sequence {
		t.Errorf("events after %v end with %d (%v), want at least %d", first, next, err, last.Sequence)
	}
	if n := l.State().Sessions; n != 50 {
		t.Errorf("%d sessions outlived the kills, want 50", n)
	}
}

func TestALockEndsWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := role(t, "writer", dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if lines := bufio.NewScanner(stdout); !lines.Scan() { // it has the lock
		t.Fatal("the writer has ended")
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil { // hung, not dead
		t.Fatal(err)
	}
	l, err := Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := l.TakeOver(short); !errors.Is(err, ErrInUse) {
		t.Fatalf("taken over from a writer that hangs: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.TakeOver(ctx); err != nil {
		t.Errorf("taken over from a writer that is dead: %v", err)
	}
}

// TestAFullDiskCostsNoEventsWhileTheProcessLives runs in a mount namespace of its
// own, which needs root, or a kernel that lets users have namespaces.
func TestAFullDiskCostsNoEventsWhileTheProcessLives(t *testing.T) {
	cmd := role(t, "full-disk", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// fillTheDisk has a log live through a full disk, on a file system of 64 KiB.
func fillTheDisk(dir string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v\n%s", v, debug.Stack())
		}
	}()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		return fmt.Errorf("mount a file system of 64 KiB: %w; run the test as root", err)
	}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			panic(fmt.Sprintf(format, args...))
		}
	}
	text := &logText{}
	opts := options(filepath.Join(dir, "log"))
	opts.Log = text.logger()
	l, err := takenOver(opts)
	if err != nil {
		return err
	}
	l.PutSession(Session{PID: "a", SID: "a", Namespace: "/"})
	n := 0
	add := func() Offset {
		n++
		r := numbered(n)
		r.Kind = strings.Repeat("x", 500)
		o, err := l.Append(r)
		check(err == nil && o.Sequence == uint64(n), "event %d got %v (%v)", n, o, err)
		return o
	}
	everything := func(l *Log, after Offset) []string {
		var list []string
		err := l.Since(after, func(r *Record, _ Offset) bool { list = append(list, string(r.Data)); return true })
		check(err == nil, "since %v: %v", after, err)
		return list
	}
	first := add()
	for l.State().Failure == "" {
		check(n < 1000, "a disk of 64 KiB takes 1000 events")
		add()
	}
	last := add()
	failed := n - 1 // the first that did not fit, or the one before it
	check(strings.Contains(l.State().Failure, "no space left"), "State says %q", l.State().Failure)
	check(strings.Contains(text.String(), "kept in memory only"), "the log says %s", text)
	check(slices.Equal(everything(l, first), want(2, n)), "in memory and on the disk there is not everything")

	// Who looks at the directory now, as after a kill, is not told that all is there.
	beside, err := Open(opts)
	check(err == nil, "open beside: %v", err)
	defer beside.Close()
	check(beside.State().Last.Sequence < uint64(n), "the full disk has event %d", n)
	check(errors.Is(beside.Knows(last), ErrUnknownOffset), "an offset that is not on the disk is known")

	// A session that cannot be written leaves none behind that is wrong.
	for i := 0; l.State().Sessions < 2000 && !strings.Contains(text.String(), "sessions cannot be written"); i++ {
		l.PutSession(Session{PID: strings.Repeat("p", 100) + fmt.Sprint(i), SID: "s", Namespace: "/"})
	}
	check(strings.Contains(text.String(), "sessions cannot be written"), "no session was too much for the disk")
	info, err := os.Stat(filepath.Join(opts.Dir, sessionsFile))
	check(err == nil && info.Size() == 0, "the file of sessions has %v (%v)", info, err)
	for range l.State().Sessions - 3 { // a few are left
		for pid := range l.sessions.byPID {
			l.DropSession(pid)
			break
		}
	}

	// Space returns: a larger file system in the same place.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		return err
	}
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for l.State().Failure != "" {
		check(time.Now().Before(deadline), "the log did not go back to the disk: %+v", l.State())
		<-tick.C
	}
	add()
	l.Close()
	l, err = takenOver(opts)
	if err != nil {
		return err
	}
	defer l.Close()
	check(slices.Equal(everything(l, first), want(2, n)), "the disk has not everything that was in memory")
	check(l.Knows(last) == nil, "the offset of event %d is not known", failed)
	check(l.State().Sessions == 3, "%d sessions were written, want 3", l.State().Sessions)
	return nil
}

// TestAProcessThatDiesWhileTheDiskIsFullLeavesAnHonestLog: events that only its
// memory had are missing, and nobody is told otherwise.
func TestAProcessThatDiesWhileTheDiskIsFullLeavesAnHonestLog(t *testing.T) {
	dir := t.TempDir()
	l := open(t, options(dir))
	offset := appendAll(t, l, numbered(1))
	l.mu.Lock()
	l.failed(syscall.ENOSPC, time.Now())
	l.retryAt = time.Now().Add(time.Hour)
	l.begin(time.Now())
	l.mu.Unlock()
	appendAll(t, l, numbered(2))            // in memory
	if err := l.lock.Unlock(); err != nil { // as its death would
		t.Fatal(err)
	}
	next := open(t, options(dir))
	if got := appendAll(t, next, numbered(3)); got.Sequence != 2 {
		t.Fatalf("the next event is %v", got)
	}
	if err := next.Knows(offset); !errors.Is(err, ErrUnknownOffset) {
		t.Errorf("the log says to know what followed %v, but it lost that: %v", offset, err)
	}
}
