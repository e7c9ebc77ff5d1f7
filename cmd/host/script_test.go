package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/upkeephub/upkeep/internal/instance"
)

// scripted are the settings with which scripts may run hosts: $PORT is a free
// port, hosts keep their state below $XDG_STATE_HOME, and what a script leaves
// running is ended with it.
func scripted(t *testing.T) testscript.Params {
	bundled := sync.OnceValues(func() (string, error) { return bundledPlugins(t) })
	return testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			work := env.Getenv("WORK")
			port, err := freePort()
			if err != nil {
				return err
			}
			env.Setenv("PORT", strconv.Itoa(port))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second more under the race detector
			env.Setenv("XDG_STATE_HOME", filepath.Join(work, "state-home"))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(work, "cache-home"))
			env.Defer(func() { endHosts(t, work) })
			return os.Mkdir(filepath.Join(work, "plugins"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"eventually": eventually,
			"within":     within,
			"json":       jsonHas,
			// trusting writes a configuration that trusts the key that was printed.
			"trusting": func(ts *testscript.TestScript, _ bool, args []string) {
				var key signed
				ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &key))
				text, err := json.Marshal(map[string]any{"plugin_trust": map[string]any{"trusted_keys": []string{key.PublicKey}}})
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
			},
			// bundled-plugins puts the plugins of this repository into $WORK/plugins.
			"bundled-plugins": func(ts *testscript.TestScript, _ bool, _ []string) {
				from, err := bundled()
				ts.Check(err)
				for _, name := range bundledNames {
					ts.Check(os.Mkdir(ts.MkAbs("plugins/"+name), 0o755))
					ts.Check(os.Link(filepath.Join(from, name), ts.MkAbs(filepath.Join("plugins", name, name))))
				}
			},
		},
	}
}

// exits runs a command and wants the exit code that is named first.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// eventually runs a command again and again, for 20 s at most, until it prints
// what the pattern that is named first matches.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN COMMAND ARGS...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	late := time.After(20 * time.Second)
	for again := time.NewTicker(50 * time.Millisecond); ; {
		_ = ts.Exec(args[1], args[2:]...)
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-late:
			ts.Fatalf("it never printed %s", args[0])
		case <-again.C:
		}
	}
}

// within runs a command and wants it to end in the time that is named first.
func within(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: within DURATION COMMAND ARGS...")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	began := time.Now()
	err = ts.Exec(args[1], args[2:]...)
	if took := time.Since(began); took > limit {
		ts.Fatalf("it took %s, want at most %s", took, limit)
	}
	ts.Check(err)
}

// jsonHas wants standard output to be exactly one JSON object, in which each
// KEY=PATTERN holds; keys below others are joined by dots.
func jsonHas(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: json KEY=PATTERN...")
	}
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var document map[string]any
	if err := dec.Decode(&document); err != nil {
		ts.Fatalf("standard output is no JSON object: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		ts.Fatalf("there is more than one document: %v", err)
	}
	for _, arg := range args {
		key, pattern, _ := strings.Cut(arg, "=")
		var value any = document
		for name := range strings.SplitSeq(key, ".") {
			object, _ := value.(map[string]any)
			there := false
			if value, there = object[name]; !there {
				ts.Fatalf("there is no %s", key)
			}
		}
		expression, err := regexp.Compile(pattern)
		ts.Check(err)
		if text := fmt.Sprint(value); !expression.MatchString(text) {
			ts.Fatalf("%s is %s, want %s", key, text, pattern)
		}
	}
}

// freePort finds a port below those that kernels give to outgoing connections.
func freePort() (int, error) {
	for range 100 {
		port := 11000 + rand.IntN(11500)
		free := true
		for _, host := range []string{"127.0.0.1", "::1"} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err == nil {
				_ = l.Close()
			} else if host == "127.0.0.1" || errors.Is(err, syscall.EADDRINUSE) {
				free = false // without IPv6 there is no ::1
			}
		}
		if free {
			return port, nil
		}
	}
	return 0, errors.New("found no free port")
}

var bundledNames = []string{"network", "process", "recovery-graded", "service"}

// bundledPlugins builds the plugins of this repository into a folder.
func bundledPlugins(t *testing.T) (string, error) {
	dir, err := os.MkdirTemp("", "upkeep-plugins")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, name := range bundledNames {
		args = append(args, "./plugins/"+name)
	}
	build := exec.CommandContext(t.Context(), "go", args...)
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Logf("go build: %s", out)
		return "", err
	}
	return dir, nil
}

// endHosts kills the hosts whose state directories are below work.
func endHosts(t *testing.T, work string) {
	_ = filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "host.lock" {
			return nil // what cannot be read holds no host
		}
		info, err := instance.Running(filepath.Dir(path))
		if err != nil {
			return nil
		}
		if p, err := os.FindProcess(info.PID); err == nil && info.Verify() == nil {
			if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("a host is left behind: %v", err)
			}
		}
		return nil
	})
}
