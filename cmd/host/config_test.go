package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
)

// configCommand runs host with nothing but config.
func configCommand(t testing.TB, environ []string, stdout, stderr *bytes.Buffer, args ...string) int {
	root := &cobra.Command{Use: "host", SilenceErrors: true, SilenceUsage: true}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newConfigCommand(&cli{stdout: stdout, stderr: stderr, getenv: func(string) string { return "" }}, func() []string { return environ }))
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	return report(formOf(args), stdout, stderr, root.ExecuteContext(t.Context()))
}

// hostLine is a line of a script that runs host.
var hostLine = regexp.MustCompile(`(?m)^(! )?host `)

// The scripts in testdata/config name their files from the root of the file
// system, so that they can run in this very process, as config-command.
func TestConfigDoesWhatItsManualSays(t *testing.T) {
	dir := t.TempDir()
	scripts, err := filepath.Glob("testdata/config/*.txtar")
	if err != nil || len(scripts) != 5 {
		t.Fatalf("scripts %v, %v", scripts, err)
	}
	for _, script := range scripts {
		data, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(script)), hostLine.ReplaceAll(data, []byte("${1}config-command ")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{Dir: dir, Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"config-command": func(ts *testscript.TestScript, neg bool, args []string) {
			var stdout, stderr bytes.Buffer
			var environ []string
			for _, name := range []string{"UPKEEP_CONFIG", "UPKEEP_SERVER_PORT", "UPKEEP_HEALTH_MONITORING__CHECK_INTERVAL", "CLAUDE_MPM_SOCKETIO_PORT"} {
				if value := ts.Getenv(name); value != "" {
					environ = append(environ, name+"="+value)
				}
			}
			code := configCommand(t, environ, &stdout, &stderr, args...)
			_, _ = ts.Stdout().Write(stdout.Bytes())
			_, _ = ts.Stderr().Write(stderr.Bytes())
			if failed := code != exitOK; failed != neg || failed && code != exitUsage {
				ts.Fatalf("exit code %d\n%s%s", code, stdout.String(), stderr.String())
			}
		},
	}})
}

func TestAMistakeInTheConfigurationIsAProblemWithItsCode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.json")
	if err := os.WriteFile(path, []byte(`{"server": {"prot": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(c *cli) *cobra.Command { return newConfigCommand(c, func() []string { return nil }) }
	for _, args := range [][]string{{"validate", path}, {"show", "--config", path}, {"init", path}, {"import", filepath.Dir(path)}} {
		if _, err := execute(t, t.TempDir(), command, args...); problem.Code(err) != problem.ConfigInvalid {
			t.Errorf("config %s: %v", strings.Join(args, " "), err)
		}
	}
	out, err := execute(t, t.TempDir(), command, "validate", path, "--json")
	var answer validation
	if json.Unmarshal([]byte(out), &answer) != nil || err == nil || answer.Valid || len(answer.Mistakes) != 1 || answer.Mistakes[0].Key != "server.prot" || answer.File != path {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheConfigurationThatInitWritesIsReadableByItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.json")
	var stdout, stderr bytes.Buffer
	if code := configCommand(t, nil, &stdout, &stderr, "config", "init", path); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("%v, %v", info, err)
	}
}
