package child

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSweepEndsOnlyWhatADeadParentOfTheSameDirectoryLeft(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	direct := map[*Process]int{}
	orphan := func(dir string) (grandchild int, p *Process) {
		p, out := start(t, "middle", func(s *Spec) { s.Env = append(s.Env, "CHILD_MODE=holder", "MARKER_DIR="+dir) })
		direct[p] = out.awaitNumber(t, "child ")
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
		gone(t, direct[p], 10*time.Second) // by its parent's death, which the kernel need not hurry with
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

func FuzzParseStatNeverPanics(f *testing.F) {
	f.Add([]byte("1 (a) b) (c) S 7 1 1 0 -1 4194560 1 2 3 4 30 12 0 0 20 0 1 0 4242 1 1"))
	f.Add([]byte("1 (x"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = parseStat(data) })
}

func TestParseStatReadsBehindAHostileName(t *testing.T) {
	stat, err := parseStat([]byte("1 (a) Z 9 9) S 7 1 1 0 -1 4194560 1 2 3 4 30 12 0 0 20 0 1 0 4242 1 1\n"))
	if want := (Stat{State: 'S', PPID: 7, CPUTicks: 42, StartTicks: 4242}); err != nil || stat != want {
		t.Errorf("stat is %+v (%v), want %+v", stat, err, want)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1 2 3", "1 (x) S one 1 1 0 -1 4194560 1 2 3 4 30 12 0 0 20 0 1 0 4242"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) finds nothing wrong", bad)
		}
	}
}
