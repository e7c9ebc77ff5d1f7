//go:build unix

package conformance

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v3/process"

	"github.com/upkeephub/upkeep/internal/trial"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// The rule of the host's death is tried where there are process groups and a shell.
const (
	onUnix  = ofAll
	notHere = ""
)

// parentScript is a host of three lines: it starts the plugin with the pipe that
// it got as standard input, says its pid on descriptor 3, and waits.
const parentScript = `exec 5<&0 0</dev/null; "$@" <&5 5<&- 3>&- & exec 5<&-; echo $! >&3; exec 3>&-; wait`

// hostDeathRule lets a parent of the plugin be killed while a check waits for a
// hub that does not answer, and our connection stays open.
func hostDeathRule(ctx context.Context, k *kit) *breach {
	const change = "end at once when standard input ends, whatever is under way: do not wait for calls, which may wait for ever"
	folder, err := os.MkdirTemp("", "upkeep-try")
	if err != nil {
		return &breach{err.Error(), ""}
	}
	defer func() { _ = os.RemoveAll(folder) }()
	said, say, err := os.Pipe()
	if err != nil {
		return &breach{err.Error(), ""}
	}
	defer said.Close()
	defer say.Close()
	parent := exec.Command("/bin/sh", slices.Concat([]string{"-c", parentScript, "host", k.Spec.Path}, k.Spec.Args)...)
	parent.Dir, parent.Env = k.Spec.Dir, slices.Concat(k.Spec.Env, trial.Environment(folder))
	parent.ExtraFiles = []*os.File{say}
	parent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := parent.StdinPipe()
	if err != nil {
		return &breach{err.Error(), ""}
	}
	stdout, err := parent.StdoutPipe()
	if err != nil {
		return &breach{err.Error(), ""}
	}
	if err := parent.Start(); err != nil {
		return &breach{err.Error(), ""}
	}
	killed := func() { _ = parent.Process.Kill() }
	defer func() {
		_ = syscall.Kill(-parent.Process.Pid, syscall.SIGKILL) // and whatever it left behind
		_ = stdin.Close()
		_ = parent.Wait()
	}()
	_ = say.Close()
	starting, cancel := context.WithTimeout(ctx, trial.StartTime)
	defer cancel()
	stop := context.AfterFunc(starting, func() { _ = said.Close(); _ = stdout.Close() })
	defer stop()
	word, err := bufio.NewReader(said).ReadString('\n')
	pid, wrong := strconv.Atoi(strings.TrimSpace(word))
	if err != nil || wrong != nil {
		return &breach{"it could not be started below another process", change}
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return &breach{"below another process it printed no handshake", change}
	}
	shake, err := trial.ParseHandshake(line)
	if err != nil {
		return &breach{err.Error(), change}
	}
	conn, err := trial.Connect(starting, shake)
	if err != nil {
		return &breach{err.Error(), change}
	}
	defer conn.Close()
	calling, giveUp := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if k.is(pluginv1.Kind_KIND_CHECKER) {
			_, _ = pluginv1.NewCheckerServiceClient(conn).Check(calling, trial.CheckRequest(k.target.Silent()))
		}
	}()
	defer func() { giveUp(); <-over }()
	k.target.Seen(starting, shortly) // a checker that looks at the hub is in the middle of it then

	killed()
	_ = stdin.Close()
	for deadline, look := time.Now().Add(slack), time.NewTicker(10*time.Millisecond); ; <-look.C {
		if gone(pid) {
			look.Stop()
			return nil
		}
		if time.Now().After(deadline) {
			look.Stop()
			return &breach{fmt.Sprintf("it still ran %v after its host had been killed", slack), change}
		}
	}
}

// shortly is how long a check gets to reach its target.
const shortly = 300 * time.Millisecond

// gone says whether the process has ended, be it that nobody has reaped it.
func gone(pid int) bool {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return true
	}
	states, err := p.Status()
	return err == nil && slices.Contains(states, process.Zombie)
}
