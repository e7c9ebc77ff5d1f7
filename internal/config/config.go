package config

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Config is what an operator can set. The rules are in the tags: json has the
// key, want the values that are accepted (see reader.into), flag the flag of the
// command line that sets the same, and live stands at what a running host takes
// up without a restart. What the keys mean is in describe.go.
type Config struct {
	Server           Server            `json:"server"`
	HealthMonitoring HealthMonitoring  `json:"health_monitoring" live:"yes"`
	Recovery         Recovery          `json:"recovery" live:"yes"`
	Events           Events            `json:"events"`
	Limits           Limits            `json:"limits"`
	Supervision      Supervision       `json:"supervision"`
	Logging          Logging           `json:"logging"`
	Admin            Admin             `json:"admin"`
	PluginTrust      PluginTrust       `json:"plugin_trust"`
	Plugins          map[string]Plugin `json:"plugins"`
}

// Server is where clients find the hub.
type Server struct {
	// Host is a name or an address without port.
	Host string `json:"host" want:"host" flag:"host"`
	// Port is the public port; 0 lets the kernel choose.
	Port int `json:"port" want:"0..65535" flag:"port"`
	// ServerID is how the hub calls itself; empty: a new name at every start.
	ServerID string `json:"server_id" want:"id" flag:"server-id"`
	// EnableCORS answers same-origin requests with their own origin.
	EnableCORS bool `json:"enable_cors"`
	// AllowedOrigins are the sites whose pages may connect; "*": all.
	AllowedOrigins []string `json:"allowed_origins" want:"origin"`
	TLS            TLS      `json:"tls"`
	Tokens         Tokens   `json:"tokens"`
}

// TLS names the files that clients are served with over TLS; both or none.
type TLS struct {
	// Certificate holds a certificate and those that lead to a known authority.
	Certificate string `json:"certificate" want:"file"`
	// Key is the certificate's private key.
	Key string `json:"key" want:"file"`
}

// Enabled says whether clients must use TLS.
func (t TLS) Enabled() bool { return t.Certificate != "" }

// HealthMonitoring says how health is watched.
type HealthMonitoring struct {
	Enabled           bool    `json:"enabled"`
	CheckInterval     Seconds `json:"check_interval" want:"0.01..86400"`
	FastCheckInterval Seconds `json:"fast_check_interval" want:"0.01..86400"`
	CheckTimeout      Seconds `json:"check_timeout" want:"0.01..600"`
	// Thresholds holds only the keys that were given: where there is none, the
	// checker's own default applies.
	Thresholds        Thresholds `json:"thresholds"`
	HistorySize       int        `json:"history_size" want:"1..100000"`
	AggregationWindow Seconds    `json:"aggregation_window" want:"1..604800"`
	// Aggregation is "worst" or "ratio".
	Aggregation string `json:"aggregation" want:"worst|ratio"`
	// Rise and Fall are how many results in a row make a check well, or ill.
	Rise     int      `json:"rise" want:"1..100"`
	Fall     int      `json:"fall" want:"1..100"`
	Flapping Flapping `json:"flapping"`
}

// Flapping says when a check that is now well and now ill is a trouble of its own.
type Flapping struct {
	Results     int `json:"results" want:"0..1000"`
	Bad         int `json:"bad" want:"0..1000"`
	HighPercent int `json:"high_percent" want:"0..100"`
	LowPercent  int `json:"low_percent" want:"0..100"`
}

// Thresholds by key; see thresholdRules.
type Thresholds map[string]float64

// Recovery says what is done about bad health.
type Recovery struct {
	Enabled             bool           `json:"enabled"`
	Strategy            Strategy       `json:"strategy"`
	MinRecoveryInterval Seconds        `json:"min_recovery_interval" want:"0.01..604800"`
	MaxRecoveryInterval Seconds        `json:"max_recovery_interval" want:"0.01..604800"`
	JitterPercent       int            `json:"jitter_percent" want:"0..100"`
	MaxRecoveryAttempts int            `json:"max_recovery_attempts" want:"1..100"`
	MaxAttemptsPerHour  int            `json:"max_attempts_per_hour" want:"0..1000"`
	MaxAttemptsPerCause int            `json:"max_attempts_per_cause" want:"0..1000"`
	RecoveryTimeout     Seconds        `json:"recovery_timeout" want:"0.01..3600"`
	ActionTimeouts      ActionTimeouts `json:"action_timeouts"`
	Grace               Seconds        `json:"grace" want:"0.01..3600"`
	EffectHalfLife      Seconds        `json:"effect_half_life" want:"1..31536000"`
	CircuitBreaker      CircuitBreaker `json:"circuit_breaker"`
	Actions             Actions        `json:"actions"`
	Approval            Approval       `json:"approval"`
	DryRun              DryRun         `json:"dry_run"`
	SafeMode            SafeMode       `json:"safe_mode"`
	Quarantine          Quarantine     `json:"quarantine"`
	// EmergencyStop says what host does after emergency_stop: "exit" or "hold".
	EmergencyStop string `json:"emergency_stop" want:"exit|hold"`
}

// CircuitBreaker stops attempts that do not help.
type CircuitBreaker struct {
	FailureThreshold int     `json:"failure_threshold" want:"1..1000"`
	Timeout          Seconds `json:"timeout_seconds" want:"0.01..604800"`
	SuccessThreshold int     `json:"success_threshold" want:"1..1000"`
	// FailureWindow is how far back failures count; 0: those in a row do.
	FailureWindow Seconds `json:"failure_window_seconds" want:"0..604800"`
	// TrialTimeout is how long a trial may go without an outcome; 0: for ever.
	TrialTimeout Seconds `json:"trial_timeout_seconds" want:"0..604800"`
}

// ActionTimeouts are how long single actions may take; 0: Recovery.RecoveryTimeout.
type ActionTimeouts struct {
	ClearConnections Seconds `json:"clear_connections" want:"0..3600"`
	RestartService   Seconds `json:"restart_service" want:"0..3600"`
	EmergencyStop    Seconds `json:"emergency_stop" want:"0..3600"`
}

// Approval says which actions wait for somebody to say yes.
type Approval struct {
	Actions []string `json:"actions" want:"action"`
	Timeout Seconds  `json:"timeout" want:"1..604800"`
	// Default is the answer when nobody gave one in time: "deny" or "approve".
	Default string `json:"default" want:"deny|approve"`
}

// DryRun says what is decided and not done.
type DryRun struct {
	Enabled bool     `json:"enabled"`
	Actions []string `json:"actions" want:"action"`
}

// SafeMode says after how many unclean starts host is careful.
type SafeMode struct {
	Starts  int     `json:"starts" want:"0..100"`
	Window  Seconds `json:"window" want:"1..3600"`
	Healthy Seconds `json:"healthy" want:"1..86400"`
}

// Actions says which actions may be taken at all.
type Actions struct {
	LogWarning         bool `json:"log_warning"`
	QuarantineOffender bool `json:"quarantine_offender"`
	ClearConnections   bool `json:"clear_connections"`
	RestartService     bool `json:"restart_service"`
	EmergencyStop      bool `json:"emergency_stop"`
}

// Quarantine says when few clients are kept out because they cause most of the trouble.
type Quarantine struct {
	// MinSharePercent is what they cause together.
	MinSharePercent int `json:"min_share_percent" want:"10..100"`
	// MaxOffenders is how many are few.
	MaxOffenders int `json:"max_offenders" want:"1..20"`
	// Duration is how long they are kept out.
	Duration Seconds `json:"duration" want:"1..86400"`
}

// Events says what is kept of events.
type Events struct {
	History int `json:"history" want:"1..1000000"`
	// LogEvents, LogMB and LogAge bound the event log.
	LogEvents int     `json:"log_events" want:"8..10000000"`
	LogMB     int     `json:"log_mb" want:"1..7000"`
	LogAge    Seconds `json:"log_age" want:"60..31536000"`
	// LogSync is "interval", "always" or "never".
	LogSync string `json:"log_sync" want:"interval|always|never"`
	// RecoveryWindow is for how long a client that was lost gets its session back;
	// 0: it never does.
	RecoveryWindow Seconds `json:"recovery_window" want:"0..86400"`
}

// Limits of the hub.
type Limits struct {
	MaxConnections int `json:"max_connections" want:"1..1000000"`
	// MaxHandshakes is how many clients may be about to connect at once.
	MaxHandshakes int `json:"max_handshakes" want:"1..100000"`
	// MaxPayloadBytes bounds one message of a client.
	MaxPayloadBytes int `json:"max_payload_bytes" want:"1024..100000000"`
	// MessagesPerSecond and BytesPerSecond bound what one client sends.
	MessagesPerSecond int `json:"messages_per_second" want:"1..10000000"`
	BytesPerSecond    int `json:"bytes_per_second" want:"1024..10000000000"`
	// MaxQueuedBytes and MaxQueueAge bound what waits to be sent to one client,
	// SlowClients says what becomes of one who is slower: "disconnect" or "drop".
	MaxQueuedBytes int     `json:"max_queued_bytes" want:"4194304..1073741824"`
	MaxQueueAge    Seconds `json:"max_queue_age" want:"0.1..3600"`
	SlowClients    string  `json:"slow_clients" want:"disconnect|drop"`
	// WriteTimeout bounds one write to a client that takes nothing.
	WriteTimeout Seconds `json:"write_timeout" want:"0.1..3600"`
	// MaxRooms, MaxNamespaces and MaxPendingAcks are those of one client.
	MaxRooms       int `json:"max_rooms" want:"1..1000000"`
	MaxNamespaces  int `json:"max_namespaces" want:"1..10000"`
	MaxPendingAcks int `json:"max_pending_acks" want:"1..1000000"`
	// HeaderTimeout and BodyTimeout bound how long a request may take to come,
	// IdleTimeout how long a connection is kept without one.
	HeaderTimeout Seconds `json:"header_timeout" want:"0.1..3600"`
	BodyTimeout   Seconds `json:"body_timeout" want:"0.1..3600"`
	IdleTimeout   Seconds `json:"idle_timeout" want:"1..3600"`
}

// Supervision says when a plugin's process is replaced, and what is done about
// changes in the plugin folder.
type Supervision struct {
	// PluginMemoryLimitMB is what a plugin and what it forks may hold; 0: no limit.
	PluginMemoryLimitMB int `json:"plugin_memory_limit_mb" want:"0..1000000"`
	// PluginCallTimeouts is how many calls in a row may go without an answer.
	PluginCallTimeouts int `json:"plugin_call_timeouts" want:"1..100"`
	// FollowPlugins: files that come, change and go need no command.
	FollowPlugins bool `json:"follow_plugins"`
}

// Logging says what is logged, and where to.
type Logging struct {
	// Level is one of "trace", "debug", "info", "warn" and "error".
	Level string `json:"level" want:"level" live:"yes"`
	// Format is "text" or "json".
	Format string `json:"format" want:"text|json"`
	// File is a path without a leading ~; empty: standard error.
	File string `json:"file" want:"path"`
	// MaxSizeMB is how large File may get, in megabytes, before it is put aside.
	MaxSizeMB int `json:"max_size_mb" want:"1..10000"`
	// BackupCount is how many files put aside are kept.
	BackupCount int `json:"backup_count" want:"1..1000"`
}

// Admin is where the host is steered.
type Admin struct {
	// Address is host:port, "off", or empty for the default.
	Address string `json:"address" want:"address" flag:"admin"`
	// Token is what admin requests over TCP must carry; empty: host makes one
	// and keeps it in the state directory.
	Token Secret `json:"token" want:"secret"`
}

// AdminOff as Admin.Address switches the admin listener off.
const AdminOff = "off"

// Secret is a text that is never shown: printed, logged or written as JSON it is
// a mask. Convert it to a string to use it.
type Secret string

// mask stands for a secret that is set.
const mask = "********"

// String is the mask, or empty where nothing is set.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString is the mask too, for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// MarshalJSON writes the mask.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// PluginTrust says what has to be true of plugins before they are run.
type PluginTrust struct {
	// RequireChecksums: without a lock file nothing is run.
	RequireChecksums bool `json:"require_checksums" flag:"require-checksums"`
	// TrustedKeys are ed25519 public keys, each the base64 line of a PEM file. When
	// there are any, one of them must have signed the lock file.
	TrustedKeys []string `json:"trusted_keys" want:"key"`
}

// Plugin holds the settings of the plugin of that name.
type Plugin struct {
	Enabled bool `json:"enabled"`
	// Required: host does not start without the plugin.
	Required bool `json:"required" live:"yes"`
	// MemoryLimitMB wins over Supervision.PluginMemoryLimitMB; 0: that one holds.
	MemoryLimitMB int `json:"memory_limit_mb" want:"0..1000000"`
	// Rise and Fall of its check; 0: those of HealthMonitoring.
	Rise int `json:"rise" want:"0..100" live:"yes"`
	Fall int `json:"fall" want:"0..100" live:"yes"`
	// DependsOn names checks whose illness explains one of its check.
	DependsOn []string `json:"depends_on,omitempty" want:"check" live:"yes"`
	// DryRun: what it proposes as a strategy is not done.
	DryRun bool `json:"dry_run" live:"yes"`
	// Config is for the plugin, which judges it itself; nil when none is given.
	// Numbers in it are float64.
	Config map[string]any `json:"config,omitempty" live:"yes"`
	// Environment names variables of host's environment that the plugin sees.
	Environment []string `json:"environment,omitempty" want:"variable"`
}

// Strategy is the word that names a strategy, or the graded strategy's settings.
type Strategy struct {
	// Name as configured: "graded", or a plugin's name.
	Name string
	// Settings is nil unless they were given.
	Settings *Graded
}

// Graded are the settings of the strategy "graded".
type Graded struct {
	WarningThreshold  int     `json:"warning_threshold" want:"1..100"`
	CriticalThreshold int     `json:"critical_threshold" want:"1..100"`
	FailureWindow     Seconds `json:"failure_window_seconds" want:"1..604800"`
	// MinRecoveryInterval is the same setting as recovery.min_recovery_interval;
	// Load makes the two equal.
	MinRecoveryInterval Seconds `json:"min_recovery_interval" want:"0.01..604800"`
}

// GradedName is the short name of the strategy plugin that comes with Upkeep,
// GradedPlugin the plugin's.
const (
	GradedName   = "graded"
	GradedPlugin = "recovery-graded"
)

// Plugin is the name of the plugin that serves the strategy.
func (s Strategy) Plugin() string {
	if s.Name == GradedName {
		return GradedPlugin
	}
	return s.Name
}

// MarshalJSON writes the name, or the settings if there are any.
func (s Strategy) MarshalJSON() ([]byte, error) {
	if s.Settings != nil {
		return json.Marshal(s.Settings)
	}
	return json.Marshal(s.Name)
}

// Seconds is a duration that JSON carries as a number of seconds, which may
// have a fraction.
type Seconds time.Duration

// Duration is the same as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// String shows the number with its unit, e.g. "0.5 s".
func (s Seconds) String() string { return fmt.Sprintf("%g s", time.Duration(s).Seconds()) }

// MarshalJSON writes the number of seconds.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

func seconds(n float64) Seconds { return Seconds(math.Round(n * float64(time.Second))) }

// Default returns the documented defaults.
func Default() Config {
	return Config{
		Server: Server{Host: "localhost", Port: 8765, EnableCORS: true, AllowedOrigins: []string{}},
		HealthMonitoring: HealthMonitoring{
			Enabled: true, CheckInterval: seconds(30), FastCheckInterval: seconds(1), CheckTimeout: seconds(2),
			Thresholds: Thresholds{}, HistorySize: 100, AggregationWindow: seconds(300), Aggregation: "worst",
			Rise: 1, Fall: 1, Flapping: Flapping{Results: 20, Bad: 10, HighPercent: 40, LowPercent: 20},
		},
		Recovery: Recovery{
			Enabled: true, Strategy: Strategy{Name: GradedName}, MinRecoveryInterval: seconds(60), MaxRecoveryAttempts: 5,
			MaxRecoveryInterval: seconds(600), JitterPercent: 10, MaxAttemptsPerHour: 10, MaxAttemptsPerCause: 5,
			RecoveryTimeout: seconds(30), Grace: seconds(10), EffectHalfLife: seconds(86_400),
			CircuitBreaker: CircuitBreaker{FailureThreshold: 5, Timeout: seconds(300), SuccessThreshold: 3, TrialTimeout: seconds(600)},
			Approval:       Approval{Actions: []string{}, Timeout: seconds(300), Default: "deny"},
			DryRun:         DryRun{Actions: []string{}},
			SafeMode:       SafeMode{Starts: 5, Window: seconds(60), Healthy: seconds(600)},
			Actions:        Actions{LogWarning: true, QuarantineOffender: true, ClearConnections: true, RestartService: true, EmergencyStop: true},
			Quarantine:     Quarantine{MinSharePercent: 50, MaxOffenders: 3, Duration: seconds(600)},
			EmergencyStop:  "exit",
		},
		Events: Events{History: 10_000, LogEvents: 100_000, LogMB: 64, LogAge: seconds(86_400), LogSync: "interval", RecoveryWindow: seconds(120)},
		Limits: Limits{
			MaxConnections: 10_000, MaxHandshakes: 512, MaxPayloadBytes: 1_000_000, MessagesPerSecond: 100_000, BytesPerSecond: 64 << 20,
			MaxQueuedBytes: 8 << 20, MaxQueueAge: seconds(10), SlowClients: "disconnect", WriteTimeout: seconds(10),
			MaxRooms: 1000, MaxNamespaces: 32, MaxPendingAcks: 1000,
			HeaderTimeout: seconds(5), BodyTimeout: seconds(10), IdleTimeout: seconds(75),
		},
		Supervision: Supervision{PluginMemoryLimitMB: 256, PluginCallTimeouts: 2},
		PluginTrust: PluginTrust{TrustedKeys: []string{}},
		Logging:     Logging{Level: "info", Format: "text", MaxSizeMB: 10, BackupCount: 5},
		Plugins:     map[string]Plugin{},
	}
}

// defaultGraded are the graded strategy's own defaults.
func defaultGraded() Graded {
	return Graded{WarningThreshold: 2, CriticalThreshold: 1, FailureWindow: seconds(300), MinRecoveryInterval: seconds(60)}
}

// PluginSettings are the settings of the plugin of that name: those given, or
// the defaults (enabled and required).
func (c Config) PluginSettings(name string) Plugin {
	if p, ok := c.Plugins[name]; ok {
		return p
	}
	return Plugin{Enabled: true, Required: true}
}
