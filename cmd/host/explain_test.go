package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
)

// execute runs one command as the command line does; the environment has a
// state directory of its own.
func execute(t *testing.T, stateDir string, command func(*cli) *cobra.Command, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := command(&cli{stdout: &out, stderr: &errs, getenv: func(name string) string {
		return map[string]string{"UPKEEP_STATE_DIR": stateDir}[name]
	}})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestExplainGivesThePageOfACode(t *testing.T) {
	out, err := execute(t, t.TempDir(), newExplainCommand, "port_conflict")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"another process listens on the port", "Causes:", "What to do:", "exit code 4"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	out, err = execute(t, t.TempDir(), newExplainCommand, "port_conflict", "--json")
	var page problem.Page
	if err := errors.Join(err, json.Unmarshal([]byte(out), &page)); err != nil || page.Code != "port_conflict" || page.ExitCode != 4 || len(page.Steps) == 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestExplainListsEveryCode(t *testing.T) {
	out, err := execute(t, t.TempDir(), newExplainCommand, "--list")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range problem.Codes() {
		if !strings.Contains(out, "\n"+code+" ") {
			t.Errorf("%s is missing in\n%s", code, out)
		}
	}
	out, err = execute(t, t.TempDir(), newExplainCommand, "--list", "--json")
	var list []codeLine
	if err := errors.Join(err, json.Unmarshal([]byte(out), &list)); err != nil || len(list) != len(problem.Codes()) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestExplainGuidesThroughTheLastErrorOfAnEarlierCommand(t *testing.T) {
	dir := t.TempDir()
	_, err := execute(t, dir, newExplainCommand, "--guide")
	if problem.Code(err) != problem.NotFound || !strings.Contains(err.Error(), "no command has failed") {
		t.Errorf("without an error: %v", err)
	}
	e := problem.NewPortConflict(problem.Here(), problem.Port{Host: "localhost", Port: 9999, Addr: "127.0.0.1:9999", Holders: []problem.Process{{PID: 77, Name: "nginx"}}})
	if err := problem.SaveLast(dir, e); err != nil {
		t.Fatal(err)
	}
	out, err := execute(t, dir, newExplainCommand, "--guide")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"TROUBLESHOOTING GUIDE", "ERROR CODE: port_conflict", "nginx", "9999", "DIAGNOSTIC COMMANDS", "COMMON SOLUTIONS", "GETTING HELP", "ERROR CONTEXT DATA"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	out, err = execute(t, dir, newExplainCommand, "--guide", "--json")
	var answer struct {
		Error struct {
			Code string `json:"error_code"`
		} `json:"error"`
		Guide string `json:"guide"`
	}
	if err := errors.Join(err, json.Unmarshal([]byte(out), &answer)); err != nil || answer.Error.Code != "port_conflict" || !strings.Contains(answer.Guide, "nginx") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = execute(t, dir, newExplainCommand, "--guide", "config_invalid"); err != nil || !strings.Contains(out, "ERROR CODE: config_invalid") {
		t.Errorf("the guide of a code: %v\n%s", err, out)
	}
	if out, err = execute(t, dir, newExplainCommand, "--guide", "--quiet"); err != nil || out != "" {
		t.Errorf("--quiet: %v\n%s", err, out)
	}
}

func TestExplainIsAskedForOneThing(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "which code"}, {[]string{"a", "b"}, "one code"}, {[]string{"--list", "--guide"}, "--list"}, {[]string{"--list", "a"}, "--list"},
		{[]string{"prot_conflict"}, "did you mean port_conflict?"}, {[]string{"xyzzy"}, "host explain --list"},
	} {
		out, err := execute(t, t.TempDir(), newExplainCommand, tc.args...)
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), tc.want) || out != "" {
			t.Errorf("%v: %v, want a mistake that says %q\n%s", tc.args, err, tc.want, out)
		}
	}
}

func TestErrorsThatAPersonMayAskAboutAreRemembered(t *testing.T) {
	dir := t.TempDir()
	c := &cli{stateDir: dir, getenv: func(string) string { return "" }}
	for _, code := range []string{problem.Usage, problem.NotRunning, problem.NotFound} {
		c.remember(&problem.Error{Code: code, What: "not worth it"})
	}
	c.remember(errors.New("without a code"))
	c.remember(nil)
	if e, err := problem.LoadLast(dir); err == nil {
		t.Errorf("%s was remembered", e.Code)
	}
	c.remember(&exitError{1, &problem.Error{Code: problem.ConfigInvalid, What: "wrong"}})
	if e, err := problem.LoadLast(dir); err != nil || e.Code != problem.ConfigInvalid {
		t.Errorf("remembered is %+v, %v", e, err)
	}
	// A configuration that cannot be read does not say where; the port does.
	home := t.TempDir()
	c = &cli{port: 9999, getenv: func(name string) string { return map[string]string{"XDG_STATE_HOME": home}[name] },
		settings: func(string) (string, int, error) { return "", 0, errors.New("cannot be read") }}
	c.remember(&problem.Error{Code: problem.ConfigInvalid, What: "wrong"})
	if entries, err := os.ReadDir(home); err != nil || len(entries) > 0 {
		t.Errorf("a directory was created: %v, %v", entries, err)
	}
	place := filepath.Join(home, "upkeep", "9999")
	if err := os.MkdirAll(place, 0o700); err != nil {
		t.Fatal(err)
	}
	c.remember(&problem.Error{Code: problem.ConfigInvalid, What: "wrong"})
	if e, err := problem.LoadLast(place); err != nil || e.What != "wrong" {
		t.Errorf("remembered is %+v, %v", e, err)
	}
}

func TestTheLoserOfAConflictRemembersItWithoutTouchingTheWinnersDirectory(t *testing.T) {
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	c := &cli{stateDir: dir, getenv: func(string) string { return "" }, memory: func() (string, error) { return cache, nil }}
	if _, err := c.recall(dir); err == nil {
		t.Error("an error is remembered before there was one")
	}
	c.remember(&problem.Error{Code: problem.DaemonConflict, What: "conflict"})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the winner's directory holds %v, %v", entries, err)
	}
	if e, err := c.recall(dir); err != nil || e.Code != problem.DaemonConflict {
		t.Errorf("recalled is %+v, %v", e, err)
	}
	if _, err := c.recall(t.TempDir()); err == nil {
		t.Error("the error of one directory is told about another")
	}
	c.remember(&problem.Error{Code: problem.ConfigInvalid, What: "later"})
	if e, err := c.recall(dir); err != nil || e.What != "later" {
		t.Errorf("the later error is not the last one: %+v, %v", e, err)
	}
	c.remember(&problem.Error{Code: problem.DaemonConflict, What: "latest"})
	if e, err := c.recall(dir); err != nil || e.What != "latest" {
		t.Errorf("the latest error is not the last one: %+v, %v", e, err)
	}
	info, err := os.Stat(filepath.Join(cache, "upkeep"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the memory: %v, %v", info, err)
	}
}

func TestAnErrorAboutADirectoryThatCannotBeWrittenIsRememberedAside(t *testing.T) {
	dir, cache := filepath.Join(t.TempDir(), "absent"), t.TempDir()
	c := &cli{stateDir: dir, getenv: func(string) string { return "" }, memory: func() (string, error) { return cache, nil }}
	c.remember(&problem.Error{Code: problem.StateDirUnusable, What: "unusable"})
	if e, err := c.recall(dir); err != nil || e.What != "unusable" {
		t.Errorf("recalled is %+v, %v", e, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the state directory was created")
	}
}
