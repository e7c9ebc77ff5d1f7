package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// Supervision is not recovery: it needs no health monitoring.
func TestWithoutHealthMonitoringHostServesAndReplacesItsHub(t *testing.T) {
	t.Parallel()
	h := launch(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{"health_monitoring": map[string]any{"enabled": false}})}})
	if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
		t.Fatalf("%v\n%s", err, h.Output.Text())
	}
	d := object(t, h, "/diagnostics")
	if at(d, "health_monitor", "enabled") != false || at(d, "recovery_manager", "available") != false {
		t.Errorf("health_monitor is %v, recovery_manager is %v", at(d, "health_monitor"), at(d, "recovery_manager"))
	}
	if r := get(t, h, "/version"); r.Status != 200 {
		t.Errorf("/version is %s", r)
	}
	hub := hubOf(t, h)
	anotherHub(t, h, hub, signal(t, hub, syscall.SIGKILL), 20*time.Second)
}

func TestWithThePluginsThereMonitorAndRecoveryAreThere(t *testing.T) {
	t.Parallel()
	d := object(t, serve(t, rig.Options{}), "/diagnostics")
	for _, path := range [][]string{{"health_monitor", "enabled"}, {"recovery_manager", "enabled"}, {"recovery_manager", "available"}} {
		if at(d, path...) != true {
			t.Errorf("%v is %v, want true", path, at(d, path...))
		}
	}
	if at(d, "recovery_manager", "circuit_breaker_state") != "closed" {
		t.Errorf("the breaker is %v", at(d, "recovery_manager", "circuit_breaker_state"))
	}
}

func TestPluginThatIsNotRequiredMayBeMissingAndIsSaidToBe(t *testing.T) {
	t.Parallel()
	h := serve(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{"plugins": map[string]any{"nosuch": map[string]any{"required": false}}})}})
	line, err := h.Output.WaitLine(within(t, 5*time.Second), 0, func(l rig.Line) bool { return strings.Contains(l.Text, "plugin=nosuch") })
	if err != nil || !strings.Contains(line.Text, "[WARN]") {
		t.Errorf("%v: %q", err, line.Text)
	}
}

// Who can read /diagnostics sees what is in force and where it comes from, and no secret.
func TestEachSettingIsShownWithItsSourceAndSecretsNowhere(t *testing.T) {
	t.Parallel()
	const token, other = "d1s-is-the-admin-token-0123456789", "correct-horse-battery-staple"
	file := configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 5}, "logging": map[string]any{"level": "info"}, "events": map[string]any{"history": 77},
	})
	h := serve(t, rig.Options{Args: []string{"--config", file, "--server-id", "from-a-flag"}, Env: map[string]string{
		"UPKEEP_LOGGING__LEVEL": "debug", "UPKEEP_ADMIN__TOKEN": token, "DATABASE_PASSWORD": other,
	}})
	shown := map[string]map[string]any{}
	list, _ := at(object(t, h, "/diagnostics"), "configuration").([]any)
	for _, entry := range list {
		if setting, ok := entry.(map[string]any); ok {
			shown[fmt.Sprint(setting["key"])] = setting
		}
	}
	for key, want := range map[string][2]string{
		"logging.level": {"debug", "UPKEEP_LOGGING__LEVEL"}, "health_monitoring.check_interval": {"5", "upkeep.json"}, "events.history": {"77", "upkeep.json"},
		"server.server_id": {"from-a-flag", "flag"}, "recovery.recovery_timeout": {"30", "default"}, "admin.token": {"********", "UPKEEP_ADMIN__TOKEN"},
	} {
		if got := shown[key]; fmt.Sprint(got["value"]) != want[0] || !strings.Contains(fmt.Sprint(got["origin"]), want[1]) {
			t.Errorf("%s is shown as %v, want %s from %s", key, got, want[0], want[1])
		}
	}
	for _, url := range []string{h.URL("/diagnostics"), h.URL("/status"), h.URL("/health"), h.URL("/metrics"), h.URL("/stats"), h.AdminURL("/diagnostics"), h.AdminURL("/metrics")} {
		r, err := rig.Get(within(t, 5*time.Second), url)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{token, other, "DATABASE_PASSWORD"} {
			if strings.Contains(string(r.Body), secret) {
				t.Errorf("%s shows %q", url, secret)
			}
		}
	}
	for _, url := range []string{h.URL("/debug/pprof/"), h.URL("/debug/vars"), h.URL("/env"), h.AdminURL("/debug/pprof/"), h.AdminURL("/debug/pprof/cmdline"), h.AdminURL("/debug/vars")} {
		if r, err := rig.Get(within(t, 5*time.Second), url); err != nil || r.Status != 404 {
			t.Errorf("%s is %s, %v, want 404", url, r, err)
		}
	}
	content, err := os.ReadFile(filepath.Join(h.StateDir, fmt.Sprintf("host-%d.pid", h.Port)))
	if err != nil || strings.Contains(string(content), token) {
		t.Errorf("the PID file shows the token, or %v", err)
	}
	if strings.Contains(h.Output.Text(), token) || strings.Contains(h.Output.Text(), other) {
		t.Error("the log shows a secret")
	}
}

// What strangers choose, paths, agents and event names, never becomes a series.
func TestNothingThatAStrangerChoosesBecomesASeries(t *testing.T) {
	t.Parallel()
	h := serve(t, rig.Options{})
	names := func() map[string]bool {
		found := map[string]bool{}
		for line := range strings.Lines(string(get(t, h, "/metrics").Body)) {
			if series, _, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "#") {
				found[series] = true
			}
		}
		return found
	}
	before := names()
	for i := range 50 {
		mark := "zzz" + strconv.Itoa(i)
		r, err := rig.Do(within(t, 5*time.Second), "GET", h.URL("/"+mark+"?"+mark+"="+mark), map[string]string{"User-Agent": mark, "X-" + mark: mark, "Referer": mark}, nil)
		if err != nil || r.Status != 404 {
			t.Fatalf("%s, %v", r, err)
		}
	}
	c := dialRaw(t, h)
	for i := range 50 {
		if err := c.Emit(fmt.Sprintf("zzz%d\"\n{}", i), map[string]any{"type": "zzz" + strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Ping(within(t, 5*time.Second)); err != nil { // it answers in order
		t.Fatal(err)
	}
	after := names()
	for series := range after {
		if strings.Contains(series, "zzz") {
			t.Errorf("a stranger's word is in the series %s", series)
		}
	}
	if len(after) > len(before)+20 { // a first error adds the series of its kind
		t.Errorf("there were %d series, now there are %d", len(before), len(after))
	}
}
