package child

import (
	"context"
	"errors"
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
