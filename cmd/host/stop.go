package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
)

const (
	// stopPatience is how long host may take from being asked until it is gone:
	// it promises 5 s.
	stopPatience = 7 * time.Second
	// killPatience is how long the system may take to end a killed process.
	killPatience = 3 * time.Second
)

// stopped is the answer of stop.
type stopped struct {
	PID int `json:"pid"`
	// How it was stopped: asked, terminated (SIGTERM) or killed; not_running when
	// --stop found none.
	How    string `json:"how"`
	TookMS int64  `json:"took_ms"`
}

// newStopCommand is host stop.
func newStopCommand(c *cli) *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use: "stop", Short: "stop a running host", Args: operands(),
		Long: `Stop asks a running host to stop, and waits until it is gone: clients are told
first. A host that does not react is told by SIGTERM, and killed when it is still
there after --timeout. Only a process that is proved to be the host is touched.

With --json the answer has pid, how (asked, terminated or killed) and took_ms.

Exit code 0 when it is gone, 3 when no host runs.`,
		Example: "  host stop\n  host stop --port 8766",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if patience <= 0 || patience > time.Hour {
				return &usageError{fmt.Sprintf("--timeout %s is no time to wait", patience), "give a time such as 10s"}
			}
			h, err := c.find()
			if err != nil {
				return err
			}
			return c.stop(cmd.Context(), h, patience, "host stop")
		},
	}
	cmd.Flags().DurationVar(&patience, "timeout", stopPatience, "how long it may take before it is killed")
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

// stop stops the host and tells that it is gone.
func (c *cli) stop(ctx context.Context, h running, patience time.Duration, reason string) error {
	done, err := h.stop(ctx, patience, reason)
	if err != nil {
		return err
	}
	if done.How == "killed" {
		fmt.Fprintf(c.stderr, "host: note: it did not react within %s and was killed\n", patience)
	}
	return c.print(done, func(p *page) { p.printf("Server stopped successfully\n") })
}

// stop ends the host: it asks, then sends SIGTERM, then SIGKILL, and waits for
// the end. The process is held by a handle (a pidfd on Linux) before it is
// verified once more, so that no other process can be hit.
func (h running) stop(ctx context.Context, patience time.Duration, reason string) (stopped, error) {
	began := time.Now()
	done := func(how string) (stopped, error) {
		return stopped{PID: h.PID, How: how, TookMS: time.Since(began).Milliseconds()}, nil
	}
	process, err := os.FindProcess(h.PID)
	if err != nil {
		return stopped{}, fmt.Errorf("take hold of process %d: %w", h.PID, err)
	}
	defer func() { _ = process.Release() }()
	if h.Verify() != nil {
		return done("asked") // gone since we found it
	}
	deadline := began.Add(patience)
	how := "asked"
	asking, cancel := context.WithDeadline(ctx, deadline)
	_, err = h.client.Stop(asking, reason)
	cancel()
	if err != nil {
		how = "terminated"
		if err := process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			how = "killed" // there are no such signals here
			deadline = time.Now()
		}
	}
	if gone, err := h.gone(ctx, deadline); gone || err != nil {
		s, _ := done(how)
		return s, err
	}
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return stopped{}, &problem.Error{
			Code: problem.Internal, What: fmt.Sprintf("the host (pid %d) cannot be stopped", h.PID), Why: err.Error(), Err: err,
			Steps: []string{"try it as the user that started it, or as the administrator: host stop" + h.flags()}, Context: map[string]any{"pid": h.PID},
		}
	}
	gone, err := h.gone(ctx, time.Now().Add(killPatience))
	if err == nil && !gone {
		err = &problem.Error{
			Code: problem.Internal, What: fmt.Sprintf("the host (pid %d) was killed, and is still there", h.PID),
			Why: "a process can outlive SIGKILL only while the kernel waits for a disk or the network for it", Context: map[string]any{"pid": h.PID},
			Steps: []string{"see what it waits for: " + problem.Here().ShowProcess(h.PID)},
		}
	}
	s, _ := done("killed")
	return s, err
}

// gone waits until the host has ended, at most until the deadline.
func (h running) gone(ctx context.Context, deadline time.Time) (bool, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if h.Verify() != nil {
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, interrupted(ctx, "the stop", fmt.Sprintf("the host (pid %d) was asked to stop, and may still do so", h.PID))
		case <-look.C:
		}
	}
}

// referenceStop is --stop of the root command: the texts and exit codes of the
// server that Upkeep replaces.
func (c *cli) referenceStop(ctx context.Context) error {
	h, err := c.find()
	if isNotRunning(err) {
		return errors.Join(c.print(stopped{How: "not_running"}, func(p *page) { p.printf("No server running to stop\n") }), &exitError{code: exitFailure})
	}
	if err != nil {
		return err
	}
	return c.stop(ctx, h, stopPatience, "host --stop")
}

// checkedRunning is the answer of --check-running.
type checkedRunning struct {
	Running bool   `json:"running"`
	Host    string `json:"host"`
	Port    int    `json:"port"`
	PID     int    `json:"pid"` // 0: none
}

// referenceCheckRunning is --check-running of the root command, likewise.
func (c *cli) referenceCheckRunning() error {
	h, err := c.find()
	if isNotRunning(err) {
		answer := checkedRunning{Host: h.host, Port: h.port}
		return errors.Join(c.print(answer, func(p *page) { p.printf("No server running on %s:%d\n", h.host, h.port) }), &exitError{code: exitFailure})
	}
	if err != nil {
		return err
	}
	answer := checkedRunning{Running: true, Host: h.host, Port: h.port, PID: h.PID}
	return c.print(answer, func(p *page) { p.printf("Server is running on %s:%d\n", h.host, h.port) })
}

func isNotRunning(err error) bool {
	exit, ok := errors.AsType[*exitError](err)
	return ok && exit.code == exitNotRunning
}
