package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// BundledPlugins are the plugins that `make` builds, sorted.
var BundledPlugins = []string{"network", "process", "recovery-graded", "service"}

// Root returns the top folder of the repository that this package was compiled in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("rig: no go.mod above the working directory: run this inside the repository")
		}
	}
}

// Build runs `make build` at the root. Go's own cache makes it cheap when
// nothing has changed.
func Build(ctx context.Context, root string) error {
	cmd := exec.CommandContext(ctx, "make", "build")
	cmd.Dir = root
	cmd.Env = plainEnv("MAKEFLAGS", "MAKELEVEL", "GOFLAGS")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	return nil
}

// plainEnv is the environment without the named variables.
func plainEnv(without ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains(without, name)
	})
}

// Need is a program or module that tests run and that is missing.
type Need struct {
	What string // with what was found instead
	Get  string // the command that installs it
	// Tests is a pattern of the tests that run it; empty: all do.
	Tests string
}

// NeedError names everything that is missing, each with the command that gets it.
type NeedError struct{ Missing []Need }

func (e *NeedError) Error() string {
	var b strings.Builder
	b.WriteString("these tests run real clients and tools, and this machine lacks:")
	for _, n := range e.Missing {
		fmt.Fprintf(&b, "\n  %s\n    get it with: %s", n.What, n.Get)
		if n.Tests != "" {
			fmt.Fprintf(&b, "\n    needed by: %s", n.Tests)
		}
	}
	return b.String()
}

// Python is Debian's interpreter: the one that its python3-socketio belongs to.
const Python = "/usr/bin/python3"

// Require checks that the programs that the tests drive are there, installs
// the Node.js client from its lock file, and returns a *NeedError that names
// whatever is missing.
func Require(ctx context.Context, root string) error {
	if runtime.GOOS != "linux" {
		return &NeedError{[]Need{{What: "Linux: processes are watched through /proc and frozen by signal", Get: "a machine that runs it"}}}
	}
	need := &NeedError{}
	check := func(what, get, tests, name string, args ...string) bool {
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			need.Missing = append(need.Missing, Need{fmt.Sprintf("%s (%s: %v%s)", what, name, err, lastLine(out)), get, tests})
		}
		return err == nil
	}
	node := check("Node.js 20 or newer", "apt-get install nodejs npm, or see https://nodejs.org", "", "node", "-e",
		"const v = process.versions.node; if (parseInt(v) < 20) { console.error('found ' + v); process.exit(1) }")
	npm := check("npm", "apt-get install npm", "", "npm", "--version")
	if node && npm {
		if err := InstallNode(ctx, ClientsDir(root)); err != nil {
			need.Missing = append(need.Missing, Need{fmt.Sprintf("the stock Socket.IO client (%v)", err), "npm ci --prefix test/e2e/clients", ""})
		}
	}
	for _, m := range []struct{ module, what, pkg string }{
		{"socketio", "python-socketio", "python3-socketio"},
		{"requests", "python-socketio's HTTP client", "python3-requests"},
		{"websocket", "python-socketio's WebSocket client", "python3-websocket"},
		{"aiohttp", "what python-socketio's asynchronous client stands on", "python3-aiohttp"},
	} {
		check(m.what+" for "+Python, "apt-get install "+m.pkg, PythonTests, Python, "-c", "import "+m.module)
	}
	check("a browser", "apt-get install chromium", BrowserTests, Browser, "--version")
	check("promtool", "apt-get install prometheus", PromtoolTests, "promtool", "--version")
	if len(need.Missing) > 0 {
		return need
	}
	return nil
}

// The tests that need more than Go and Node.js, by the pattern of their names.
const (
	PythonTests   = "^TestPython"
	BrowserTests  = "Browser"
	PromtoolTests = "Promtool$"
)

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return ": " + last
	}
	return ""
}

// ClientsDir is the folder of the drivers client.js and client.py.
func ClientsDir(root string) string { return filepath.Join(root, "test", "e2e", "clients") }

// InstallNode runs `npm ci` in a folder, unless its lock file was installed
// already. npm keeps a copy of what it installed, with more in it than the lock file has:
// so what is compared is a copy that is made here, after a success.
func InstallNode(ctx context.Context, dir string) error {
	want, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	mark := filepath.Join(dir, "node_modules", ".installed-lock.json")
	if have, err := os.ReadFile(mark); err == nil && string(have) == string(want) {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w%s", err, lastLine(out))
	}
	return os.WriteFile(mark, want, 0o644)
}
