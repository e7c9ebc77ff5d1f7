package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

const (
	// maxOutput bounds what is kept of each of the program's outputs, in bytes.
	maxOutput = 64 << 10
	// pipeTime is how long what the program left behind may hold its output.
	pipeTime = 250 * time.Millisecond
)

// end is how a program ended.
type end struct {
	code           int
	output, errors string
}

// run starts a program and waits for its end. When ctx ends, everything that
// the program started is killed with it; so is what a program leaves behind.
func run(ctx context.Context, command []string, environment map[string]string) (end, error) {
	// The kernel kills the program when the thread that started it dies: the
	// thread must be there as long as the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = cmd.Environ()
	for key, value := range environment {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	var stdout, stderr bounded
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = pipeTime
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	err := cmd.Run()
	out := end{output: stdout.String(), errors: stderr.String()}
	if cmd.ProcessState == nil {
		return out, err // it did not start
	}
	killLeft(cmd.Process)
	if ctx.Err() != nil {
		return out, fmt.Errorf("it did not end in time and was killed with all that it started: %w", ctx.Err())
	}
	out.code = cmd.ProcessState.ExitCode()
	if out.code < 0 {
		return out, fmt.Errorf("it was ended by %s: %s", cmd.ProcessState, firstOf(out.errors, out.output, "it printed nothing"))
	}
	return out, nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ kept bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.kept.Write(p[:min(len(p), maxOutput-b.kept.Len())])
	return len(p), nil
}

func (b *bounded) String() string { return strings.ToValidUTF8(b.kept.String(), "\uFFFD") }
