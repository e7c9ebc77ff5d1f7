package instance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/upkeephub/upkeep/core/problem"
)

// roleEnv makes the test binary a host that obeys lines on its standard input:
// "open DIR", "write PORT", "close". It answers each with one line of JSON.
const roleEnv = "UPKEEP_INSTANCE_TEST_ROLE"

// tempEnv is where that host puts sockets for which there is no room.
const tempEnv = "UPKEEP_INSTANCE_TEST_TEMP"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		roles[role]()
		return
	}
	goleak.VerifyTestMain(m)
}

// roles are the programs that the test binary can be.
var roles = map[string]func(){"host": obey, "unprivileged": unprivileged}

type answer struct {
	PID   int      `json:"pid"`
	Code  string   `json:"code,omitempty"`
	Error string   `json:"error,omitempty"`
	Steps []string `json:"steps,omitempty"`
	Named any      `json:"named,omitempty"`
}

func answerOf(err error) answer {
	a := answer{PID: os.Getpid(), Code: problem.Code(err)}
	if err != nil {
		a.Error = err.Error()
	}
	if p, ok := errors.AsType[*problem.Error](err); ok {
		a.Steps, a.Named = p.Steps, p.Context["existing_pid"]
	}
	return a
}

func obey() {
	var held *Instance
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		order, arg, _ := strings.Cut(lines.Text(), " ")
		var err error
		switch order {
		case "open":
			held, err = Open(arg, Options{TempDir: os.Getenv(tempEnv)})
		case "write":
			port := 0
			_, _ = fmt.Sscan(arg, &port)
			err = held.WritePID(Info{Port: port, Host: "localhost", ServerID: "child", ServerVersion: "0.1.0"})
		case "close":
			err = held.Close()
		}
		_ = out.Encode(answerOf(err))
	}
}

// child is the test binary in a role.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *json.Decoder
	waits bool
}

func newChild(t *testing.T, role string, env ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(append(os.Environ(), roleEnv+"="+role, tempEnv+"="+shortTemp(t)), env...)
	c.cmd.Stderr = os.Stderr
	c.start()
	return c
}

func (c *child) start() {
	c.t.Helper()
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.kill)
}

// kill ends the child as kill -9 does, and takes notice of it.
func (c *child) kill() {
	if !c.waits {
		c.waits = true
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

func (c *child) send(order string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, order); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) receive() answer {
	c.t.Helper()
	var a answer
	if err := c.out.Decode(&a); err != nil {
		c.t.Fatalf("read the child's answer: %v", err)
	}
	return a
}

// must gives an order that has to succeed.
func (c *child) must(order string) answer {
	c.t.Helper()
	c.send(order)
	a := c.receive()
	if a.Error != "" {
		c.t.Fatalf("%s: %s", order, a.Error)
	}
	return a
}

// open opens dir in this process, until the end of the test.
func open(t *testing.T, dir string, opts Options) *Instance {
	t.Helper()
	i, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}
