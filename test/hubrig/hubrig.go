// Package hubrig runs the hub of the built binary under a keeper of its own, with a
// budget that allows to kill it again and again, for the tests and figures of what
// a hub keeps through its end.
//
// It owns the listeners, the keeper and the hub's directory. It refuses to know what
// clients do; package rig has those.
//
// Goroutines: Start owns the one that runs the keeper; Stop waits for it.
package hubrig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/upkeephub/upkeep/internal/hubproc"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

// Hub is a kept hub.
type Hub struct {
	*hubproc.Keeper
	// Port is where clients find it, on 127.0.0.1.
	Port int

	listeners *hubproc.Listeners
	end       context.CancelFunc
	ended     chan error // holds what Run returned
}

// Start runs the hub of root's bin/host, with its event log in dir, and returns once
// it accepts. Settings may be nil: the defaults.
func Start(ctx context.Context, root, dir string, settings *hubv1.Settings, log hclog.Logger) (*Hub, error) {
	listeners, err := hubproc.Listen("127.0.0.1", 0)
	if err != nil {
		return nil, err
	}
	if settings == nil {
		settings = &hubv1.Settings{}
	}
	settings.ServerId, settings.ServerVersion = "hubrig", "1.0.0"
	settings.LogDir = filepath.Join(dir, "log")
	if settings.RecoveryWindow == nil {
		settings.RecoveryWindow = durationpb.New(2 * time.Minute)
	}
	opts := hubproc.DefaultOptions()
	opts.Executable = filepath.Join(root, "bin", "host")
	opts.Listeners, opts.Settings, opts.Log = listeners, settings, log
	opts.Restarts.Limit, opts.Restarts.Quick = 1000, 0
	h := &Hub{Port: listeners.Port(), listeners: listeners, ended: make(chan error, 1)}
	if h.Keeper, err = hubproc.New(opts); err != nil {
		return nil, errors.Join(err, listeners.Close())
	}
	running, end := context.WithCancel(context.Background())
	h.end = end
	go func() { h.ended <- h.Run(running) }()
	if err := h.Restart(ctx, "hubrig waits for it"); err != nil { // joins in with the start
		return nil, errors.Join(err, h.Stop())
	}
	return h, nil
}

// Kill ends the hub in service by SIGKILL, without waiting for that.
func (h *Hub) Kill() error {
	pid := h.Snapshot().PID
	if pid == 0 {
		return nil // the last kill is not made good yet
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.SIGKILL)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the hub: %w", err)
	}
	return nil
}

// Stop ends the hub and gives up its port.
func (h *Hub) Stop() error {
	h.end()
	return errors.Join(<-h.ended, h.listeners.Close())
}
