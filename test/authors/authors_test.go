//go:build linux

package authors

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

var root string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var err error
	if root, err = rig.Root(); err == nil {
		err = requirements(ctx)
	}
	if err == nil {
		err = rig.Build(ctx, root)
	}
	if err == nil {
		err = rig.BuildExamples(ctx, root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// requirements are all needed where CI is set. Elsewhere the tests of a language
// that is not there are left out, and it is said which.
func requirements(ctx context.Context) error {
	need := &rig.NeedError{}
	var patterns []string
	check := func(what, get, tests, name string, args ...string) {
		if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
			need.Missing = append(need.Missing, rig.Need{What: fmt.Sprintf("%s (%s: %v %s)", what, name, err, strings.TrimSpace(string(out))), Get: get, Tests: tests})
			patterns = append(patterns, tests)
		}
	}
	check("grpcio for "+rig.Python, "apt-get install python3-grpcio python3-protobuf", "InPython", rig.Python, "-c", "import grpc, google.protobuf")
	check("npm", "apt-get install npm", "InNode", "npm", "--version")
	if len(need.Missing) == 0 {
		return nil
	}
	if os.Getenv("CI") != "" {
		return need
	}
	fmt.Fprintf(os.Stderr, "LEFT OUT: %v\nWith CI=true this is an error.\n", need)
	skip := flag.Lookup("test.skip")
	if given := skip.Value.String(); given != "" {
		patterns = append(patterns, given)
	}
	return skip.Value.Set(strings.Join(patterns, "|"))
}

// shell runs a command line as its author would type it, with host on PATH.
func shell(t *testing.T, dir, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"), "GOWORK=off", "CGO_ENABLED=0")
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, out, &errors)
	}
	return string(out)
}

// builds makes a new plugin and does what is printed: all of it must succeed.
func builds(t *testing.T, language, kind string) {
	t.Helper()
	dir := t.TempDir()
	var made struct {
		Folder string
		Next   []string
	}
	text := shell(t, dir, fmt.Sprintf("host plugins new my-%s --lang %s --kind %s --json", kind, language, kind))
	if err := json.Unmarshal([]byte(text), &made); err != nil || len(made.Next) < 2 {
		t.Fatalf("%v: %s", err, text)
	}
	out := shell(t, dir, "set -e\n"+strings.Join(made.Next, "\n"))
	if !strings.Contains(out, "my-"+kind+": ") || !strings.Contains(out, " 0 failed") {
		t.Errorf("host plugins test says\n%s", out)
	}
}

func TestANewCheckerInGoBuildsAndKeepsEveryRule(t *testing.T)      { builds(t, "go", "checker") }
func TestANewStrategyInGoBuildsAndKeepsEveryRule(t *testing.T)     { builds(t, "go", "recovery") }
func TestANewCheckerInNodeInstallsAndKeepsEveryRule(t *testing.T)  { builds(t, "node", "checker") }
func TestANewStrategyInNodeInstallsAndKeepsEveryRule(t *testing.T) { builds(t, "node", "recovery") }
func TestANewCheckerInPythonKeepsEveryRule(t *testing.T)           { builds(t, "python", "checker") }
func TestANewStrategyInPythonKeepsEveryRule(t *testing.T)          { builds(t, "python", "recovery") }

func TestTheBundledPluginsKeepEveryRule(t *testing.T) {
	for _, name := range rig.BundledPlugins {
		out := shell(t, root, "host plugins test plugins/"+name)
		if !strings.Contains(out, name+": ") || !strings.Contains(out, " 0 failed") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}
