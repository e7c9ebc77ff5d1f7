package main

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/upkeephub/upkeep/sdk"
)

func TestAStoppedAndAnEndedHubAreSeen(t *testing.T) {
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	pid := child.Process.Pid
	look := func() map[string]sdk.Metric {
		return check(t, newChecker(), sdk.Request{Target: sdk.Target{HubPID: pid, HostPID: os.Getpid()}})
	}
	if m := look()[metricStatus]; m.Status != sdk.Healthy {
		t.Errorf("a sleeping child is %v (%v), want healthy", m.Value, m.Status)
	}
	// await blocks until the kernel has done it; the child is left to be reaped.
	await := func(signal unix.Signal, event int) {
		t.Helper()
		if err := unix.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
		if err := unix.Waitid(unix.P_PID, pid, nil, event|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
	}
	await(unix.SIGSTOP, unix.WSTOPPED)
	if m := look()[metricStatus]; m.Status != sdk.Critical {
		t.Errorf("a stopped child is %v (%v), want critical", m.Value, m.Status)
	}
	await(unix.SIGKILL, unix.WEXITED)
	if m := look()[metricExists]; m.Status != sdk.Critical {
		t.Errorf("a child that ended and is not reaped is %v (%v), want critical", m.Value, m.Status)
	}
	_ = child.Wait()
	if m := look()[metricExists]; m.Status != sdk.Critical {
		t.Errorf("a child that is gone is %v (%v), want critical", m.Value, m.Status)
	}
}
