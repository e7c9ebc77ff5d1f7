package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

var bundledChecks = []string{"process_resources", "network_connectivity", "service_health"}

// host starts a host with default settings beside the given ones, and waits
// until it serves and has looked at everything once.
func (b *bench) host(ctx context.Context, config map[string]any) (*rig.Host, error) {
	state, err := os.MkdirTemp(b.tmp, "state-")
	if err != nil {
		return nil, err
	}
	o := rig.Options{Root: b.root, StateDir: state}
	if config != nil {
		raw, err := json.Marshal(config)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(state, "..", filepath.Base(state)+".json")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			return nil, err
		}
		o.Args = []string{"--config", path}
	}
	h, err := rig.Start(o)
	if err != nil {
		return nil, err
	}
	ready, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err = h.WaitServing(ready); err == nil {
		_, err = h.WaitReported(ready, bundledChecks...)
	}
	if err != nil {
		text := h.Output.Text()
		end(h)
		return nil, fmt.Errorf("host does not come up: %w\n%s", err, text)
	}
	return h, nil
}

// end stops a host, by force if it must.
func end(h *rig.Host) {
	_ = h.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := h.Wait(ctx); err != nil {
		h.Kill()
	}
}

// pause lets time pass, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hit sends a signal to the hub and waits until another one answers HTTP. gone
// is when the old one was dead.
func hit(ctx context.Context, h *rig.Host, sig syscall.Signal) (gone, answered time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	old, err := h.Hub()
	if err != nil {
		return 0, 0, err
	}
	since := time.Now()
	if err := old.Signal(sig); err != nil {
		return 0, 0, err
	}
	dead := make(chan error, 1)
	go func() {
		_, err := rig.WaitGone(ctx, old)
		gone = time.Since(since)
		dead <- err
	}()
	answered, err = rig.AnswersAgain(ctx, h, since)
	if err = errors.Join(err, <-dead); err != nil {
		return gone, answered, err
	}
	if now, err := h.Hub(); err != nil || now.PID == old.PID {
		return gone, answered, fmt.Errorf("the hub was not replaced: %w", err)
	}
	return gone, answered, nil
}
