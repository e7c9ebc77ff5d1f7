package config

import (
	"reflect"
	"testing"
)

func parsed(t *testing.T, text string) Config {
	t.Helper()
	cfg, mistakes := parse([]byte(text))
	if len(mistakes) > 0 {
		t.Fatalf("%s: %v", text, mistakes)
	}
	return cfg
}

// What Take leaves is exactly what Diff says waits for a restart.
func TestAReloadTakesWhatIsLiveAndLeavesTheRest(t *testing.T) {
	before := parsed(t, `{"server": {"port": 9000}, "limits": {"max_connections": 5}, "logging": {"level": "info", "format": "json"},
		"health_monitoring": {"thresholds": {"memory_mb": 700}}, "recovery": {"strategy": {"warning_threshold": 4}},
		"plugins": {"a": {"enabled": false, "config": {"x": 1}}, "gone": {"config": {"y": 1}}, "off": {"enabled": false}}}`)
	after := parsed(t, `{"server": {"port": 9001}, "limits": {"max_connections": 6}, "logging": {"level": "debug"},
		"health_monitoring": {"enabled": false, "check_interval": 5, "thresholds": {"cpu_percent": 70}},
		"recovery": {"enabled": false, "grace": 1, "circuit_breaker": {"success_threshold": 1}, "actions": {"restart_service": false}, "emergency_stop": "hold"},
		"plugins": {"a": {"required": false, "config": {"x": 2}}, "new": {"required": false}}}`)
	got := before.Take(after)
	want := before
	want.Logging.Level, want.HealthMonitoring, want.Recovery = "debug", after.HealthMonitoring, after.Recovery
	want.Plugins = map[string]Plugin{
		"a": {Config: map[string]any{"x": 2.0}}, "new": {Enabled: true}, "off": {Required: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if before.Plugins["a"].Config["x"] != 1.0 || len(before.Plugins) != 3 || before.HealthMonitoring.Thresholds["memory_mb"] != 700 {
		t.Errorf("the old one was changed: %+v", before)
	}
	for _, c := range Diff(got, after) {
		if c.Live {
			t.Errorf("%s is live and still differs", c.Key)
		}
	}
	waiting := map[string]bool{}
	for _, c := range Diff(before, after) {
		if !c.Live {
			waiting[c.Key] = true
		}
	}
	if left := Diff(got, after); len(left) != len(waiting) {
		t.Errorf("%d keys wait, want %d: %+v", len(left), len(waiting), left)
	}
}

func TestOriginsFollowWhatAReloadTook(t *testing.T) {
	file := func(line int) Origin { return Origin{Kind: FromFile, Name: "a.json", Line: line} }
	before := Origins{File: "a.json", keys: map[string]Origin{
		"server": file(1), "server.port": file(2), "recovery.enabled": file(3), "plugins.p.config": file(4), "plugins.p.enabled": file(5), "health_monitoring.check_interval": file(6),
	}}
	after := Origins{File: "a.json", keys: map[string]Origin{
		"server.port": file(12), "server.host": file(13), "recovery": file(14), "recovery.enabled": file(15), "plugins.p.config.x": file(16), "plugins.p.enabled": file(17),
	}}
	got := before.Take(after)
	want := map[string]Origin{
		"server": file(1), "server.port": file(2), "recovery": file(14), "recovery.enabled": file(15), "plugins.p.config.x": file(16), "plugins.p.enabled": file(5),
	}
	if !reflect.DeepEqual(got.keys, want) {
		t.Errorf("got %+v\nwant %+v", got.keys, want)
	}
	asked := got.Set("recovery.enabled", Origin{Kind: FromRequest})
	if asked.Of("recovery.enabled").String() != "admin request" || got.Of("recovery.enabled") != file(15) {
		t.Errorf("after a request: %s, before: %s", asked.Of("recovery.enabled"), got.Of("recovery.enabled"))
	}
}
