package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/app"
)

// verbs are the commands that do something, by their path, e.g. "config show".
func verbs() map[string]*cobra.Command {
	found := map[string]*cobra.Command{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "completion" {
			return
		}
		if path := strings.TrimPrefix(cmd.CommandPath(), "host"); path != " config" && path != " quarantine" { // which only hold others
			found[strings.TrimSpace(path)] = cmd
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(command(io.Discard, io.Discard, nil))
	return found
}

func TestEveryVerbHasJSONAndQuietAndTellsAMistakeInTheWantedForm(t *testing.T) {
	for path, cmd := range verbs() {
		if cmd.Flags().Lookup("json") == nil || cmd.Flags().Lookup("quiet") == nil {
			t.Errorf("host %s has no --json or no --quiet", path)
		}
		for _, args := range [][]string{{"--json", "--no-such-flag"}, {"--no-such-flag", "--json"}, {"--json", "--quiet", "--no-such-flag"}} {
			args = append(strings.Fields(path), args...)
			var stdout, stderr bytes.Buffer
			code := run(args, &stdout, &stderr)
			told, other := &stdout, &stderr
			if args[len(args)-2] == "--quiet" {
				told, other = other, told
			}
			var document struct {
				Code string `json:"error_code"`
				Exit int    `json:"exit_code"`
			}
			err := json.Unmarshal(told.Bytes(), &document)
			if err != nil || code != exitUsage || document.Code != problem.Usage || document.Exit != exitUsage || other.Len() > 0 {
				t.Errorf("host %s: exit code %d, %v\n%s\n%s", strings.Join(args, " "), code, err, &stdout, &stderr)
			}
		}
	}
}

func TestTheDocumentOfTheCommandLineHasEveryVerbExitCodeAndField(t *testing.T) {
	data, err := os.ReadFile("../../docs/command-line.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for path := range verbs() {
		if path != "" && !regexp.MustCompile("`"+path+"[` ]").MatchString(page) {
			t.Errorf("host %s is not in docs/command-line.md", path)
		}
	}
	for code := exitOK; code <= exitEmergencyStop; code++ {
		row, man := regexp.MustCompile(`(?m)^\| (\d) \|`).FindAllStringSubmatch(page, -1), strings.Contains(exitStatus, `\fB`+string(rune('0'+code))+`\fP`)
		there := false
		for _, r := range row {
			there = there || r[1] == string(rune('0'+code))
		}
		if there != man {
			t.Errorf("exit code %d: in docs/command-line.md %v, in the man pages %v", code, there, man)
		}
	}
	var fields map[string]any
	if err := json.Unmarshal((&problem.Error{Code: problem.Usage, Why: "x", Details: []problem.Section{{}}}).CommandJSON(2), &fields); err != nil {
		t.Fatal(err)
	}
	_, errorsPart, _ := strings.Cut(page, "## Errors")
	for field := range fields {
		if !strings.Contains(errorsPart, "`"+field+"`") {
			t.Errorf("the field %s of an error is not in docs/command-line.md", field)
		}
	}
	for name, answer := range map[string]any{
		"start": started{}, "stop": stopped{}, "--check-running": checkedRunning{}, "config init FILE": written{}, "config validate": validation{},
		"explain --guide": guideAnswer{}, "| `version`": versionAnswer{}, "explain CODE": problem.Page{ExitCode: 1, HTTPStatus: 1}, "--origin": shownSetting{}, "token NAME": madeToken{},
	} {
		data, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatal(err)
		}
		row := regexp.MustCompile("(?m)^\\|.*" + regexp.QuoteMeta(name) + ".*$").FindString(page[strings.Index(page, "## Answers"):])
		for field := range fields {
			if !strings.Contains(row, "`"+field+"`") {
				t.Errorf("the field %s of %s is not in its row: %q", field, name, row)
			}
		}
	}
}

func TestEachErrorEndsWithTheDocumentedExitCodeInBothForms(t *testing.T) {
	told := func(code string) error { return &problem.Error{Code: code, What: "what happened", Err: io.EOF} }
	for _, tc := range []struct {
		why  string
		err  error
		want int
		code string
	}{
		{"nothing failed", nil, 0, ""},
		{"the command has said it", &exitError{code: 6}, 6, ""},
		{"an error with an exit code of its own", &exitError{3, told(problem.NotRunning)}, 3, "not_running"},
		{"joined with a failed write", errors.Join(nil, &exitError{code: 2}), 2, ""},
		{"a mistake on the command line", &usageError{"no such flag", "see help"}, 2, "usage"},
		{"a bundle that cannot be written", told(problem.Usage), 2, "usage"},
		{"a mistake in the configuration", told(problem.ConfigInvalid), 2, "config_invalid"},
		{"required plugins", told(problem.PluginsMissing), 2, "plugins_missing"},
		{"a host runs there", told(problem.DaemonConflict), 4, "daemon_conflict"},
		{"the port is taken", told(problem.PortConflict), 4, "port_conflict"},
		{"the state directory", told(problem.StateDirUnusable), 1, "state_dir_unusable"},
		{"an address that cannot be bound", told(problem.ListenFailed), 1, "listen_failed"},
		{"a signal", told(problem.Interrupted), 1, "interrupted"},
		{"emergency stop", &problem.Error{Code: problem.RecoveryFailed, What: "stopped", Err: app.ErrEmergencyStop}, 8, "recovery_failed"},
		{"an error without a page", errors.New("the disk is on fire"), 1, "internal_error"},
	} {
		var stdout, stderr bytes.Buffer
		if code := report(form{}, &stdout, &stderr, tc.err); code != tc.want || stdout.Len() > 0 || (tc.code == "") != (stderr.Len() == 0) {
			t.Errorf("%s: exit code %d, want %d\n%s%s", tc.why, code, tc.want, &stdout, &stderr)
		}
		stdout.Reset()
		stderr.Reset()
		code := report(form{json: true}, &stdout, &stderr, tc.err)
		var document struct {
			Code string `json:"error_code"`
			Exit int    `json:"exit_code"`
		}
		if tc.code != "" && json.Unmarshal(stdout.Bytes(), &document) != nil || code != tc.want || document.Code != tc.code || document.Exit != tc.want && tc.code != "" || stderr.Len() > 0 {
			t.Errorf("%s as JSON: exit code %d, want %d\n%s%s", tc.why, code, tc.want, &stdout, &stderr)
		}
		if page, known := problem.PageOf(tc.code); known && page.ExitCode != tc.want && tc.code != problem.RecoveryFailed {
			t.Errorf("%s: host explain %s says exit code %d, it is %d", tc.why, tc.code, page.ExitCode, tc.want)
		}
	}
}

func TestTheFormIsFoundAmongArgumentsThatCannotBeParsed(t *testing.T) {
	for args, want := range map[string]form{
		"status": {}, "status --json": {json: true}, "--json --nope": {json: true}, "--json=false": {}, "--json=true -q": {true, true},
		"status --quiet": {quiet: true}, "-- --json": {}, "--json=perhaps": {}, "--json --json=false": {},
	} {
		if got := formOf(strings.Fields(args)); got != want {
			t.Errorf("%q: %+v, want %+v", args, got, want)
		}
	}
}
