package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// edit writes another configuration into the file of a running host.
func edit(t testing.TB, path string, config map[string]any) {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

type section = map[string]any

func TestAReloadReachesMonitorPluginsAndHubWithoutARestart(t *testing.T) {
	file := configFile(t, section{"health_monitoring": section{"check_interval": 0.5}, "recovery": section{"enabled": false}})
	h := serve(t, rig.Options{Args: []string{"--config", file}})
	hub, process, strategy := hubOf(t, h), pluginOf(t, h, "process"), pluginOf(t, h, "recovery-graded")
	same := func() {
		t.Helper()
		if hubOf(t, h).PID != hub.PID || pluginOf(t, h, "process").PID != process.PID || pluginOf(t, h, "recovery-graded").PID != strategy.PID {
			t.Error("a process was replaced")
		}
	}

	// A threshold that the hub exceeds: the plugin itself has it, at once.
	edit(t, file, section{
		"health_monitoring": section{"check_interval": 0.5, "thresholds": section{"memory_mb": 1}}, "recovery": section{"enabled": false, "strategy": section{"warning_threshold": 3}},
		"logging": section{"level": "debug"},
	})
	if err := h.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the new threshold is exceeded", func() error {
		if got := object(t, h, "/health"); at(got, "checks", "process_resources") != "critical" || at(got, "recovery") != "off" {
			return fmt.Errorf("/health has %v", got)
		}
		return nil
	})
	same()
	noRecovery(t, h)

	// One plugin that refuses leaves everything as it is, also the other plugins.
	edit(t, file, section{
		"health_monitoring": section{"check_interval": 0.5, "thresholds": section{"memory_mb": 900}}, "recovery": section{"enabled": true},
		"plugins": section{"network": section{"config": section{"nonsense": 1}}},
	})
	if got := command(t, "reload", "--state-dir", h.StateDir); got.code != 2 {
		t.Errorf("the reload ends with %d", got.code)
	} else {
		contains(t, got.stderr, "config_invalid", `plugin "network"`, "nonsense")
	}
	seen := number(object(t, h, "/diagnostics"), "health_monitor", "checks_performed")
	eventually(t, 10*time.Second, "another round of checks", func() error {
		if now := number(object(t, h, "/diagnostics"), "health_monitor", "checks_performed"); now <= seen {
			return errors.New("none yet")
		}
		return nil
	})
	if got := object(t, h, "/health"); at(got, "checks", "process_resources") != "critical" || at(got, "recovery") != "off" {
		t.Errorf("after a reload that was refused /health has %v", got)
	}

	// And a good one heals.
	edit(t, file, section{"health_monitoring": section{"check_interval": 0.5}})
	if got := command(t, "reload", "--state-dir", h.StateDir); got.code != 0 || !strings.Contains(got.stdout, "recovery.enabled: false -> true\n") || strings.Contains(got.stdout, "restart") {
		t.Errorf("the reload ends with %d: %s%s", got.code, got.stdout, got.stderr)
	}
	eventually(t, 10*time.Second, "all is well again", func() error {
		if got := object(t, h, "/health"); at(got, "status") != "healthy" || at(got, "recovery") != "available" {
			return fmt.Errorf("/health has %v", got)
		}
		return nil
	})
	same()
}

// While nobody looks after health, supervision does.
func TestWithMonitoringSwitchedOffAHubThatDiesIsReplacedAllTheSame(t *testing.T) {
	file := configFile(t, section{"health_monitoring": section{"check_interval": 0.5}})
	h := serve(t, rig.Options{Args: []string{"--config", file}})
	outliveFirstPause(t, h)
	edit(t, file, section{"health_monitoring": section{"enabled": false}})
	if got := command(t, "reload", "--state-dir", h.StateDir); got.code != 0 {
		t.Fatalf("the reload ends with %d: %s%s", got.code, got.stdout, got.stderr)
	}
	off := func() {
		t.Helper()
		r := get(t, h, "/health")
		o, err := r.JSON()
		if err != nil || r.Status != 200 || at(o, "status") != "unknown" || at(o, "monitoring") != "off" || at(o, "stale") != false {
			t.Errorf("/health is %s", r)
		}
	}
	off()
	for _, verb := range []string{"status", "check"} {
		if got := command(t, verb, "--state-dir", h.StateDir); got.code != 0 || !strings.Contains(got.stdout, "health monitoring is switched off") {
			t.Errorf("host %s ends with %d and says\n%s", verb, got.code, got.stdout)
		}
	}
	old := hubOf(t, h)
	anotherHub(t, h, old, signal(t, old, syscall.SIGKILL), 10*time.Second)
	old = hubOf(t, h)
	signal(t, old, syscall.SIGSTOP)
	eventually(t, 15*time.Second, "a hub that is frozen is replaced", func() error {
		if now, err := h.Hub(); err != nil || now.PID == old.PID {
			return fmt.Errorf("the hub is still %d: %v", old.PID, err)
		}
		return nil
	})
	eventually(t, 10*time.Second, "it serves", func() error {
		if r, err := rig.Get(within(t, 5*time.Second), h.URL("/health")); err != nil || r.Status != 200 {
			return fmt.Errorf("/health is %s, %v", r, err)
		}
		return nil
	})
	off()

	edit(t, file, section{"health_monitoring": section{"check_interval": 0.5}})
	if err := h.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := h.WaitReported(within(t, 10*time.Second), bundledChecks...); err != nil {
		t.Errorf("switched on again: %v", err)
	}
	noRecovery(t, h)
}
