package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
)

func TestAWaitThatASignalEndsSaysWhatBecameOfTheHost(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := becomesReady(ctx, t.TempDir(), 1, make(chan error))
	if problem.Code(err) != problem.Interrupted || !strings.Contains(err.Error(), "the start was interrupted") || !strings.Contains(err.Error(), "was stopped") {
		t.Errorf("a start: %v", err)
	}
	h := act(t, false)
	c := &cli{stateDir: h.dir, getenv: func(string) string { return "" }}
	found, err := c.find()
	if err != nil {
		t.Fatal(err)
	}
	gone, err := found.gone(ctx, time.Now().Add(time.Hour))
	if gone || problem.Code(err) != problem.Interrupted || !strings.Contains(err.Error(), "may still do so") {
		t.Errorf("a stop: %v, %v", gone, err)
	}
}
