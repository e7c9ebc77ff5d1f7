package app

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/hubproc"
	"github.com/upkeephub/upkeep/internal/instance"
)

func TestLoopbackKnowsWhatOnlyThisMachineReaches(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.8.9.1": true, "::1": true, "[::1]": true,
		"": false, "0.0.0.0": false, "::": false, "192.168.1.5": false, "example.org": false, "localhost.example.org": false,
	} {
		if got := Loopback(host); got != want {
			t.Errorf("Loopback(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestAFailedStepUndoesTheStepsBeforeIt(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	probe, err := hubproc.Listen("localhost", 0)
	if err != nil {
		t.Fatal(err)
	}
	port := probe.Port()
	probe.Close()
	state := filepath.Join(t.TempDir(), "state")

	var log bytes.Buffer
	_, err = New(Options{Plugins: t.TempDir(), Port: &port, Admin: taken.Addr().String(), StateDir: state, Stdout: &log, Stderr: &log})
	if problem.Code(err) != problem.PortConflict {
		t.Fatalf("got %v, want %s", err, problem.PortConflict)
	}

	again, err := hubproc.Listen("localhost", port)
	if err != nil {
		t.Errorf("the public port is still bound: %v", err)
	} else {
		again.Close()
	}
	held, err := instance.Open(state, instance.Options{})
	if err != nil {
		t.Fatalf("the state directory is still held: %v", err)
	}
	defer held.Close()
	if left, _ := filepath.Glob(filepath.Join(state, "*.sock")); len(left) > 0 {
		t.Errorf("sockets are left: %v", left)
	}
}

func TestTheDefaultAdminAddressGivesWayWhenItIsTaken(t *testing.T) {
	for range 20 {
		probe, err := hubproc.Listen("localhost", 0)
		if err != nil {
			t.Fatal(err)
		}
		port := probe.Port()
		probe.Close()
		if port+10000 > 65535 {
			continue
		}
		taken, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+10000)))
		if err != nil {
			continue
		}
		defer taken.Close()
		var log bytes.Buffer
		a, err := New(Options{Plugins: t.TempDir(), Port: &port, StateDir: filepath.Join(t.TempDir(), "state"), Stdout: &log, Stderr: &log})
		if err != nil {
			t.Fatal(err)
		}
		defer a.close()
		if addr := a.adminAddress(); addr == "" || addr == taken.Addr().String() {
			t.Errorf("admin address %q, want a free one", addr)
		}
		if !bytes.Contains(log.Bytes(), []byte("default admin address is taken")) {
			t.Errorf("nobody is told: %s", log.String())
		}
		return
	}
	t.Fatal("no pair of free ports was found in 20 tries")
}

func TestAdminOffMakesNoListenerAndSettleEndsWithItsContext(t *testing.T) {
	var log bytes.Buffer
	zero := 0
	a, err := New(Options{Plugins: t.TempDir(), Port: &zero, Admin: AdminOff, StateDir: filepath.Join(t.TempDir(), "state"), Stdout: &log, Stderr: &log})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	(*subject)(a).Settle(ctx, a.started)
	if a.adminAPI != nil {
		t.Error("--admin off made an admin listener")
	}
}
