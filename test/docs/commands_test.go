package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ports finds three free ports: a public one, the admin one that goes with it,
// and another public one.
func ports(t *testing.T) (public, other int) {
	t.Helper()
	var found []int
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port+10000 > 65535 || len(found) == 1 && found[0] == port {
			continue
		}
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000)); err != nil {
			continue
		}
		_ = l.Close()
		if found = append(found, port); len(found) == 2 {
			return found[0], found[1]
		}
	}
	t.Fatal("there are no two free ports below 55536")
	return 0, 0
}

func TestCommandsInTheOperatingDocumentsRun(t *testing.T) {
	if total := runAll(t, operating(t)); total < 15 {
		t.Errorf("only %d commands were found", total)
	}
}

func TestCommandsInTheDocumentsForAuthorsRun(t *testing.T) {
	if total := runAll(t, authors(t)); total < 10 {
		t.Errorf("only %d commands were found", total)
	}
}

// runAll runs the commands of each document on a stage of its own, and gives
// their number.
func runAll(t *testing.T, documents map[string]string) (total int) {
	t.Helper()
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "make", "build") // cheap where nothing has changed
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	for name, document := range documents {
		list, err := commands(document, runtime.GOOS)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		total += len(list)
		t.Run(strings.TrimSuffix(name, ".md"), func(t *testing.T) { newStage(t, root).run(list) })
	}
	return total
}

// stage is a folder like an unpacked release, with a home and ports of its own.
type stage struct {
	t     *testing.T
	dir   string
	env   []string
	ports *strings.Replacer
}

func newStage(t *testing.T, root string) *stage {
	t.Helper()
	public, other := ports(t)
	s := &stage{t: t, dir: t.TempDir(), ports: strings.NewReplacer(
		"18765", strconv.Itoa(public+10000), "8765", strconv.Itoa(public), "8770", strconv.Itoa(other))}
	if err := os.Symlink(filepath.Join(root, "plugins"), filepath.Join(s.dir, "plugins")); err != nil {
		t.Fatal(err)
	}
	// Go's own cache is not part of the stage: building everything anew proves nothing.
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatalf("go env GOCACHE: %v", err)
	}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "UPKEEP_") && !strings.HasPrefix(e, "STATE_DIRECTORY=") {
			s.env = append(s.env, e)
		}
	}
	s.env = append(s.env, "PATH="+filepath.Join(root, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"),
		"XDG_STATE_HOME="+filepath.Join(s.dir, "home"), "XDG_CACHE_HOME="+filepath.Join(s.dir, "cache"), fmt.Sprintf("UPKEEP_SERVER__PORT=%d", public), "NO_COLOR=1", "GOCACHE="+strings.TrimSpace(string(cache)))
	t.Cleanup(func() { // whatever the page left running
		for _, port := range []int{public, other} {
			_, _ = s.shell(fmt.Sprintf("host stop --quiet --port %d", port))
		}
	})
	return s
}

// shell runs a line within 3 minutes, and gives what it printed and its exit code.
func (s *stage) shell(line string) (output string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	if runtime.GOOS == "windows" {
		cmd = exec.CommandContext(ctx, "cmd", "/c", line)
	}
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, s.env, time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), exit.ExitCode()
	}
	if err != nil {
		return out.String() + err.Error(), -1
	}
	return out.String(), 0
}

func (s *stage) run(list []command) {
	s.t.Helper()
	for _, c := range list {
		line := s.ports.Replace(c.text)
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(s.dir, c.file), []byte(line), 0o644); err != nil {
				s.t.Fatalf("line %d: %v", c.line, err)
			}
			continue
		}
		output, code := s.shell(line)
		if code != c.exit {
			s.t.Errorf("line %d: %s\nends with exit code %d, want %d\n%s", c.line, line, code, c.exit, output)
			continue
		}
		var want []string
		for _, w := range c.want {
			want = append(want, s.ports.Replace(w))
		}
		if lacks := missing(output, want); lacks != "" {
			s.t.Errorf("line %d: %s\ndoes not print %q\n%s", c.line, line, lacks, output)
		}
	}
}
