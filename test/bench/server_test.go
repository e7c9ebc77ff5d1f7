package main

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// prepared is a bench that can start servers.
func prepared(t *testing.T, ctx context.Context) *bench {
	t.Helper()
	b := &bench{effort: smokeEffort}
	if err := b.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(b.tmp) })
	return b
}

func TestARestartOfTheHubMakesTheRunWorthless(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := prepared(t, ctx).startUpkeep(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if err := s.unwell(ctx); err != nil {
		t.Fatalf("nothing has happened yet: %v", err)
	}
	hub, err := rig.ReadStat(s.pids[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.WaitGone(ctx, hub); err != nil {
		t.Fatal(err)
	}
	if err := s.unwell(ctx); err == nil {
		t.Error("the hub was killed, and the run counts")
	}
	if _, err := s.usage(); err == nil {
		t.Error("the CPU of a hub that is gone was read")
	}
}

func TestADeadPeerMakesTheRunWorthlessAndOneThatDoesNotListenIsAnError(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := startPeer(ctx, "sh", "-c", "echo ready; exec sleep 600")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.unwell(ctx); err != nil {
		t.Errorf("it lives: %v", err)
	}
	s.stop()
	if err := s.unwell(ctx); err == nil {
		t.Error("it is dead, and the run counts")
	}
	if s, err := startPeer(ctx, "sh", "-c", "echo no such module >&2; exit 1"); err == nil {
		s.stop()
		t.Error("a program that ended at once was taken for a server")
	}
}

func TestTooFewDescriptorsAreSaidBeforeAnythingIsMeasured(t *testing.T) {
	if err := raiseDescriptors(10); err != nil {
		t.Errorf("10 clients: %v", err)
	}
	if err := raiseDescriptors(1 << 40); err == nil {
		t.Error("a million million clients are no error")
	}
}
