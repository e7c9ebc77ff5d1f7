package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// buildAsking builds the plugin that writes down its checks, as a version of
// its own, and puts it in the place of another one.
func buildAsking(t testing.TB, dir, version string) {
	t.Helper()
	folder := filepath.Join(dir, "asking")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "asking")
	cmd := exec.CommandContext(within(t, 2*time.Minute), "go", "build", "-trimpath", "-ldflags", "-X main.version="+version, "-o", next, "./test/e2e/testdata/plugins/asking")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin asking: %v\n%s", err, out)
	}
	beside := filepath.Join(folder, ".next")
	copyFile(t, next, beside)
	if err := os.Rename(beside, filepath.Join(folder, "asking")); err != nil {
		t.Fatal(err)
	}
}

// checksMade reads what the plugin wrote down: the version that made each
// check, by the number that host gave to it, and the numbers in order.
func checksMade(t testing.TB, dir string) (versions map[int]string, numbers []int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "asking", "checks.log"))
	if err != nil {
		return nil, nil
	}
	versions = map[int]string{}
	for line := range strings.Lines(string(text)) {
		version, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(strings.TrimPrefix(id, "asking-"))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if versions[n] == "" { // a new process is tried with the check that was the last
			numbers = append(numbers, n)
			versions[n] = version
		}
	}
	return versions, numbers
}

// A new version of a plugin takes over between two checks, and none is missed;
// one that is worse does not. The plugin asks host within its checks, so that
// also shows that nothing waits for itself.
func TestPluginIsExchangedAndNoCheckIsMissed(t *testing.T) {
	dir := pluginsDir(t, rig.BundledPlugins...)
	buildAsking(t, dir, "0.1.0")
	h := serve(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.1, "fast_check_interval": 0.1},
	})}})
	made := func(n int) {
		t.Helper()
		eventually(t, 30*time.Second, "more checks are made", func() error {
			if _, numbers := checksMade(t, dir); len(numbers) < n {
				return fmt.Errorf("%d of %d", len(numbers), n)
			}
			return nil
		})
	}
	reload := func(args ...string) commanded {
		t.Helper()
		return command(t, append(append([]string{"plugins", "reload"}, args...), "--state-dir", h.StateDir, "--port", fmt.Sprint(h.Port))...)
	}
	made(20)
	before := pluginOf(t, h, "asking")

	buildAsking(t, dir, "0.2.0")
	if got := reload("asking"); got.code != 0 || !strings.Contains(got.stdout, "asking reloaded (0.1.0 -> 0.2.0)") {
		t.Fatalf("reload: %+v", got)
	}
	_, numbers := checksMade(t, dir)
	made(len(numbers) + 20)
	after := pluginOf(t, h, "asking")
	if after.PID == before.PID || before.Alive() {
		t.Errorf("process %d before and %d after the reload, the old one alive: %v", before.PID, after.PID, before.Alive())
	}

	// Worse: it does not even start.
	if err := os.WriteFile(filepath.Join(dir, "asking", ".next"), []byte("#!/bin/sh\necho no good >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "asking", ".next"), filepath.Join(dir, "asking", "asking")); err != nil {
		t.Fatal(err)
	}
	if got := reload("asking"); got.code != 5 || !strings.Contains(got.stdout, "asking kept (0.2.0)") || !strings.Contains(got.stdout, "no good") {
		t.Errorf("reload of a worse one: %+v", got)
	}
	if s := pluginState(t, h, "asking"); s.PID != after.PID {
		t.Error("the worse one took over")
	}
	if text := pluginText(t, h, "asking"); !strings.Contains(text, "no good") {
		t.Errorf("/diagnostics does not say why: %s", text)
	}
	_, numbers = checksMade(t, dir)
	made(len(numbers) + 20)

	versions, numbers := checksMade(t, dir)
	for n := 1; n < len(numbers); n++ { // host numbers the checks of all four checkers together
		if numbers[n]-numbers[n-1] != 4 {
			t.Errorf("after check %d (%s) came %d (%s): some were missed", numbers[n-1], versions[numbers[n-1]], numbers[n], versions[numbers[n]])
		}
	}
	for _, c := range []string{"asking", "process_resources", "network_connectivity", "service_health"} {
		if word := at(object(t, h, "/health"), "checks", c); word != "healthy" {
			t.Errorf("%s is %v", c, word)
		}
	}
	noRecovery(t, h)
}

// Plugins, the strategy too, are installed and removed while host runs.
func TestPluginsAreInstalledAndRemovedWhileHostRuns(t *testing.T) {
	dir := pluginsDir(t, "process")
	h := launch(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.2, "fast_check_interval": 0.2},
		"supervision":       map[string]any{"follow_plugins": true},
	})}})
	if _, err := h.WaitReported(within(t, 30*time.Second), "process_resources"); err != nil {
		t.Fatal(err)
	}
	add := func(name string) {
		t.Helper()
		from := pluginsDir(t, name)
		if err := os.Rename(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	is := func(check string, want any, recovery string) {
		t.Helper()
		eventually(t, 30*time.Second, fmt.Sprintf("%s is %v and recovery %s", check, want, recovery), func() error {
			o := object(t, h, "/health")
			if word := at(o, "checks", check); word != want || o["recovery"] != recovery {
				return fmt.Errorf("%v, recovery %v", word, o["recovery"])
			}
			return nil
		})
	}
	is("process_resources", "healthy", "unavailable")
	add("service")
	add("recovery-graded")
	is("service_health", "healthy", "available")
	for _, name := range []string{"service", "recovery-graded"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	is("service_health", nil, "unavailable")
	is("process_resources", "healthy", "unavailable")
	noRecovery(t, h)
}
