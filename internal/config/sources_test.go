package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/core/problem"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upkeep.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsWinOverEnvironmentOverFileOverProfileOverDefaults(t *testing.T) {
	file := write(t, `{
  "server": {"host": "127.0.0.3"},
  "health_monitoring": {"history_size": 7,
    "check_interval": 3}
}`)
	all := Sources{
		Profile: "development", File: file,
		Environ: []string{"UPKEEP_HEALTH_MONITORING__CHECK_INTERVAL=4.5", "UPKEEP_SERVER__HOST=127.0.0.4", "PATH=/bin"},
		Flags:   map[string]any{"server.host": "127.0.0.5", "server.port": 0, "server.server_id": "mine", "admin.address": "off"},
	}
	cfg, origins, err := Load(all)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Server.Host, want.Server.Port, want.Server.ServerID = "127.0.0.5", 0, "mine"
	want.HealthMonitoring.CheckInterval, want.HealthMonitoring.HistorySize = seconds(4.5), 7
	want.Recovery.CircuitBreaker.FailureThreshold = 3
	want.Admin.Address = "off"
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("read\n%+v\nwant\n%+v", cfg, want)
	}
	for key, want := range map[string]string{
		"server.host":                                "flag --host",
		"server.port":                                "flag --port",
		"server.server_id":                           "flag --server-id",
		"admin.address":                              "flag --admin",
		"health_monitoring.check_interval":           "environment UPKEEP_HEALTH_MONITORING__CHECK_INTERVAL",
		"health_monitoring.history_size":             "file " + file + ":3",
		"recovery.circuit_breaker.failure_threshold": "profile development",
		"recovery.grace":                             "default",
		"health_monitoring":                          "environment UPKEEP_HEALTH_MONITORING__CHECK_INTERVAL",
	} {
		if got := origins.Of(key).String(); got != want {
			t.Errorf("%s comes from %q, want %q", key, got, want)
		}
	}
	if got, want := origins.String(), "profile development, file "+file+", 1 variable"; got != want {
		t.Errorf("the sources are %q, want %q", got, want)
	}
	if got := (Origins{}).String(); got != "built-in defaults" {
		t.Errorf("no source at all is called %q", got)
	}
}

func TestFileAndProfileCanBeNamedByTheEnvironment(t *testing.T) {
	file := write(t, `{"server": {"port": 9000}}`)
	environ := []string{"UPKEEP_CONFIG=" + file, "UPKEEP_PROFILE=production"}
	cfg, origins, err := Load(Sources{Environ: environ})
	if err != nil || cfg.Server.Port != 9000 || cfg.HealthMonitoring.HistorySize != 200 || origins.File != file || origins.Profile != "production" {
		t.Errorf("read %+v from %s, %v", cfg, origins, err)
	}
	other := write(t, `{"server": {"port": 9001}}`)
	cfg, origins, err = Load(Sources{Environ: environ, File: other, Profile: "development"})
	if err != nil || cfg.Server.Port != 9001 || cfg.HealthMonitoring.HistorySize != 50 || origins.File != other {
		t.Errorf("what was named directly does not win: %+v from %s, %v", cfg, origins, err)
	}
}

// faults.md, Config: mistakes of all sources at once.
func TestMistakesOfAllSourcesAreReportedAtOnce(t *testing.T) {
	file := write(t, "{\n\"server\": {\"prot\": 1}}")
	_, origins, err := Load(Sources{
		File: file, Profile: "prod",
		Environ: []string{"UPKEEP_SERVER__PORT=70000", "UPKEEP_SERVR__HOST=a", "UPKEEP_ADMIN__TOKEN=hush"},
		Flags:   map[string]any{"server.host": "a b", "health_monitoring.check_intervall": 1},
	})
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Code != problem.ConfigInvalid {
		t.Fatalf("got %v", err)
	}
	want := `--profile: got the profile "prod", want "development", "docker" or "production"
UPKEEP_SERVR__HOST: there is no such variable; did you mean UPKEEP_SERVER__HOST?
server.prot (line 2): there is no such key; did you mean "port"?
admin.token (UPKEEP_ADMIN__TOKEN): got a text of 4 bytes, want 16 to 512 printable ASCII letters without spaces, or nothing
server.port (UPKEEP_SERVER__PORT): got 70000, want an integer from 0 to 65535
health_monitoring.check_intervall (--check-intervall): there is no such key; did you mean "check_interval"?
server.host (--host): got the text "a b", want a host name or an IP address, without port`
	if p.Why != want {
		t.Errorf("said\n%s\nwant\n%s", p.Why, want)
	}
	if p.What != "the configuration has 7 mistakes" || origins.File != file {
		t.Errorf("headline %q, file %q", p.What, origins.File)
	}
	if strings.Contains(p.Text(), "hush") {
		t.Errorf("a secret is shown:\n%s", p.Text())
	}
}

func TestAVariableIsReadByTheKindOfItsKey(t *testing.T) {
	for _, tc := range []struct {
		variable string
		change   func(*Config)
	}{
		{"UPKEEP_SERVER__PORT=9000", func(c *Config) { c.Server.Port = 9000 }},
		{"UPKEEP_server__Port=9000", func(c *Config) { c.Server.Port = 9000 }},
		{"UPKEEP_SERVER__SERVER_ID=42", func(c *Config) { c.Server.ServerID = "42" }},
		{"UPKEEP_SERVER__ENABLE_CORS=0", func(c *Config) { c.Server.EnableCORS = false }},
		{"UPKEEP_RECOVERY__ENABLED=False", func(c *Config) { c.Recovery.Enabled = false }},
		{"UPKEEP_RECOVERY__GRACE=1.5", func(c *Config) { c.Recovery.Grace = seconds(1.5) }},
		{"UPKEEP_RECOVERY__STRATEGY=mine", func(c *Config) { c.Recovery.Strategy = Strategy{Name: "mine"} }},
		{"UPKEEP_RECOVERY__STRATEGY__WARNING_THRESHOLD=4", func(c *Config) {
			g := defaultGraded()
			g.WarningThreshold = 4
			c.Recovery.Strategy.Settings = &g
		}},
		{"UPKEEP_HEALTH_MONITORING__THRESHOLDS__MEMORY_MB=640", func(c *Config) { c.HealthMonitoring.Thresholds["memory_mb"] = 640 }},
		{"UPKEEP_LOGGING__FILE=/tmp/x.log", func(c *Config) { c.Logging.File = "/tmp/x.log" }},
		{"UPKEEP_LOGGING__LEVEL=DEBUG", func(c *Config) { c.Logging.Level = "debug" }},
		{"UPKEEP_PLUGINS__DISK__REQUIRED=false", func(c *Config) { c.Plugins["disk"] = Plugin{Enabled: true} }},
		{"UPKEEP_PLUGINS__DISK__CONFIG__PATH=/data", func(c *Config) {
			c.Plugins["disk"] = Plugin{Enabled: true, Required: true, Config: map[string]any{"path": "/data"}}
		}},
		{`UPKEEP_PLUGINS__DISK__CONFIG={"Deep.Key": [1, true]}`, func(c *Config) {
			c.Plugins["disk"] = Plugin{Enabled: true, Required: true, Config: map[string]any{"Deep.Key": []any{1.0, true}}}
		}},
	} {
		want := Default()
		tc.change(&want)
		if got, _, err := Load(Sources{Environ: []string{tc.variable}}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %+v, %v\nwant %+v", tc.variable, got, err, want)
		}
	}
}

func TestEveryKeyHasAVariable(t *testing.T) {
	for key, leaf := range leafKeys() {
		value := map[kind]string{boolNode: "true", numberNode: "1", stringNode: "x"}[leaf.kind]
		switch key {
		case "limits.max_payload_bytes", "limits.bytes_per_second":
			value = "1024"
		case "limits.max_queued_bytes":
			value = "4194304"
		case "limits.slow_clients":
			value = "drop"
		case "recovery.quarantine.min_share_percent":
			value = "10"
		case "recovery.approval.default":
			value = "approve"
		case "admin.token":
			value = "0123456789abcdef"
		case "server.tokens.signing_key":
			value = "0123456789abcdef0123456789abcdef"
		case "server.tokens.fixed":
			value = "agent:publish:0123456789abcdef"
		case "events.log_events", "events.log_age", "recovery.max_recovery_interval", "recovery.circuit_breaker.trial_timeout_seconds":
			value = "1000"
		case "admin.address", "health_monitoring.aggregation", "recovery.emergency_stop", "logging.level", "logging.format", "events.log_sync":
			value = map[string]string{"admin.address": "off", "health_monitoring.aggregation": "ratio", "recovery.emergency_stop": "hold",
				"logging.level": "error", "logging.format": "json", "events.log_sync": "never"}[key]
		}
		environ := []string{variableOf(key) + "=" + value}
		if section, half, ok := strings.Cut(key, "server.tls."); ok && section == "" { // each needs the other
			other := map[string]string{"certificate": "key", "key": "certificate"}[half]
			environ = append(environ, variableOf("server.tls."+other)+"=y")
		}
		_, origins, err := Load(Sources{Environ: environ})
		if err != nil || origins.Of(key).Name != variableOf(key) {
			t.Errorf("%s=%s: %v, from %s", variableOf(key), value, err, origins.Of(key))
		}
	}
}

func TestAMistakenVariableIsRefusedAndTheNearestOneNamed(t *testing.T) {
	for variable, want := range map[string]string{
		"UPKEEP_SERVER_PORT=8766":                     "did you mean UPKEEP_SERVER__PORT?",
		"UPKEEP_PORT=8766":                            "there is no such variable",
		"UPKEEP_STATEDIR=/x":                          "did you mean UPKEEP_STATE_DIR?",
		"UPKEEP_ADMIN__TOKENFILE=/x":                  "did you mean UPKEEP_ADMIN__TOKEN_FILE?",
		"UPKEEP_SERVER__PORT_FILE=/x":                 "only secrets are read from files; set UPKEEP_SERVER__PORT",
		"UPKEEP_SERVER=x":                             "there is no such variable",
		"UPKEEP_SERVER__PORT=":                        `got the text "", want an integer from 0 to 65535`,
		"UPKEEP_SERVER__PORT=0x10":                    `got the text "0x10", want an integer`,
		"UPKEEP_RECOVERY__GRACE=NaN":                  `got the text "NaN", want a number of seconds`,
		"UPKEEP_RECOVERY__GRACE=Inf":                  `got the text "Inf", want a number of seconds`,
		"UPKEEP_RECOVERY__GRACE=1e999":                `got the text "1e999", want a number of seconds`,
		"UPKEEP_RECOVERY__ENABLED=maybe":              `got the text "maybe", want true or false`,
		"UPKEEP_PLUGINS__DISK=1":                      "there is no such variable",
		"UPKEEP_PLUGINS__DISK__REQIRED=1":             "there is no such variable",
		"UPKEEP_ADMIN__TOKEN_FILE=/does/not/exist":    `got the file "/does/not/exist", want a file to read: it does not exist`,
		"UPKEEP_PID_VALIDATION__ENHANCED=true":        "there is no such variable",
		"UPKEEP_PROFILE=staging":                      `UPKEEP_PROFILE: got the profile "staging", want`,
		"UPKEEP_HEALTH_MONITORING__THRESHOLDS__CPU=9": "did you mean UPKEEP_HEALTH_MONITORING__THRESHOLDS__CPU_PERCENT?",
	} {
		_, _, err := Load(Sources{Environ: []string{variable}})
		if problem.Code(err) != problem.ConfigInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %q", variable, err, want)
		}
	}
	_, _, err := Load(Sources{Environ: []string{"UPKEEP_SERVER__PORT=1", "UPKEEP_server__port=2"}})
	if err == nil || !strings.Contains(err.Error(), "also set by UPKEEP_SERVER__PORT; keep one of the two") {
		t.Errorf("a key that two variables set: %v", err)
	}
}

func TestVariablesThatAreNoSettingsAreLeftAlone(t *testing.T) {
	for _, variable := range []string{
		"UPKEEP_STATE_DIR=/x", "UPKEEP_CHILD_OF=/x", "UPKEEP_HUB_LISTENERS=2", "UPKEEP_PLUGIN_COOKIE=x",
		// what Kubernetes sets for services called upkeep and upkeep-server
		"UPKEEP_SERVICE_HOST=10.0.0.1", "UPKEEP_SERVICE_PORT=8765", "UPKEEP_SERVICE_PORT_HTTP=8765",
		"UPKEEP_PORT=tcp://10.0.0.1:8765", "UPKEEP_PORT_8765_TCP=tcp://10.0.0.1:8765", "UPKEEP_PORT_8765_TCP_ADDR=10.0.0.1",
		"UPKEEP_SERVER_SERVICE_HOST=10.0.0.1", "UPKEEP_SERVER_PORT=tcp://10.0.0.1:8765", "UPKEEP_SERVER_PORT_8765_TCP_PROTO=tcp",
		"OTHER_UPKEEP_X=1", "UPKEEP", "upkeep_server__port=1",
	} {
		if cfg, origins, err := Load(Sources{Environ: []string{variable}}); err != nil || !reflect.DeepEqual(cfg, Default()) || len(origins.Variables()) > 0 {
			t.Errorf("%s: %+v, %v", variable, cfg, err)
		}
	}
}

func TestASecretCanBeReadFromAFileAndIsNeverShown(t *testing.T) {
	const token = "correct-horse-battery"
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, origins, err := Load(Sources{Environ: []string{"UPKEEP_ADMIN__TOKEN_FILE=" + path}})
	if err != nil || string(cfg.Admin.Token) != token {
		t.Fatalf("token %q, %v", string(cfg.Admin.Token), err)
	}
	if got := origins.Of("admin.token").String(); got != "environment UPKEEP_ADMIN__TOKEN_FILE" {
		t.Errorf("the token comes from %s", got)
	}
	if len(origins.Notices()) > 0 {
		t.Errorf("notices %v about a file that only its owner reads", origins.Notices())
	}
	if err := cfg.Validate("it"); err != nil {
		t.Errorf("a configuration with a secret is refused: %v", err)
	}
	shown := showAll(t, cfg)
	if strings.Contains(shown, token) || !strings.Contains(shown, mask) {
		t.Errorf("the secret is shown, or its mask is not: %s", shown)
	}
	_, _, err = Load(Sources{Environ: []string{"UPKEEP_ADMIN__TOKEN_FILE=" + path, "UPKEEP_ADMIN__TOKEN=" + token}})
	if err == nil || !strings.Contains(err.Error(), "keep one of the two") || strings.Contains(err.Error(), token) {
		t.Errorf("a secret given twice: %v", err)
	}
}

func TestKeysThatMeanNothingHereAreAcceptedAndSaid(t *testing.T) {
	cfg, origins, err := Load(Sources{File: "testdata/good/reference.json"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Logging != (Logging{Level: "info", Format: "text", File: "/var/log/socketio.log", MaxSizeMB: 50, BackupCount: 5}) {
		t.Errorf("logging is %+v", cfg.Logging)
	}
	var keys []string
	for _, n := range origins.Notices() {
		keys = append(keys, n.Key)
		if !strings.Contains(n.Text, "accepted for compatibility, has no effect: ") || n.Origin.Line == 0 {
			t.Errorf("notice %s", n)
		}
	}
	slices.Sort(keys)
	if want := sortedKeys(ignoredKeys); !slices.Equal(keys, want) {
		t.Errorf("notices about %v, want %v", keys, want)
	}
	if _, origins, err = Load(Sources{}); err != nil || len(origins.Notices()) > 0 {
		t.Errorf("notices %v about the defaults, %v", origins.Notices(), err)
	}
}

func TestTheHomeDirectoryInTheLogsPathIsResolved(t *testing.T) {
	file := write(t, `{"logging": {"file": "~/logs/upkeep.log"}}`)
	cfg, _, err := Load(Sources{File: file, Environ: []string{"HOME=" + t.TempDir()}})
	if err != nil || !filepath.IsAbs(cfg.Logging.File) || !strings.HasSuffix(cfg.Logging.File, filepath.Join("logs", "upkeep.log")) {
		t.Errorf("file %q, %v", cfg.Logging.File, err)
	}
	_, _, err = Load(Sources{File: file})
	if err == nil || !strings.Contains(err.Error(), "logging.file (line 1)") || !strings.Contains(err.Error(), "HOME is not set") {
		t.Errorf("without HOME: %v", err)
	}
}

// Row 38.
func TestHealthMonitoringHasEnabledIntervalAndPositiveThresholds(t *testing.T) {
	cfg, err := loadFile("testdata/good/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	h := cfg.HealthMonitoring
	if !h.Enabled || h.CheckInterval.Duration() <= 0 || len(h.Thresholds) != 6 {
		t.Errorf("health monitoring is %+v", h)
	}
	for name, limit := range h.Thresholds {
		if limit <= 0 {
			t.Errorf("threshold %s is %v", name, limit)
		}
	}
	if d := Default().HealthMonitoring; !d.Enabled || d.CheckInterval.Duration() <= 0 {
		t.Errorf("by default it is %+v", d)
	}
}

// Row 39.
func TestRecoveryHasEnabledABreakerAndAStrategy(t *testing.T) {
	for _, cfg := range []Config{Default(), func() Config { c, _ := loadFile("testdata/good/reference.json"); return c }()} {
		r := cfg.Recovery
		if !r.Enabled || r.Strategy.Plugin() != GradedPlugin || r.CircuitBreaker.FailureThreshold <= 0 || r.CircuitBreaker.SuccessThreshold <= 0 || r.CircuitBreaker.Timeout <= 0 {
			t.Errorf("recovery is %+v", r)
		}
	}
}

// Row 40.
func TestValuesOutOfRangeAreRefusedByNameAndNeverBecomeDefaults(t *testing.T) {
	_, _, err := Load(Sources{File: write(t, `{"health_monitoring": {"thresholds": {"cpu_percent": 150, "memory_mb": -10, "error_rate": 1.5}}}`)})
	p, _ := errors.AsType[*problem.Error](err)
	if p == nil {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"health_monitoring.thresholds.cpu_percent (line 1): got 150, want", "health_monitoring.thresholds.memory_mb (line 1): got -10, want",
		"health_monitoring.thresholds.error_rate (line 1): got 1.5, want",
	} {
		if !strings.Contains(p.Why, want) {
			t.Errorf("%q is missing in\n%s", want, p.Why)
		}
	}
}

func TestTheProfilesHaveTheDocumentedValuesAndOpenNothing(t *testing.T) {
	want := map[string]func(*Config){
		"development": func(c *Config) {
			c.HealthMonitoring.CheckInterval, c.HealthMonitoring.HistorySize = seconds(10), 50
			c.Recovery.CircuitBreaker.FailureThreshold = 3
		},
		"production": func(c *Config) {
			c.HealthMonitoring.CheckInterval, c.HealthMonitoring.HistorySize, c.HealthMonitoring.AggregationWindow = seconds(60), 200, seconds(600)
			c.Recovery.CircuitBreaker.FailureThreshold, c.Recovery.CircuitBreaker.Timeout = 10, seconds(600)
		},
		"docker": func(c *Config) {
			c.HealthMonitoring.CheckInterval, c.Logging.Format = seconds(60), "json"
		},
	}
	for _, name := range Profiles() {
		cfg := Default()
		change, documented := want[name]
		if !documented {
			t.Errorf("profile %s is not among the documented ones", name)
			continue
		}
		change(&cfg)
		got, _, err := Load(Sources{Profile: name})
		if err != nil || !reflect.DeepEqual(got, cfg) {
			t.Errorf("profile %s is %+v, %v\nwant %+v", name, got, err, cfg)
		}
		if !reflect.DeepEqual(got.Server, Default().Server) || got.Admin != Default().Admin {
			t.Errorf("profile %s changes where host can be reached: %+v %+v", name, got.Server, got.Admin)
		}
	}
	if len(want) != len(Profiles()) {
		t.Errorf("profiles are %v", Profiles())
	}
}

func TestTheStrongerSourceDecidesASettingThatHasTwoKeys(t *testing.T) {
	file := write(t, `{"recovery": {"min_recovery_interval": 60, "strategy": {"warning_threshold": 3}}}`)
	cfg, origins, err := Load(Sources{File: file, Environ: []string{"UPKEEP_RECOVERY__STRATEGY__MIN_RECOVERY_INTERVAL=5"}})
	if err != nil || cfg.Recovery.MinRecoveryInterval != seconds(5) || cfg.Recovery.Strategy.Settings.MinRecoveryInterval != seconds(5) || cfg.Recovery.Strategy.Settings.WarningThreshold != 3 {
		t.Errorf("recovery is %+v %+v, %v", cfg.Recovery, cfg.Recovery.Strategy.Settings, err)
	}
	if got := origins.Of("recovery.min_recovery_interval").Kind; got != FromEnvironment {
		t.Errorf("the interval comes from %s", got)
	}
}

func TestWhatAPluginIsGivenComesThroughUnchanged(t *testing.T) {
	text := `{"plugins": {"x.y": {"config": {"none": null, "a.b": {"A": null, "": 1, "c": [null, {"d": null}, []]}, "empty": {}, "big": 123456789012, "\u001f": "odd"}}}}`
	cfg, mistakes := parse([]byte(text))
	want := map[string]any{
		"none": nil, "a.b": map[string]any{"A": nil, "": 1.0, "c": []any{nil, map[string]any{"d": nil}, []any{}}}, "empty": map[string]any{},
		"big": 123456789012.0, "\x1f": "odd",
	}
	if len(mistakes) > 0 || !reflect.DeepEqual(cfg.Plugins["x.y"].Config, want) {
		t.Errorf("read %#v, %v\nwant %#v", cfg.Plugins["x.y"].Config, mistakes, want)
	}
}
