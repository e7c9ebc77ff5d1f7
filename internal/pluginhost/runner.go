package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/upkeephub/upkeep/internal/child"
)

// processRunner runs a plugin's process for go-plugin, which gets to see the
// handshake line and the death, and nothing else: standard error would go
// through a parser that a plugin can crash the host with, and the wait for the
// end of the pipes would hide a death behind a forgotten grandchild.
type processRunner struct {
	spec child.Spec
	code *held // what is executed; arranged by Start

	mu     sync.Mutex
	proc   *child.Process
	killed bool   // kill was called
	ended  bool   // kill found the process alive
	tmpDir string // go-plugin's folder for sockets
	line   strings.Builder
	addr   net.Addr // where the plugin says it listens
}

var _ runner.Runner = (*processRunner)(nil)

// errKilledEarly: the start was given up before there was a process.
var errKilledEarly = errors.New("the start was given up")

// prepare is go-plugin's RunnerFunc: it learns the environment of the handshake.
func (r *processRunner) prepare(cmd *exec.Cmd, tmpDir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spec.Env = append(r.spec.Env, cmd.Env...)
	r.tmpDir = tmpDir
}

// Start starts the process unless it was killed before.
func (r *processRunner) Start(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.killed {
		return errKilledEarly
	}
	proc, err := r.execute()
	if proc != nil {
		r.proc = proc
	}
	return err
}

// execute starts what is held. A process that has begun is returned even with
// an error.
func (r *processRunner) execute() (*child.Process, error) {
	defer r.code.close()
	spec := r.spec
	if err := r.code.arrange(&spec, r.tmpDir); err != nil {
		return nil, err
	}
	proc, err := child.Start(spec)
	if err != nil {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			pathErr.Path = r.spec.Path // what people know it by
		}
		if r.code.own != "" && errors.Is(err, fs.ErrPermission) {
			return nil, &LaunchError{
				Plugin: r.spec.Name, Err: fmt.Errorf("its private copy %s cannot be executed: %w", r.code.own, err),
				Remedy: "mount the state directory without noexec, or name another one with --state-dir",
			}
		}
		return nil, err
	}
	changed, err := r.code.changed()
	if err == nil && !changed {
		return proc, nil
	}
	r.ended = true
	proc.Kill()
	if err == nil {
		err = errors.New("its file was changed while it was started")
	}
	return proc, &LaunchError{Plugin: r.spec.Name, Err: err, Remedy: "release the plugin once its file is complete"}
}

// process is the running or ended process; nil before Start.
func (r *processRunner) process() *child.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc
}

// kill ends the process group, or the start that has not come that far. It
// does not wait.
func (r *processRunner) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killed = true
	if r.proc == nil {
		return
	}
	select {
	case <-r.proc.Done():
	default:
		r.ended = true
		r.proc.Kill()
	}
}

// endedByUs says whether the process was, as far as we saw, alive when killed.
func (r *processRunner) endedByUs() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// socketDir is go-plugin's folder for this process; empty before the start.
func (r *processRunner) socketDir() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tmpDir
}

// Kill ends the process for go-plugin, which does not wait for it here.
func (r *processRunner) Kill(context.Context) error {
	r.kill()
	return nil
}

// Wait blocks until the process is dead, its group killed and its output read.
func (r *processRunner) Wait(context.Context) error {
	if proc := r.process(); proc != nil {
		<-proc.Done()
	}
	return nil
}

// Diagnose has nothing to add: the reason of a failed start is put together
// from what the runner saw, by explain.
func (r *processRunner) Diagnose(context.Context) string { return "" }

// Stdout gives go-plugin the handshake line and remembers it.
func (r *processRunner) Stdout() io.ReadCloser { return &handshakeReader{r, r.process().FirstStdout()} }

// Stderr is empty for go-plugin.
func (r *processRunner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name of the executable.
func (r *processRunner) Name() string { return r.spec.Name }

// ID is the process id; empty before the start.
func (r *processRunner) ID() string {
	if proc := r.process(); proc != nil {
		return strconv.Itoa(proc.PID())
	}
	return ""
}

// addressError: the plugin listens where host does not go.
type addressError struct{ where string }

func (e *addressError) Error() string { return "it says that it listens on " + e.where }

// PluginToHost takes the address of the handshake line and refuses what is not
// on this machine: a plugin must not make host talk to somebody else.
func (r *processRunner) PluginToHost(network, address string) (string, string, error) {
	var addr net.Addr
	switch network {
	case "unix":
		addr = &net.UnixAddr{Net: "unix", Name: address}
	case "tcp":
		tcp, err := netip.ParseAddrPort(address)
		if err != nil {
			return "", "", &addressError{fmt.Sprintf("%q, which is no IP address with a port", cleanText(address, 100))}
		}
		if !tcp.Addr().IsLoopback() {
			return "", "", &addressError{fmt.Sprintf("%s, which is not on this machine", tcp)}
		}
		addr = net.TCPAddrFromAddrPort(tcp)
	default:
		return "", "", &addressError{fmt.Sprintf("the network %q; want unix or tcp", cleanText(network, 100))}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr = addr
	return addr.Network(), addr.String(), nil
}

// HostToPlugin changes nothing: both live on one machine.
func (r *processRunner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// dial connects to the plugin and, unlike go-plugin's dialer, gives up with ctx.
func (r *processRunner) dial(ctx context.Context, _ string) (net.Conn, error) {
	r.mu.Lock()
	addr := r.addr
	r.mu.Unlock()
	if addr == nil {
		return nil, errors.New("the plugin has not said where it listens")
	}
	var d net.Dialer
	return d.DialContext(ctx, addr.Network(), addr.String())
}

// firstLine is what the plugin printed first, without the line's end.
func (r *processRunner) firstLine() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.TrimSpace(r.line.String())
}

type handshakeReader struct {
	r   *processRunner
	src io.ReadCloser
}

func (h *handshakeReader) Read(p []byte) (int, error) {
	n, err := h.src.Read(p)
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	if h.r.line.Len() < maxText {
		h.r.line.Write(p[:n])
	}
	return n, err
}

func (h *handshakeReader) Close() error { return h.src.Close() }
