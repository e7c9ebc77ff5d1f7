package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// showAll shows a configuration in every way that there is.
func showAll(t *testing.T, cfg Config) string {
	t.Helper()
	file, err := cfg.File()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(cfg.Settings())
	if err != nil {
		t.Fatal(err)
	}
	changes, err := json.Marshal(Diff(Default(), cfg))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join([]string{
		string(file), string(settings), string(changes), fmt.Sprintf("%v %+v %#v", cfg.Masked(), cfg.Masked(), cfg.Masked()), fmt.Sprint(cfg.Admin, cfg.Admin.Token),
	}, "\n")
}

func TestADifferenceNamesKeyValuesAndWhetherItIsLive(t *testing.T) {
	for _, tc := range []struct {
		old, new string
		want     []Change
	}{
		{`{}`, `{"server": {"port": 8765}}`, nil},
		{`{}`, `{"server": {"port": 9000}}`, []Change{{"server.port", 8765, 9000, false}}},
		{`{}`, `{"logging": {"level": "debug", "format": "json"}}`, []Change{{"logging.level", "info", "debug", true}, {"logging.format", "text", "json", false}}},
		{`{}`, `{"health_monitoring": {"enabled": false, "check_interval": 5, "check_timeout": 1}}`, []Change{
			{"health_monitoring.enabled", true, false, true}, {"health_monitoring.check_interval", 30.0, 5.0, true}, {"health_monitoring.check_timeout", 2.0, 1.0, true},
		}},
		{`{"health_monitoring": {"thresholds": {"memory_mb": 700}}}`, `{"health_monitoring": {"thresholds": {"cpu_percent": 90}}}`, []Change{
			{"health_monitoring.thresholds.cpu_percent", nil, 90.0, true}, {"health_monitoring.thresholds.memory_mb", 700.0, nil, true},
		}},
		{`{}`, `{"recovery": {"enabled": false, "circuit_breaker": {"failure_threshold": 9}, "actions": {"restart_service": false}}}`, []Change{
			{"recovery.enabled", true, false, true}, {"recovery.circuit_breaker.failure_threshold", 5, 9, true}, {"recovery.actions.restart_service", true, false, true},
		}},
		{`{}`, `{"recovery": {"strategy": {}}}`, nil},
		{`{}`, `{"recovery": {"strategy": {"warning_threshold": 4}}}`, []Change{{"recovery.strategy.warning_threshold", 2, 4, true}}},
		{`{"plugins": {"a": {"config": {"x": 1, "password": "one"}}, "b": {}}}`, `{"plugins": {"a": {"required": false, "config": {"x": 1, "password": "two"}}}}`, []Change{
			{"plugins.a.required", true, false, true},
			{"plugins.a.config", map[string]any{"x": 1.0, "password": mask}, map[string]any{"x": 1.0, "password": mask}, true},
		}},
		{`{"plugins": {"a": {"enabled": false}}}`, `{"plugins": {"b": {"required": false}}}`, []Change{{"plugins.a.enabled", false, true, false}, {"plugins.b.required", true, false, true}}},
		{`{"admin": {"token": "0123456789abcdef"}}`, `{"admin": {"token": "fedcba9876543210"}}`, []Change{{"admin.token", mask, mask, false}}},
	} {
		before, mistakes := parse([]byte(tc.old))
		after, more := parse([]byte(tc.new))
		if len(mistakes)+len(more) > 0 {
			t.Fatalf("%s, %s: %v %v", tc.old, tc.new, mistakes, more)
		}
		if got := Diff(before, after); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("from %s to %s:\n%+v\nwant\n%+v", tc.old, tc.new, got, tc.want)
		}
	}
}

func TestSecretsInTheSettingsOfPluginsAreMasked(t *testing.T) {
	cfg, mistakes := parse([]byte(`{"plugins": {"x": {"config": {
		"password": "planted-1", "list": [{"Api_Key": "planted-2"}], "token": {"value": "planted-3"}, "url": "redis://me:planted-4@host/0", "limit": 5, "secret": ""}}}}`))
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	shown := showAll(t, cfg)
	if strings.Contains(shown, "planted") {
		t.Errorf("a secret is shown: %s", shown)
	}
	if !strings.Contains(shown, "redis://me:"+mask+"@host/0") {
		t.Errorf("the rest of an address is not shown: %s", shown)
	}
	if cfg.Plugins["x"].Config["password"] != "planted-1" {
		t.Error("masking changed the configuration itself")
	}
}

func TestTheSettingsAreEveryKeyOnce(t *testing.T) {
	cfg, err := loadFile("testdata/good/everything.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range cfg.Settings() {
		if seen[s.Key] {
			t.Errorf("%s is listed twice", s.Key)
		}
		seen[s.Key] = true
		if leaf, known := leafKeys()[s.Key]; known && leaf.live != s.Live {
			t.Errorf("%s: live is %v", s.Key, s.Live)
		}
	}
	for key := range leafKeys() {
		if !seen[key] {
			t.Errorf("%s is not listed", key)
		}
	}
}
