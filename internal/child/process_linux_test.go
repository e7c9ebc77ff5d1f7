package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
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

func TestExitTellsCodeAndLastWords(t *testing.T) {
	p, _ := start(t, "exit7", func(s *Spec) { s.TailLines = 3 })
	exit := await(t, p)
	if exit.Code != 7 || exit.Signal != 0 || exit.Err != nil || exit.Lived <= 0 {
		t.Errorf("exit is %+v, want code 7 after some time", exit)
	}
	if got, want := strings.Join(exit.Tail, "|"), "line 28|line 29|cannot go on"; got != want {
		t.Errorf("tail is %q, want %q: the last lines, also one without an end", got, want)
	}
	if !strings.HasPrefix(exit.String(), "exit status 7 after ") {
		t.Errorf("exit reads %q", exit)
	}
}

func TestExitBeforeTheEndSaysSo(t *testing.T) {
	p, _ := start(t, "sleep", nil)
	if exit := p.Exit(); !errors.Is(exit.Err, ErrRunning) {
		t.Errorf("exit of a running process is %+v, want ErrRunning", exit)
	}
}

func TestKilledProcessTellsTheSignal(t *testing.T) {
	p, out := start(t, "sleep", nil)
	if pid := out.awaitNumber(t, ""); pid != p.PID() {
		t.Errorf("PID is %d, the child says %d", p.PID(), pid)
	}
	if p.StartTicks() == 0 || !Alive(p.PID(), p.StartTicks()) {
		t.Errorf("a running child with start ticks %d is not alive", p.StartTicks())
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if exit := await(t, p); exit.Signal != syscall.SIGKILL || exit.Code != -1 {
		t.Errorf("exit is %+v, want SIGKILL", exit)
	}
	if Alive(p.PID(), p.StartTicks()) {
		t.Error("a reaped child is alive")
	}
}

func TestReapedProcessIsNeverSignalled(t *testing.T) {
	p, _ := start(t, "exit7", nil)
	await(t, p)
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to a reaped process: %v, want os.ErrProcessDone", err)
	}
	p.Kill()
	if exit := p.Stop(t.Context(), time.Minute); exit.Code != 7 {
		t.Errorf("Stop after the end tells %+v, want the exit as it was", exit)
	}
}

func TestStopOfAChildThatIgnoresItIsBounded(t *testing.T) {
	for _, mode := range []string{"ignore-term", "stop-self"} {
		t.Run(mode, func(t *testing.T) {
			p, out := start(t, mode, nil)
			out.await(t, "ready")
			if mode == "stop-self" {
				awaitStopped(t, p)
			}
			const grace = 200 * time.Millisecond
			began := time.Now()
			exit := p.Stop(t.Context(), grace)
			if took := time.Since(began); took > grace+time.Second {
				t.Errorf("Stop took %v, want at most grace and a second", took)
			}
			if exit.Signal != syscall.SIGKILL {
				t.Errorf("exit is %+v, want SIGKILL after the grace", exit)
			}
		})
	}
}

func TestStopDoesNotOutlastItsContext(t *testing.T) {
	p, out := start(t, "ignore-term", nil)
	out.await(t, "ready")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if exit := p.Stop(ctx, time.Hour); exit.Signal != syscall.SIGKILL {
		t.Errorf("exit is %+v, want SIGKILL when the context ends", exit)
	}
}

func TestStopEndsStandardInput(t *testing.T) {
	p, out := start(t, "until-stdin-ends", nil)
	out.await(t, "ready")
	if exit := p.Stop(t.Context(), patience); exit.Code != 0 || exit.Err != nil {
		t.Errorf("exit is %+v, want 0: the child ignores SIGTERM but heeds its input", exit)
	}
	out.await(t, "end of input")
}

func TestGrandchildThatHoldsThePipesDiesWithTheGroup(t *testing.T) {
	p, out := start(t, "holder", func(s *Spec) { s.Env = append(s.Env, "THEN_STAY=1") })
	grandchild := out.awaitNumber(t, "")
	began := time.Now()
	p.Kill()
	await(t, p)
	if took := time.Since(began); took > time.Second {
		t.Errorf("the death was noticed after %v", took)
	}
	gone(t, grandchild, time.Second)
}

func TestEndOfTheLeaderEndsItsGroup(t *testing.T) {
	p, out := start(t, "holder", nil)
	exit := await(t, p)
	if exit.Code != 0 || len(exit.Tail) != 1 || exit.Tail[0] != "last words" {
		t.Errorf("exit is %+v, want 0 with the last words", exit)
	}
	for _, line := range out.get() { // the grandchild may have been killed before it spoke
		if pid, err := strconv.Atoi(line); err == nil {
			gone(t, pid, time.Second)
		}
	}
}

func TestGrandchildInItsOwnSessionDoesNotHideTheDeath(t *testing.T) {
	p, out := start(t, "holder", func(s *Spec) { s.Env = append(s.Env, "OWN_SESSION=1", "THEN_STAY=1") })
	grandchild := out.awaitNumber(t, "")
	defer func() { _ = unix.Kill(grandchild, unix.SIGKILL) }()
	began := time.Now()
	p.Kill()
	exit := await(t, p)
	if took := time.Since(began); took > time.Second {
		t.Errorf("done after %v, want a quarter of a second for the pipes", took)
	}
	if len(exit.Tail) != 1 || exit.Tail[0] != "last words" {
		t.Errorf("tail is %q, want the last words", exit.Tail)
	}
}

func TestFloodIsDroppedAndCounted(t *testing.T) {
	var said []string // Stderr is called from one goroutine, which Done waits for
	p, _ := start(t, "flood", func(s *Spec) { s.Stderr = func(line string) { said = append(said, line) } })
	began := time.Now()
	exit := await(t, p)
	seconds := time.Since(began).Seconds()
	if exit.Code != 0 {
		t.Fatalf("exit is %+v", exit)
	}
	passed, dropped, notices := 0, 0, 0
	for _, line := range said {
		var n int
		if _, err := fmt.Sscanf(line, "[%d lines dropped: more than 200 a second]", &n); err == nil {
			dropped += n
			notices++
			continue
		}
		passed++
	}
	if passed+dropped != 1_000_000 {
		t.Errorf("%d lines passed and %d dropped, want a million in all", passed, dropped)
	}
	if most := defaultLineBurst + int(seconds*defaultLineRate) + 1; passed < defaultLineBurst || passed > most {
		t.Errorf("%d lines passed in %.1f s, want %d to %d", passed, seconds, defaultLineBurst, most)
	}
	if most := int(seconds) + 2; notices < 1 || notices > most {
		t.Errorf("%d notices in %.1f s, want one a second at most", notices, seconds)
	}
	if len(exit.Tail) != defaultTailLines {
		t.Errorf("the tail has %d lines, want %d: dropped lines are in it", len(exit.Tail), defaultTailLines)
	}
}

func TestDroppedLinesAreToldWhileTheChildLives(t *testing.T) {
	errs := newLines()
	start(t, "flood", func(s *Spec) {
		s.Env = append(s.Env, "THEN_STAY=1")
		s.Stderr = errs.add
	})
	for {
		total := 0
		for _, line := range errs.get() {
			var n int
			if _, err := fmt.Sscanf(line, "[%d lines dropped", &n); err == nil {
				total += n
			}
		}
		if total > 1_000_000-10*defaultLineBurst {
			return
		}
		select {
		case <-errs.more:
		case <-time.After(patience):
			t.Fatalf("the child is silent now, and only %d dropped lines were told", total)
		}
	}
}

func TestLongLineIsCut(t *testing.T) {
	p, out := start(t, "long-line", nil)
	await(t, p)
	got := out.get()
	want := strings.Repeat("a", 64<<10) + " … [cut at 65536 bytes]"
	if len(got) != 2 || got[0] != want || got[1] != "next" {
		t.Errorf("%d lines, the first with %d bytes; want the long one cut, then the next", len(got), len(got[0]))
	}
}

func TestLinesAreSanitised(t *testing.T) {
	p, out := start(t, "print", func(s *Spec) { s.Env = append(s.Env, "TEXT=grün\t\x1b[31mred\x07\xff\r\nend") })
	await(t, p)
	if got, want := strings.Join(out.get(), "|"), "grün\t\\x1b[31mred\\x07\\xff|end"; got != want {
		t.Errorf("lines are %q, want %q", got, want)
	}
}

func TestFirstLineIsGivenRawAndTheRestIsDrained(t *testing.T) {
	p, out := start(t, "print", func(s *Spec) {
		s.FirstStdoutRaw = true
		s.Env = append(s.Env, "TEXT=1|1|unix|/tmp/\xff|grpc\r\nsecond\nthird")
	})
	await(t, p) // nobody reads, and yet the child ends
	raw, err := io.ReadAll(p.FirstStdout())
	if want := "1|1|unix|/tmp/\xff|grpc\r\n"; err != nil || string(raw) != want {
		t.Errorf("first line is %q (%v), want %q", raw, err, want)
	}
	if got, want := strings.Join(out.get(), "|"), "second|third"; got != want {
		t.Errorf("the rest is %q, want %q", got, want)
	}
}

func TestFirstLineWithoutAnEndIsBounded(t *testing.T) {
	p, out := start(t, "long-line", func(s *Spec) { s.FirstStdoutRaw = true })
	raw, err := io.ReadAll(p.FirstStdout())
	if err != nil || len(raw) != firstLineLimit+1 || raw[firstLineLimit] != '\n' {
		t.Errorf("first line has %d bytes (%v), want %d and an end", len(raw), err, firstLineLimit)
	}
	if out.await(t, "next") != "" {
		t.Error("the second line is not whole")
	}
}

func TestFirstLineReaderEndsWithASilentChild(t *testing.T) {
	p, _ := start(t, "sleep", func(s *Spec) { s.FirstStdoutRaw = true; s.Env[0] = modeKey + "=ignore-term" })
	r := p.FirstStdout()
	buf := make([]byte, 100)
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != "ready\n" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := r.Read(buf)
		got <- err
	}()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != io.EOF {
		t.Errorf("read after Close: %v, want io.EOF", err)
	}
}

func TestChildInheritsNothing(t *testing.T) {
	t.Setenv("A_SECRET_OF_OURS", "1")
	dir := t.TempDir()
	p, out := start(t, "environment", func(s *Spec) {
		s.Env = append(s.Env, "GIVEN=yes")
		s.Argv0, s.Args, s.Dir = "nick", []string{"a b", "c"}, dir
	})
	await(t, p)
	want := []string{modeKey + "=environment", raceExit, "GIVEN=yes", "dir " + dir, "args [nick a b c]"}
	if got := out.get(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the child sees %q, want %q", got, want)
	}
}

func TestChildHasOnlyTheDescriptorsItWasGiven(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// As a careless parent of ours might: a descriptor without close-on-exec.
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	leaked := -1
	if err := raw.Control(func(fd uintptr) { leaked, err = unix.Dup(int(fd)) }); err != nil || leaked < 0 {
		t.Fatal(err)
	}
	defer unix.Close(leaked)
	p, out := start(t, "descriptors", func(s *Spec) { s.ExtraFiles = []*os.File{r} })
	await(t, p)
	pipes := 0
	for _, line := range out.get() {
		number, target, _ := strings.Cut(line, " ")
		if strings.HasPrefix(target, "pipe:") {
			pipes++
		}
		if n, err := strconv.Atoi(number); err == nil && n > 3 && (strings.HasPrefix(target, "pipe:") || strings.HasPrefix(target, "socket:")) {
			t.Errorf("descriptor %d of the child is %s, which nobody gave it", n, target)
		}
	}
	if pipes != 4 {
		t.Errorf("the child has %d pipes, want standard input, output, error and the extra file: %q", pipes, out.get())
	}
}

func TestExtraFilesArriveInOrderAndStayOurs(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	shared, err := ln.(*net.TCPListener).File() // the file that turns blocking when asked by Fd
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	p, out := start(t, "file4", func(s *Spec) { s.ExtraFiles = []*os.File{shared, r} })
	if _, err := w.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, p)
	if got := out.get(); len(got) != 1 || got[0] != "hello <nil>" {
		t.Errorf("the child read %q", got)
	}
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("the shared socket became blocking (flags %#x, %v)", flags, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.SyscallConn(); err != nil {
		t.Errorf("the extra file was closed: %v", err)
	}
}

func TestStartSaysWhatDoesNotStart(t *testing.T) {
	before := descriptors(t)
	notExecutable := t.TempDir() + "/plain"
	if err := os.WriteFile(notExecutable, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, c := range []struct {
		spec Spec
		want error
		why  string
	}{
		{Spec{Name: "plug", Path: "/nowhere/at/all"}, os.ErrNotExist, "no such file"},
		{Spec{Name: "plug", Path: notExecutable}, os.ErrPermission, "not executable"},
		{Spec{Name: "plug", Path: "/proc/self/exe", Dir: "/nowhere"}, os.ErrNotExist, "no such folder"},
	} {
		p, err := Start(c.spec)
		if p != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), "start plug") {
			t.Errorf("%s: %v, want %v", c.why, err, c.want)
		}
	}
	if _, err := Start(Spec{Path: "/proc/self/exe", ExtraFiles: []*os.File{closed}}); err == nil || !strings.Contains(err.Error(), "closed file") {
		t.Errorf("with a closed file: %v", err)
	}
	if _, err := Start(Spec{}); err == nil || !strings.Contains(err.Error(), "Path") {
		t.Errorf("without a path: %v", err)
	}
	if _, err := Start(Spec{Path: "x", ExtraFiles: []*os.File{nil}}); err == nil || !strings.Contains(err.Error(), "ExtraFiles[0]") {
		t.Errorf("with a nil file: %v", err)
	}
	runtime.GC() // the write end above
	if after := descriptors(t); after > before+1 {
		t.Errorf("%d descriptors before, %d after failed starts", before, after)
	}
}

func TestChildDiesWithAKilledParent(t *testing.T) {
	p, out := start(t, "middle", func(s *Spec) { s.Env = append(s.Env, "CHILD_MODE=ignore-term") })
	pid := out.awaitNumber(t, "child ")
	out.await(t, "says ready")
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, pid, time.Second)
	await(t, p)
}

func TestChildOutlivesTheThreadOfItsStarter(t *testing.T) {
	out := newLines()
	var p *Process
	var err error
	began := make(chan struct{})
	tid := 0
	var starter func()
	starter = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if tid = unix.Gettid(); tid == os.Getpid() {
			go starter() // the main thread alone does not end
			<-began
			runtime.UnlockOSThread()
			return
		}
		defer close(began)
		p, err = Start(Spec{Path: "/proc/self/exe", Env: []string{modeKey + "=until-stdin-ends", raceExit}, Stdout: out.add})
	}
	go starter()
	<-began
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	out.await(t, "ready")
	for deadline := time.Now().Add(patience); unix.Tgkill(os.Getpid(), tid, 0) == nil; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the starter's thread does not end; this test proves nothing")
		}
	}
	if exit := p.Stop(t.Context(), patience); exit.Code != 0 || exit.Signal != 0 {
		t.Errorf("exit is %+v, want 0: the child was alive when asked to stop", exit)
	}
}

func TestHundredChildrenLeaveNothingBehind(t *testing.T) {
	ignored := goleak.IgnoreCurrent()
	before := descriptors(t)
	for range 10 {
		var group sync.WaitGroup
		for i := range 10 {
			group.Add(1)
			go func() {
				defer group.Done()
				p, err := Start(Spec{Path: "/proc/self/exe", Env: []string{modeKey + "=sleep"}, FirstStdoutRaw: i%2 == 0})
				if err != nil {
					t.Error(err)
					return
				}
				if i%3 == 0 {
					p.Stop(t.Context(), time.Second)
				} else {
					p.Kill()
					<-p.Done()
				}
			}()
		}
		group.Wait()
	}
	goleak.VerifyNone(t, ignored)
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestBlockedLineFunctionDoesNotHideTheDeath(t *testing.T) {
	release := make(chan struct{})
	p, _ := start(t, "sleep", func(s *Spec) { s.Stdout = func(string) { <-release } })
	defer close(release)
	p.Kill()
	began := time.Now()
	await(t, p)
	if took := time.Since(began); took > time.Second {
		t.Errorf("done after %v, want at most half a second", took)
	}
}

func TestSweepEndsOnlyWhatADeadParentOfTheSameDirectoryLeft(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	orphan := func(dir string) (grandchild int, p *Process) {
		p, out := start(t, "middle", func(s *Spec) { s.Env = append(s.Env, "CHILD_MODE=holder", "MARKER_DIR="+dir) })
		return out.awaitNumber(t, "says "), p
	}
	mine, dead := orphan(dir)
	others, alsoDead := orphan(other)
	living, alive := orphan(dir)
	for _, pid := range []int{mine, others, living} {
		t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	}
	for _, p := range []*Process{dead, alsoDead} {
		p.Kill()
		await(t, p)
	}
	swept, err := Sweep(t.Context(), "TEST_MARKER", dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(swept) != 1 || swept[0].PID != mine || !swept[0].Gone || swept[0].Marker.PID != dead.PID() || swept[0].Command == "" {
		t.Errorf("swept %+v, want only %d, left by %d", swept, mine, dead.PID())
	}
	gone(t, mine, time.Second)
	for _, pid := range []int{others, living} {
		if stat, err := ReadStat(pid); err != nil || stat.Dead() {
			t.Errorf("process %d was ended: %+v, %v", pid, stat, err)
		}
	}
	again, err := Sweep(t.Context(), "TEST_MARKER", dir)
	if err != nil || len(again) != 0 {
		t.Errorf("a second sweep ended %+v (%v), want nothing", again, err)
	}
	alive.Kill()
}

func TestReadStatTellsAStoppedProcess(t *testing.T) {
	p, out := start(t, "ignore-term", nil)
	out.await(t, "ready")
	if stat, err := ReadStat(p.PID()); err != nil || stat.Stopped() || stat.PPID != os.Getpid() || stat.StartTicks != p.StartTicks() {
		t.Errorf("running: %+v, %v", stat, err)
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awaitStopped(t, p)
	if stat, err := ReadStat(p.PID()); err != nil || !stat.Stopped() {
		t.Errorf("stopped: %+v, %v", stat, err)
	}
	p.Kill()
	await(t, p)
	if _, err := ReadStat(p.PID()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v, want os.ErrNotExist", err)
	}
}

func TestRunnableTellsWorkFromSleep(t *testing.T) {
	spinner, out := start(t, "spin", nil)
	out.await(t, "ready")
	for deadline := time.Now().Add(patience); !Runnable(spinner.PID()); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("a spinning process is never runnable")
		}
	}
	if err := spinner.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awaitStopped(t, spinner)
	for deadline := time.Now().Add(patience); Runnable(spinner.PID()); runtime.Gosched() { // threads stop one by one
		if time.Now().After(deadline) {
			t.Fatal("a stopped process is runnable")
		}
	}
	spinner.Kill()
	await(t, spinner)
	if Runnable(spinner.PID()) {
		t.Error("a process that is gone is runnable")
	}
}

func TestReadStatCountsProcessorTime(t *testing.T) {
	before, err := ReadStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	buf := bytes.Repeat([]byte{1}, 1<<20)
	for deadline := time.Now().Add(patience); ; {
		bytes.IndexByte(buf, 2)
		now, err := ReadStat(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now.CPUTicks > before.CPUTicks+2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %d ticks after %v of work", now.CPUTicks, patience)
		}
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
