//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/sdk"
	"github.com/upkeephub/upkeep/sdk/checkertest"
)

// script writes a program and gives a checker that runs it.
func script(t *testing.T, text string, args ...string) checker {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check_it")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return checker{sdk.NewConfig(settings{Command: append([]string{path}, args...), Environment: map[string]string{"WHO": "upkeep"}})}
}

func TestACheckerOfAProgramKeepsTheContract(t *testing.T) {
	command := script(t, `echo "OK | a=1s;2"`).Current().Command
	checkertest.Run(t, newChecker(), checkertest.Info(info), checkertest.Settings(map[string]any{"command": []any{command[0]}}))
}

func TestTheExitCodeIsTheStatusAndTheFirstLineTheMessage(t *testing.T) {
	for code, want := range []sdk.Status{sdk.Healthy, sdk.Warning, sdk.Critical} {
		result, err := script(t, `echo "STATE $1 for $WHO | load=0.5;1;2"; echo more; exit $1`, fmt.Sprint(code)).Check(t.Context(), sdk.Request{})
		if err != nil || result.Status != want || result.Message != fmt.Sprintf("STATE %d for upkeep", code) || len(result.Metrics) != 2 {
			t.Errorf("exit code %d: %+v, %v", code, result, err)
		}
	}
}

func TestOnlyAProgramAboutTheHubMayLeadToRecovery(t *testing.T) {
	c := script(t, "echo 'bad | a=5;1;2'; exit 2")
	for _, about := range []bool{false, true} {
		s := c.Current()
		s.AboutHub = about
		result, err := checker{sdk.NewConfig(s)}.Check(t.Context(), sdk.Request{})
		if err != nil {
			t.Fatal(err)
		}
		heals := false
		for _, m := range result.Metrics {
			heals = heals || m.Status == sdk.Critical && !m.Load
		}
		if heals != about || result.Status != sdk.Critical {
			t.Errorf("about_hub %v: %+v", about, result)
		}
	}
}

func TestWhatSaysNothingAboutTheTargetIsAnError(t *testing.T) {
	for why, c := range map[string]struct {
		checker checker
		says    string
	}{
		"exit code 3":         {script(t, "echo no data; exit 3"), "ended with exit code 3: no data"},
		"an exit code beyond": {script(t, "echo oh >&2; exit 77"), "ended with exit code 77: oh"},
		"a signal":            {script(t, "kill -9 $$"), "signal: killed: it printed nothing"},
		"no such program":     {checker{sdk.NewConfig(settings{Command: []string{"/nowhere/check"}})}, "no such file"},
		"no command":          {newChecker(), "no command is configured"},
	} {
		if result, err := c.checker.Check(t.Context(), sdk.Request{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v, want %q", why, result, err, c.says)
		}
	}
}

// holders reads a pipe that a script opens: its end is the death of all that
// hold it.
func holders(t *testing.T) (path string, gone <-chan error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "held")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1) // nobody may be left to read it
	go func() {
		held, err := os.Open(path) // waits for the script
		if err == nil {
			_, err = io.Copy(io.Discard, held)
			held.Close()
		}
		ended <- err
	}()
	return path, ended
}

func TestTheDeadlineKillsAllThatTheProgramStarted(t *testing.T) {
	path, gone := holders(t)
	c := script(t, `exec 3>"$1"; trap "" TERM; sleep 600 & sleep 600`, path)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.Check(ctx, sdk.Request{})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	awaitGone(t, gone)
}

func TestWhatAProgramLeavesBehindIsKilled(t *testing.T) {
	for _, code := range []int{0, 2} {
		path, gone := holders(t)
		c := script(t, `exec 3>"$1"; sleep 600 & echo left; exit $2`, path, fmt.Sprint(code))
		if result, err := c.Check(t.Context(), sdk.Request{}); err != nil || result.Message != "left" {
			t.Errorf("exit code %d: %+v, %v", code, result, err)
		}
		awaitGone(t, gone)
	}
}

func awaitGone(t *testing.T, gone <-chan error) {
	t.Helper()
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("what the program started still runs")
	}
}

func TestEndlessOutputIsCut(t *testing.T) {
	result, err := script(t, `head -c 10000000 /dev/zero | tr '\0' x`).Check(t.Context(), sdk.Request{})
	if err != nil || len(result.Message) != maxOutput {
		t.Errorf("%d bytes, %v", len(result.Message), err)
	}
}
