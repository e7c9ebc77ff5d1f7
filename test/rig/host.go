package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/proto/handshake"
)

// Options of a host. Zero fields take what is said at each.
type Options struct {
	Root       string            // of the repository; required
	StateDir   string            // required
	Port       int               // zero: Port()
	Executable string            // zero: Root/bin/host
	Plugins    string            // zero: Root/plugins
	Args       []string          // behind --plugins, --port, --admin and --state-dir
	Bare       bool              // only Args are given: none of the above
	NoAdmin    bool              // --admin is not given: host's default holds
	Env        map[string]string // beside PATH, HOME and XDG_CACHE_HOME; nothing else is inherited
	Prefix     []string          // a command that executes host in its place, e.g. prlimit
}

// Host is a running host.
type Host struct {
	Port, AdminPort int
	StateDir        string
	Began           time.Time // just before it was executed
	Output          *Output
	Self            Stat

	cmd  *exec.Cmd
	done chan struct{}
	exit Exit
}

// Exit is how a process ended.
type Exit struct {
	At     time.Time
	Code   int            // -1 when a signal ended it
	Signal syscall.Signal // zero unless a signal ended it
	Err    error          // of waiting for it or of reading its output
}

func (e Exit) String() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("code %d (%v)", e.Code, e.Err)
	case e.Signal != 0:
		return "killed by " + e.Signal.String()
	}
	return "code " + strconv.Itoa(e.Code)
}

// Start executes a host and returns at once; see WaitServing. It dies with
// this process.
func Start(o Options) (*Host, error) {
	if o.Port == 0 {
		var err error
		if o.Port, err = Port(); err != nil {
			return nil, err
		}
	}
	if o.Executable == "" {
		o.Executable = filepath.Join(o.Root, "bin", "host")
	}
	if o.Plugins == "" {
		o.Plugins = filepath.Join(o.Root, "plugins")
	}
	h := &Host{Port: o.Port, AdminPort: o.Port + AdminOffset, StateDir: o.StateDir, Output: newOutput(), done: make(chan struct{})}
	args := append(slices.Clone(o.Prefix), o.Executable)
	if !o.Bare {
		args = append(args, "--plugins", o.Plugins, "--port", strconv.Itoa(h.Port), "--state-dir", o.StateDir)
		if !o.NoAdmin {
			args = append(args, "--admin", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.AdminPort)))
		}
	}
	args = append(args, o.Args...)
	h.cmd = exec.Command(args[0], args[1:]...)
	h.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "XDG_CACHE_HOME=" + o.StateDir + "-cache"}
	for k, v := range o.Env {
		h.cmd.Env = append(h.cmd.Env, k+"="+v)
	}
	h.cmd.Stdout, h.cmd.Stderr = h.Output.writer(false), h.Output.writer(true)
	h.cmd.WaitDelay = 2 * time.Second
	// The death signal belongs to the thread that forked, so that one must
	// live as long as the child.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer close(h.done)
		h.Began = time.Now()
		if err := h.cmd.Start(); err != nil {
			started <- fmt.Errorf("rig: start %s: %w", args[0], err)
			return
		}
		h.Self, _ = ReadStat(h.cmd.Process.Pid)
		started <- nil
		h.exit.Err = h.cmd.Wait()
		h.exit.At = time.Now()
		h.exit.Code = h.cmd.ProcessState.ExitCode()
		if ws, ok := h.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			h.exit.Signal = ws.Signal()
		}
		var status *exec.ExitError
		if errors.As(h.exit.Err, &status) {
			h.exit.Err = nil
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return h, nil
}

// PID of the host.
func (h *Host) PID() int { return h.cmd.Process.Pid }

// Exited says whether the host has ended.
func (h *Host) Exited() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// Signal sends a signal to the host alone.
func (h *Host) Signal(sig syscall.Signal) error {
	if h.Exited() {
		return fmt.Errorf("rig: the host has ended: %s", h.exit)
	}
	return syscall.Kill(h.PID(), sig)
}

// Wait waits for the host's end and returns how it ended; an error means that
// it still runs when ctx ends.
func (h *Host) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-h.done:
		return h.exit, nil
	case <-ctx.Done():
		return Exit{}, fmt.Errorf("rig: the host still runs: %w", ctx.Err())
	}
}

// Kill ends the host by SIGKILL and waits for it.
func (h *Host) Kill() Exit {
	_ = syscall.Kill(h.PID(), syscall.SIGCONT)
	_ = syscall.Kill(h.PID(), syscall.SIGKILL)
	<-h.done
	return h.exit
}

// Hub finds the hub: the host's child that runs its hidden command.
func (h *Host) Hub() (Stat, error) {
	if h.Exited() {
		return Stat{}, fmt.Errorf("rig: the host has ended: %s", h.exit)
	}
	var hubs []Stat
	for _, c := range Children(h.PID()) {
		if len(c.Command) > 1 && c.Command[1] == handshake.HubCommand && c.State != 'Z' {
			hubs = append(hubs, c)
		}
	}
	if len(hubs) != 1 {
		return Stat{}, fmt.Errorf("rig: host %d has %d hubs, want 1", h.PID(), len(hubs))
	}
	return hubs[0], nil
}

// Plugin finds the process of a plugin by the name of its executable.
func (h *Host) Plugin(name string) (Stat, error) {
	for _, c := range Children(h.PID()) {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.PID)); err == nil && filepath.Base(exe) == name && c.State != 'Z' {
			return c, nil
		}
	}
	return Stat{}, fmt.Errorf("rig: host %d has no child %q", h.PID(), name)
}

// Base is the URL of the public port, under the host name that clients use.
func (h *Host) Base() string { return "http://localhost:" + strconv.Itoa(h.Port) }

// URL of a path on the public port.
func (h *Host) URL(path string) string { return "http://127.0.0.1:" + strconv.Itoa(h.Port) + path }

// AdminURL of a path on the admin port.
func (h *Host) AdminURL(path string) string {
	return "http://127.0.0.1:" + strconv.Itoa(h.AdminPort) + path
}

// PIDFile is the content of the host's PID file.
func (h *Host) PIDFile() (map[string]any, error) {
	raw, err := os.ReadFile(filepath.Join(h.StateDir, fmt.Sprintf("host-%d.pid", h.Port)))
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(raw, &m)
}

// WaitServing waits until the hub answers HTTP, and returns how long that took
// since the host was executed.
func (h *Host) WaitServing(ctx context.Context) (time.Duration, error) {
	return h.waitFor(ctx, func() error {
		r, err := Get(ctx, h.URL("/version"))
		if err == nil && r.Status != 200 {
			err = fmt.Errorf("GET /version: %s", r)
		}
		return err
	})
}

// WaitReported waits until /health shows the results of a whole round of
// checks, and returns how long that took since the host was executed.
func (h *Host) WaitReported(ctx context.Context, checks ...string) (time.Duration, error) {
	return h.waitFor(ctx, func() error {
		r, err := Get(ctx, h.URL("/health"))
		if err != nil {
			return err
		}
		words, _ := r.Object("checks")
		for _, c := range checks {
			if w, _ := words[c].(string); w == "" || w == "unknown" {
				return fmt.Errorf("%s is not known yet: %s", c, r)
			}
		}
		return nil
	})
}

func (h *Host) waitFor(ctx context.Context, f func() error) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a host that has ended will never serve
		select {
		case <-h.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := Poll(ctx, 5*time.Millisecond, f)
	took := time.Since(h.Began)
	if err != nil && h.Exited() {
		return took, fmt.Errorf("the host ended with %s: %w", h.exit, err)
	}
	return took, err
}

// Family is host itself, its hub, and then its plugins by pid; what is not
// there is left out.
func (h *Host) Family() []Stat {
	self, err := ReadStat(h.PID())
	if err != nil {
		return nil
	}
	family := []Stat{self}
	hub, err := h.Hub()
	if err == nil {
		family = append(family, hub)
	}
	for _, c := range Children(h.PID()) {
		if c.PID != hub.PID && c.State != 'Z' {
			family = append(family, c)
		}
	}
	return family
}
