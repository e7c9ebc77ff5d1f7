package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/test/bench/fleet"
	"github.com/upkeephub/upkeep/test/rig"
)

// The servers that are compared, in the order of each round.
const (
	upkeep = "upkeep"
	stock  = "stock"
	node   = "node"
	python = "python"
)

var serverNames = []string{upkeep, stock, node, python}

// contender is a kind of server that can be started.
type contender struct {
	name    string
	what    string // for people
	version string
	start   func(ctx context.Context) (*server, error)
}

// server is one that runs.
type server struct {
	port int
	// pids are its processes: the first one serves clients. For Upkeep those of
	// host and of the plugins follow.
	pids []int
	// unwell says what makes the run worthless: a recovery, a restart, a death.
	unwell func(ctx context.Context) error
	stop   func()
}

// contenders prepares all servers that this machine can run. Upkeep, stock and
// Node.js are required, python-socketio is where it is installed.
func (b *bench) contenders(ctx context.Context) ([]contender, error) {
	if err := raiseDescriptors(max(b.effort.idle, b.effort.subscribers)); err != nil {
		return nil, err
	}
	stockBinary := filepath.Join(b.tmp, "stock")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", stockBinary, "./test/bench/stock")
	build.Dir, build.Env = b.root, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the stock server: %w\n%s", err, out)
	}
	library, err := say(ctx, b.root, "go", "list", "-m", "-f", "{{.Version}}", "github.com/zishang520/socket.io/servers/socket/v3")
	if err != nil {
		return nil, err
	}
	nodeDir := filepath.Join(b.root, "test", "bench", "peers", "node")
	if err := rig.InstallNode(ctx, nodeDir); err != nil {
		return nil, fmt.Errorf("install socket.io for Node.js (it needs Node.js 20 and npm): %w", err)
	}
	official, err := say(ctx, nodeDir, "node", "-p", "`socket.io ${require('socket.io/package.json').version}, ws ${require('ws/package.json').version}, Node.js ${process.versions.node}`")
	if err != nil {
		return nil, err
	}
	own, err := say(ctx, b.root, filepath.Join(b.root, "bin", "host"), "--version")
	if err != nil {
		return nil, err
	}
	all := []contender{
		{upkeep, "Upkeep as shipped: four plugins, health and recovery on", own, b.startUpkeep},
		{stock, "zishang520/socket.io, default options", library, func(ctx context.Context) (*server, error) {
			return startPeer(ctx, stockBinary)
		}},
		{node, "socket.io on Node.js, default options", official, func(ctx context.Context) (*server, error) {
			return startPeer(ctx, "node", filepath.Join(nodeDir, "server.js"))
		}},
	}
	const versions = `import aiohttp, importlib.metadata as m, platform; print(f"python-socketio {m.version('python-socketio')}, aiohttp {aiohttp.__version__}, Python {platform.python_version()}")`
	if version, err := say(ctx, b.root, rig.Python, "-c", versions); err == nil {
		script := filepath.Join(b.root, "test", "bench", "peers", "python", "server.py")
		all = append(all, contender{python, "python-socketio on aiohttp, default options", version, func(ctx context.Context) (*server, error) {
			return startPeer(ctx, rig.Python, script)
		}})
	} else {
		fmt.Fprintln(os.Stderr, "bench: python-socketio is left out (get it with: apt-get install python3-socketio python3-aiohttp)")
	}
	return slices.DeleteFunc(all, func(c contender) bool { return len(b.only) > 0 && !slices.Contains(b.only, c.name) }), nil
}

// say runs a command and returns the line that it says.
func say(ctx context.Context, dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// raiseDescriptors lifts the limit of open files as far as is allowed, for this
// process and the servers that it starts. An error names what so many clients need.
func raiseDescriptors(clients int) error {
	needed := uint64(clients) + 600 // at either end, and what else is open
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Max < needed {
		return fmt.Errorf("at most %d files may be open, and %d clients need %d: raise it, as root, with `ulimit -n %d`", limit.Max, clients, needed, needed)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", limit.Max, err)
	}
	return nil
}

// startUpkeep starts the built host as it is shipped.
func (b *bench) startUpkeep(ctx context.Context) (*server, error) {
	h, err := b.host(ctx, nil)
	if err != nil {
		return nil, err
	}
	family := h.Family()
	if len(family) != 2+len(rig.BundledPlugins) {
		end(h)
		return nil, fmt.Errorf("host has %d processes, want itself, the hub and %d plugins", len(family), len(rig.BundledPlugins))
	}
	family[0], family[1] = family[1], family[0] // the hub first
	s := &server{port: h.Port, stop: func() { end(h) }}
	for _, p := range family {
		s.pids = append(s.pids, p.PID)
	}
	s.unwell = func(ctx context.Context) error {
		var wrong []error
		for _, p := range family {
			if !p.Alive() {
				wrong = append(wrong, fmt.Errorf("process %d (%s) is gone", p.PID, strings.Join(p.Command, " ")))
			}
		}
		d, err := h.Diagnostics(ctx)
		if err != nil {
			return errors.Join(append(wrong, err)...)
		}
		if n := d.Number("hub", "restarts"); n != 0 {
			wrong = append(wrong, fmt.Errorf("the hub was restarted %g times", n))
		}
		if attempts := d.Attempts(); len(attempts) > 0 {
			wrong = append(wrong, fmt.Errorf("host recovered: %s", strings.Join(attempts, ", ")))
		}
		return errors.Join(wrong...)
	}
	return s, nil
}

// startPeer starts a program that takes a port and says "ready" once it listens.
func startPeer(ctx context.Context, name string, args ...string) (*server, error) {
	port, err := rig.Port()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, append(args, strconv.Itoa(port))...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "NODE_ENV=production"}
	var said safeBuffer
	cmd.Stderr = &said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ready, gone, started := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { // the death signal belongs to the thread that forked
		runtime.LockOSThread()
		defer close(gone)
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		lines := bufio.NewScanner(stdout)
		for first := true; lines.Scan(); first = false {
			if first && lines.Text() == "ready" {
				close(ready)
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s := &server{port: port, pids: []int{cmd.Process.Pid}}
	s.stop = func() { _ = cmd.Process.Kill(); <-gone }
	s.unwell = func(context.Context) error {
		select {
		case <-gone:
			return fmt.Errorf("%s ended: %s", name, said.String())
		default:
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	select {
	case <-ready:
		return s, nil
	case <-gone:
		return nil, fmt.Errorf("%s ended before it listened: %s", name, said.String())
	case <-ctx.Done():
		s.stop()
		return nil, fmt.Errorf("%s does not listen: %w: %s", name, ctx.Err(), said.String())
	}
}

// usage reads the CPU time of all processes.
func (s *server) usage() (fleet.Usage, error) { return fleet.ReadUsage(s.pids...) }

// memory is that of the process that serves clients, and that of all.
func (s *server) memory() (serving, all fleet.Memory, err error) {
	for i, pid := range s.pids {
		m, err := fleet.ReadMemory(pid)
		if err != nil {
			return serving, all, err
		}
		if i == 0 {
			serving = m
		}
		all.RSS, all.PSS = all.RSS+m.RSS, all.PSS+m.PSS
	}
	return serving, all, nil
}

// safeBuffer keeps the first 8 KiB that are written. Safe for concurrent use.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p[:min(len(p), max(0, 8<<10-b.buf.Len()))])
	return len(p), nil
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimSpace(b.buf.String())
}
