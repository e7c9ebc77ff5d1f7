package config

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
)

var update = flag.Bool("update", false, "write the messages that the files in testdata/bad earn now")

func loadFile(path string) (Config, error) {
	cfg, _, err := Load(Sources{File: path})
	return cfg, err
}

// parse reads a configuration over the defaults.
func parse(data []byte) (Config, []Mistake) {
	data = bytes.TrimPrefix(data, utf8Mark)
	if m, bad := unfit(data); bad {
		return Config{}, []Mistake{m}
	}
	cfg, read, err := lay([]node{readTree(data, Origin{Kind: FromFile, Line: 1})}, nil)
	if err != nil {
		panic(err)
	}
	return cfg, read.mistakes
}

// Every file in testdata/bad holds one mistake; the .want beside it holds the
// message that it earns.
func TestEachMistakeEarnsItsMessage(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("found %d bad files (%v), want at least 40", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			cfg, err := loadFile(file)
			p, ok := errors.AsType[*problem.Error](err)
			if !ok || p.Code != problem.ConfigInvalid {
				t.Fatalf("Load gave %+v and error %v, want a problem with code %s", cfg, err, problem.ConfigInvalid)
			}
			if !reflect.DeepEqual(cfg, Config{}) {
				t.Errorf("Load gave a configuration beside its error: %+v", cfg)
			}
			if p.Hint() == "" {
				t.Error("the error has no next step")
			}
			got := p.Why + "\n"
			golden := strings.TrimSuffix(file, ".json") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("message\n%swant\n%s", got, want)
			}
		})
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	got, err := loadFile("testdata/good/everything.json")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Server: Server{
			Host: "127.0.0.1", ServerID: "hub-1", AllowedOrigins: []string{"https://app.example.org", "http://[::1]:8080"},
			TLS: TLS{Certificate: "/etc/upkeep/hub.crt", Key: "/etc/upkeep/hub.key"},
			Tokens: Tokens{
				Fixed:      "dashboard:history+status:0123456789abcdef,agent:publish:fedcba9876543210\nlistener::aaaaaaaaaaaaaaaa:b",
				SigningKey: "0123456789abcdef0123456789abcdef",
			},
		},
		HealthMonitoring: HealthMonitoring{
			CheckInterval: seconds(0.5), FastCheckInterval: seconds(0.5), CheckTimeout: seconds(0.25),
			Thresholds: Thresholds{
				"cpu_percent": 90, "memory_mb": 512.5, "file_descriptors": 2000, "error_rate": 0.05,
				"max_clients": 500, "network_timeout": 1.5, "round_trip_ms": 250,
			},
			HistorySize: 50, AggregationWindow: seconds(60), Aggregation: "ratio",
			Rise: 2, Fall: 3, Flapping: Flapping{Results: 10, Bad: 4, HighPercent: 50, LowPercent: 25},
		},
		Recovery: Recovery{
			Strategy: Strategy{Name: "graded", Settings: &Graded{
				WarningThreshold: 3, CriticalThreshold: 2, FailureWindow: seconds(120), MinRecoveryInterval: seconds(5),
			}},
			MinRecoveryInterval: seconds(5), MaxRecoveryAttempts: 3, RecoveryTimeout: seconds(10), Grace: seconds(2),
			MaxRecoveryInterval: seconds(50), JitterPercent: 20, MaxAttemptsPerHour: 7, MaxAttemptsPerCause: 4, EffectHalfLife: seconds(3600),
			ActionTimeouts: ActionTimeouts{ClearConnections: seconds(1), RestartService: seconds(20), EmergencyStop: seconds(3)},
			Approval:       Approval{Actions: []string{"restart_service"}, Timeout: seconds(60), Default: "approve"},
			DryRun:         DryRun{Enabled: true, Actions: []string{"emergency_stop", "page_somebody"}},
			Quarantine:     Quarantine{MinSharePercent: 80, MaxOffenders: 2, Duration: seconds(60)},
			SafeMode:       SafeMode{Starts: 3, Window: seconds(30), Healthy: seconds(120)},
			CircuitBreaker: CircuitBreaker{FailureThreshold: 2, Timeout: seconds(30), SuccessThreshold: 1, FailureWindow: seconds(600), TrialTimeout: seconds(90)},
			EmergencyStop:  "hold",
		},
		Events: Events{History: 100, LogEvents: 200, LogMB: 2, LogAge: seconds(3600), LogSync: "always", RecoveryWindow: seconds(30)},
		Limits: Limits{
			MaxConnections: 50, MaxHandshakes: 5, MaxPayloadBytes: 2_000_000, MessagesPerSecond: 100, BytesPerSecond: 3_000_000,
			MaxQueuedBytes: 5_000_000, MaxQueueAge: seconds(2.5), SlowClients: "drop", WriteTimeout: seconds(3),
			MaxRooms: 7, MaxNamespaces: 8, MaxPendingAcks: 9,
			HeaderTimeout: seconds(1), BodyTimeout: seconds(2), IdleTimeout: seconds(4),
		},
		Supervision: Supervision{PluginMemoryLimitMB: 512, PluginCallTimeouts: 3, FollowPlugins: true},
		Logging: Logging{
			Level: "warn", Format: "json", File: "/var/log/upkeep.log", MaxSizeMB: 50, BackupCount: 3,
		},
		Admin:       Admin{Address: "[::1]:18765", Token: "0123456789abcdef"},
		PluginTrust: PluginTrust{RequireChecksums: true, TrustedKeys: []string{"MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},
		Plugins: map[string]Plugin{
			"network": {Enabled: true, MemoryLimitMB: 64, Config: map[string]any{
				"timeout": 1.5, "paths": []any{"/a", nil, true}, "Deep.Key": map[string]any{"A": "b"},
			}},
			"disk": {Required: true, Rise: 4, Fall: 5, DependsOn: []string{"network_connectivity"}, DryRun: true, Environment: []string{"REDIS_HOST", "no_proxy"}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v\nwant\n%+v", got, want)
	}
	if err := got.Validate("it"); err != nil {
		t.Errorf("what Load accepts, Validate refuses: %v", err)
	}
}

func TestDefaultsAreTheDocumentedOnesAndValid(t *testing.T) {
	def, err := loadFile("")
	if err != nil || !reflect.DeepEqual(def, Default()) {
		t.Fatalf("Load of no file gave %+v, %v, want the defaults", def, err)
	}
	if err := def.Validate("the defaults"); err != nil {
		t.Fatal(err)
	}
	if len(def.HealthMonitoring.Thresholds) != 0 {
		t.Errorf("thresholds %v are set, want none: the checkers have their own", def.HealthMonitoring.Thresholds)
	}
	if got := def.HealthMonitoring.CheckInterval.Duration(); got != 30*time.Second {
		t.Errorf("check interval is %s, want 30s", got)
	}
	if def.Server.Port != 8765 || def.Server.Host != "localhost" || def.Events.History != 10_000 {
		t.Errorf("server %+v, events %+v, want localhost, 8765 and 10000", def.Server, def.Events)
	}
}

func TestAFileMayLeaveOutWhatItDoesNotChange(t *testing.T) {
	for _, tc := range []struct {
		why, text string
		want      func(*Config)
	}{
		{"an empty object changes nothing", `{}`, func(*Config) {}},
		{"a byte order mark means nothing", "\uFEFF{}", func(*Config) {}},
		{"one key changes one setting", `{"server": {"port": 9000}}`, func(c *Config) { c.Server.Port = 9000 }},
		{"an integer may be written with a point", `{"server": {"port": 9000.0}}`, func(c *Config) { c.Server.Port = 9000 }},
		{"an IPv6 address is a host", `{"server": {"host": "::1"}}`, func(c *Config) { c.Server.Host = "::1" }},
		{"the fast interval follows a short interval", `{"health_monitoring": {"check_interval": 0.2}}`, func(c *Config) {
			c.HealthMonitoring.CheckInterval, c.HealthMonitoring.FastCheckInterval = seconds(0.2), seconds(0.2)
		}},
		{"another strategy is a plugin's name", `{"recovery": {"strategy": "mine"}}`, func(c *Config) { c.Recovery.Strategy = Strategy{Name: "mine"} }},
		{"settings of the strategy keep their own defaults", `{"recovery": {"strategy": {"warning_threshold": 4}}}`, func(c *Config) {
			g := defaultGraded()
			g.WarningThreshold = 4
			c.Recovery.Strategy.Settings = &g
		}},
		{"the interval of the strategy is that of recovery", `{"recovery": {"strategy": {}, "min_recovery_interval": 7}}`, func(c *Config) {
			g := defaultGraded()
			g.MinRecoveryInterval, c.Recovery.MinRecoveryInterval = seconds(7), seconds(7)
			c.Recovery.Strategy.Settings = &g
		}},
		{"both may say the same", `{"recovery": {"strategy": {"min_recovery_interval": 7}, "min_recovery_interval": 7}}`, func(c *Config) {
			g := defaultGraded()
			g.MinRecoveryInterval, c.Recovery.MinRecoveryInterval = seconds(7), seconds(7)
			c.Recovery.Strategy.Settings = &g
		}},
	} {
		want := Default()
		tc.want(&want)
		path := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := loadFile(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %+v, %v\nwant %+v", tc.why, got, err, want)
		}
	}
}

func TestWhatIsNoFileIsSaidPlainly(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long.json")
	if err := os.WriteFile(long, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ path, want string }{
		{filepath.Join(dir, "absent.json"), "it does not exist"},
		{dir, "it is a folder"},
		{long, "it is longer than 1048576 bytes"},
		{os.DevNull, "it is no regular file"},
	} {
		_, err := loadFile(tc.path)
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || p.Why != tc.want || p.Code != problem.ConfigInvalid || !strings.Contains(p.What, tc.path) {
			t.Errorf("Load(%s) = %v, want %q and the path", tc.path, err, tc.want)
		}
	}
}

func TestEveryMistakeIsFoundByErrorsAs(t *testing.T) {
	_, err := loadFile("testdata/bad/several.json")
	m, ok := errors.AsType[Mistake](err)
	if !ok || m.Key != "server.port" || m.Line != 2 || m.Got != "-1" {
		t.Errorf("found mistake %+v in %v, want server.port in line 2", m, err)
	}
	p, _ := errors.AsType[*problem.Error](err)
	if all, _ := p.Context["mistakes"].([]Mistake); len(all) != 4 {
		t.Errorf("context has %d mistakes, want 4", len(all))
	}
}

func TestMistakesAreBounded(t *testing.T) {
	text := "{" + strings.Repeat(`"wrong": 1,`, 90_000) + `"wrong": 1}`
	_, mistakes := parse([]byte(text))
	if len(mistakes) != maxMistakes {
		t.Errorf("%d mistakes are told, want %d", len(mistakes), maxMistakes)
	}
}

func TestValidateJudgesWhatFlagsChanged(t *testing.T) {
	for _, tc := range []struct {
		why, want string
		change    func(*Config)
	}{
		{"a port of the command line", "server.port: got 99999, want an integer from 0 to 65535", func(c *Config) { c.Server.Port = 99999 }},
		{"a host of the command line", "server.host: ", func(c *Config) { c.Server.Host = "a b" }},
		{"a number that is none", "health_monitoring.thresholds.cpu_percent: got NaN, want a number from 0.1 to 100", func(c *Config) { c.HealthMonitoring.Thresholds = Thresholds{"cpu_percent": math.NaN()} }},
		{"an interval", "health_monitoring.check_interval: got 0, want a number of seconds", func(c *Config) { c.HealthMonitoring.CheckInterval = 0 }},
	} {
		cfg := Default()
		tc.change(&cfg)
		err := cfg.Validate("the flags")
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || p.Code != problem.ConfigInvalid || !strings.Contains(p.Why, tc.want) || !strings.HasPrefix(p.What, "the flags") {
			t.Errorf("%s: Validate gave %v, want %q", tc.why, err, tc.want)
		}
	}
}

func TestAStrategyNamesItsPlugin(t *testing.T) {
	if got := Default().Recovery.Strategy.Plugin(); got != "recovery-graded" {
		t.Errorf("the default strategy is served by %q, want recovery-graded", got)
	}
	if got := (Strategy{Name: "mine"}).Plugin(); got != "mine" {
		t.Errorf("the strategy mine is served by %q, want mine", got)
	}
}

func TestAPluginWithoutSettingsIsEnabledAndRequired(t *testing.T) {
	cfg := Default()
	cfg.Plugins["off"] = Plugin{}
	if got := cfg.PluginSettings("new"); !got.Enabled || !got.Required {
		t.Errorf("settings of a plugin that is not named are %+v", got)
	}
	if got := cfg.PluginSettings("off"); got.Enabled {
		t.Errorf("settings of a plugin that is switched off are %+v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.json", "testdata/good/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, mistakes := parse(data)
		if len(mistakes) > maxMistakes {
			t.Fatalf("%d mistakes", len(mistakes))
		}
		for _, m := range mistakes {
			if text := m.Error(); text == "" || strings.ContainsAny(text, "\n\x1b\x00") {
				t.Fatalf("message %q is empty or would spoil a terminal", text)
			}
		}
		if len(mistakes) == 0 {
			if err := cfg.Validate("it"); err != nil {
				t.Fatalf("what parse accepts, Validate refuses: %v", err)
			}
		}
	})
}
