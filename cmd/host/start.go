package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/instance"
)

const (
	// logName is the file in the state directory that a host in the background
	// writes to, beside the log that is configured.
	logName = "host.log"
	// logLimit is the size from which a start puts the file aside, and logBackups
	// how many of these are kept. A running host does so by itself.
	logLimit   = 10 << 20
	logBackups = 5
	// startTimeout is how long a host may take until it is ready: slow plugins get
	// 10 s.
	startTimeout = 30 * time.Second
	// lookEvery is the pause between two looks at a host that starts or stops.
	lookEvery = 20 * time.Millisecond
	// maxLastWords of a host that did not start are shown.
	maxLastWords = 64 << 10
)

// started is the answer of start and restart.
type started struct {
	PID      int    `json:"pid"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Admin    string `json:"admin_address"`
	StateDir string `json:"state_dir"`
	Log      string `json:"log"`
	ReadyMS  int64  `json:"ready_ms"`
}

// newStartCommand is host start. It takes the flags of a run, runFlags, and hands
// them on to the host that it starts.
func newStartCommand(c *cli, runFlags *pflag.FlagSet) *cobra.Command {
	cmd := &cobra.Command{
		Use: "start [flags of a run]", Short: "run a host in the background", Args: operands(),
		Long: `Start runs a host in the background and returns when it is ready. When it does
not get ready, its own error is shown, and the exit code is its own: 2 for a
mistake in command line or configuration, 4 when a host runs there already or
the port is taken.

With --json the answer has pid, host, port, admin_address, state_dir, log and
ready_ms.

What the host writes goes to host.log in its state directory, beside the log
that is configured. Where a service manager looks after it, use that instead.`,
		Example: "  host start --plugins ./plugins\n  host start --port 8766 && host status --port 8766",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.take(cmd.Flags())
			if f := cmd.Flags().Lookup("admin"); f.Changed {
				if err := adminAddress(f.Value.String()); err != nil {
					return err
				}
			}
			p, err := c.place()
			if err != nil {
				return err
			}
			var args []string
			cmd.Flags().Visit(func(f *pflag.Flag) {
				if runFlags.Lookup(f.Name) != nil {
					args = append(args, "--"+f.Name+"="+f.Value.String())
				}
			})
			err = c.start(cmd.Context(), p, "", args)
			c.remember(err)
			return err
		},
	}
	cmd.Flags().AddFlagSet(runFlags)
	c.outputFlags(cmd)
	return cmd
}

// start runs a host in the background with these arguments, in the given working
// directory (empty: ours), and tells when it is ready.
func (c *cli) start(ctx context.Context, p place, workingDir string, args []string) error {
	// Whoever runs there already is named here, and not in the log of that host.
	hold, err := instance.Open(p.dir, instance.Options{Port: p.port})
	if err != nil {
		return err
	}
	if err := hold.Close(); err != nil {
		return err
	}
	log, offset, err := openLog(p.dir)
	if err != nil {
		return &problem.Error{
			Code: problem.StateDirUnusable, What: "cannot write " + logName + " in the state directory " + p.dir, Why: err.Error(), Err: err,
			Steps: []string{"let this user write it, or name another directory: --state-dir DIR"}, Context: map[string]any{"state_dir": p.dir},
		}
	}
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	child := exec.Command(self, args...)
	child.Args[0] = os.Args[0]
	child.Dir, child.Stdout, child.Stderr = workingDir, log, log
	detach(child)
	began := time.Now()
	if err := child.Start(); err != nil {
		return fmt.Errorf("start a host in the background: %w", err)
	}
	ended := make(chan error, 1) // sent once, by the wait, which outlives a ready start and ends with this process
	go func() { ended <- child.Wait() }()

	info, err := becomesReady(ctx, p.dir, child.Process.Pid, ended)
	if err == nil {
		return c.print(started{
			PID: info.PID, Host: info.Host, Port: info.Port, Admin: info.Admin, StateDir: p.dir, Log: log.Name(), ReadyMS: time.Since(began).Milliseconds(),
		}, func(out *page) {
			out.printf("Server started on %s:%d (pid %d) in %s\nlog %s\n", info.Host, info.Port, info.PID, time.Since(began).Round(time.Millisecond), log.Name())
		})
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &exitError{max(1, exit.ExitCode()), c.ended(p.dir, log.Name(), offset, began)}
	}
	_ = child.Process.Signal(os.Interrupt)
	select {
	case <-ended:
	case <-time.After(stopPatience):
		_ = child.Process.Kill()
		<-ended
	}
	if !c.json {
		_, _ = io.WriteString(c.stderr, lastWords(log.Name(), offset))
	}
	return err
}

// ended explains that the host that was started at began has ended: for programs
// by the error that it left for host explain --guide, or by its last words; to
// people its own words are shown, and nothing is left to say.
func (c *cli) ended(dir, log string, offset int64, began time.Time) error {
	words := lastWords(log, offset)
	if !c.json {
		_, _ = io.WriteString(c.stderr, words)
		return nil
	}
	if told, err := c.recall(dir); err == nil && !told.At.Before(began.Truncate(time.Microsecond)) {
		return told
	}
	return &problem.Error{
		Code: problem.Internal, What: "the host ended before it was ready", Why: strings.TrimSpace(words), Context: map[string]any{"state_dir": dir, "log": log},
		Steps: []string{"run it in the foreground to see what happens: host run"},
	}
}

// openLog opens the log in dir for a new host and says where its words begin.
func openLog(dir string) (f *os.File, offset int64, err error) {
	path := filepath.Join(dir, logName)
	info, err := os.Lstat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s is no regular file", path)
	case err == nil && info.Size() > logLimit:
		full := lumberjack.Logger{Filename: path, MaxBackups: logBackups}
		if err := errors.Join(full.Rotate(), full.Close()); err != nil {
			return nil, 0, err
		}
	}
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	offset, err = f.Seek(0, io.SeekEnd)
	if err != nil {
		_ = f.Close()
	}
	return f, offset, err
}

// becomesReady waits until the host with that process id serves. The error is
// that of ended when the host ends before.
func becomesReady(ctx context.Context, dir string, pid int, ended <-chan error) (instance.Info, error) {
	late := time.After(startTimeout)
	for look := time.NewTicker(lookEvery); ; {
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("the host ended at once, without an error")
			}
			return instance.Info{}, err
		case <-ctx.Done():
			return instance.Info{}, interrupted(ctx, "the start", "the host was not ready yet, and was stopped")
		case <-late:
			return instance.Info{}, &problem.Error{
				Code: problem.HealthCheckFailed, What: fmt.Sprintf("the host did not get ready within %s", startTimeout),
				Why: "its last words are above; it was stopped", Steps: []string{"run it in the foreground to see what it waits for: host run"},
			}
		case <-look.C:
		}
		info, err := instance.Running(dir)
		if err != nil || info.PID != pid {
			continue
		}
		if s, err := adminapi.Dial(info.SocketDir).Status(ctx); err == nil && s.Phase != "starting" {
			return info, nil
		}
	}
}

// lastWords is what a host that did not start wrote to the log from the offset
// on: the end of it, when it is long.
func lastWords(log string, offset int64) string {
	f, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	end, err := f.Seek(0, io.SeekEnd)
	switch {
	case err != nil:
		return ""
	case end < offset: // the host has put the log aside
		offset = 0
	}
	offset = max(offset, end-maxLastWords)
	words, _ := io.ReadAll(io.NewSectionReader(f, offset, maxLastWords))
	return string(words)
}
