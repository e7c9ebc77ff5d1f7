package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// pluginsDir copies the bundled plugins into a folder of the test's own.
func pluginsDir(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		copyFile(t, filepath.Join(root, "plugins", name, name), filepath.Join(dir, name, name))
	}
	return dir
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// buildPlugin compiles a plugin of testdata into a plugin directory.
func buildPlugin(t testing.TB, dir, name string) {
	t.Helper()
	cmd := exec.CommandContext(within(t, 2*time.Minute), "go", "build", "-trimpath", "-o", filepath.Join(dir, name, name), "./test/e2e/testdata/plugins/"+name)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin %s: %v\n%s", name, err, out)
	}
}

// A checker that is critical for ever leads up the whole ladder, one rung a
// time, and each rung tells clients in a way from which they come back.
func TestIllnessThatNothingCuresClimbsTheLadderToTheEmergencyStop(t *testing.T) {
	dir := pluginsDir(t, rig.BundledPlugins...)
	buildPlugin(t, dir, "critical")
	h := launch(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.5, "fast_check_interval": 0.25},
		"recovery":          map[string]any{"min_recovery_interval": 1, "recovery_timeout": 2, "grace": 2},
	})}})
	if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	d := node(t)
	for _, transport := range []string{"websocket", "polling"} {
		open(t, d, rig.Open{Client: transport, URL: h.Base(), Transport: transport})
	}
	first := hubOf(t, h)

	// What was done, as it happens: the last rung ends host, so it is read
	// from the admin port for as long as that answers.
	var taken []string
	var hubs []int
	if err := rig.Poll(within(t, 90*time.Second), 50*time.Millisecond, func() error {
		if h.Exited() {
			return nil
		}
		if hub, err := h.Hub(); err == nil && !slices.Contains(hubs, hub.PID) {
			hubs = append(hubs, hub.PID)
		}
		d, err := h.Diagnostics(within(t, 5*time.Second))
		if err != nil {
			return err
		}
		if attempts := d.Attempts(); len(attempts) > len(taken) {
			taken = attempts
		}
		return fmt.Errorf("host still runs, so far it did %v", taken)
	}); err != nil {
		t.Fatal(err)
	}
	exit, err := h.Wait(within(t, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	measured(t, "ladder_until_exit", exit.At.Sub(h.Began))
	measured(t, "ladder_actions", taken)
	if exit.Code != 8 {
		t.Errorf("after emergency_stop host ends with %s, want code 8", exit)
	}
	if want := []string{"clear_connections", "restart_service"}; len(taken) < 2 || !slices.Equal(taken[:2], want) {
		t.Errorf("the rungs were %v, want %v and then emergency_stop", taken, want)
	}
	contains(t, h.Output.Text(), "clear_connections", "restart_service", "emergency_stop")
	if len(hubs) != 2 || hubs[0] != first.PID {
		t.Errorf("the hubs were %v, want the first one (%d) until restart_service and another one after it", hubs, first.PID)
	}
	if listening(h.Port) {
		t.Errorf("somebody still listens on port %d", h.Port)
	}

	// clear_connections, restart_service and emergency_stop: three times told.
	for _, transport := range []string{"websocket", "polling"} {
		told := 0
		for _, n := range d.Notes(0) {
			if n.Client != transport || n.What != "disconnect" {
				continue
			}
			told++
			if n.Reason != "transport close" {
				t.Errorf("%s was told %q, want %q: only then does a client come back and know why", transport, n.Reason, "transport close")
			}
		}
		if told != 3 {
			t.Errorf("%s was told %d times, want 3", transport, told)
		}
	}
}

// With "hold" host stays after emergency_stop, for a person to look at.
func TestEmergencyStopCanHold(t *testing.T) {
	t.Parallel()
	dir := pluginsDir(t, rig.BundledPlugins...)
	buildPlugin(t, dir, "critical")
	h := launch(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.5, "fast_check_interval": 0.25},
		"recovery":          map[string]any{"min_recovery_interval": 0.5, "recovery_timeout": 1, "grace": 1, "emergency_stop": "hold"},
	})}})
	if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, "the hub is stopped and host holds", func() error {
		if _, err := h.Hub(); err == nil {
			return fmt.Errorf("there is a hub")
		}
		r, err := rig.Get(within(t, 5*time.Second), h.AdminURL("/health"))
		if err == nil && r.Status != 503 {
			err = fmt.Errorf("/health on the admin port is %s", r)
		}
		return err
	})
	pass(t, 3*time.Second)
	if h.Exited() {
		t.Fatal("host ended, although it was to hold")
	}
	if _, err := h.Hub(); err == nil {
		t.Error("a hub runs after emergency_stop")
	}
}

// A checker that could not look has nothing to say about the hub.
func TestNothingIsDoneWhenNoCheckerCanLook(t *testing.T) {
	t.Parallel()
	dir := pluginsDir(t, "recovery-graded")
	buildPlugin(t, dir, "blind")
	h := launch(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.2, "fast_check_interval": 0.2},
		"recovery":          map[string]any{"min_recovery_interval": 0.5, "recovery_timeout": 1, "grace": 0.5},
	})}})
	if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	d := node(t)
	open(t, d, rig.Open{Client: "a", URL: h.Base(), Transport: "websocket"})
	connected := d.Mark()
	hub := hubOf(t, h)
	eventually(t, 20*time.Second, "many rounds have passed", func() error {
		if n := number(object(t, h, "/diagnostics"), "health_monitor", "checks_performed"); n < 40 {
			return fmt.Errorf("%v checks", n)
		}
		return nil
	})
	health := object(t, h, "/health")
	if at(health, "checks", "blind") != "unknown" || health["status"] == "healthy" {
		t.Errorf("what nobody saw is %v, and the check %v", health["status"], at(health, "checks", "blind"))
	}
	noRecovery(t, h)
	if !hub.Alive() {
		t.Error("the hub was replaced although nobody saw anything")
	}
	undisturbed(t, d, connected)
}
