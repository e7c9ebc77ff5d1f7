//go:build unix

package app

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/core/recovery"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/config"
	"github.com/upkeephub/upkeep/internal/httpapi"
)

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}
func (b *safeBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.buf.String() }

// turning is a host whose loops turn, but without a hub.
type turning struct {
	*operations
	t    *testing.T
	file string
	log  *safeBuffer
}

func turn(t *testing.T, cfg string, change func(*Options)) *turning {
	t.Helper()
	h := &turning{t: t, log: &safeBuffer{}}
	a := made(t, cfg, func(o *Options) {
		o.Stderr = h.log
		if change != nil {
			change(o)
		}
		h.file = o.ConfigFile
	})
	h.operations = (*operations)(a)
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	for _, run := range []func(context.Context) error{a.monitor.Run, a.plugins.Run, a.reloadOnHangup} {
		loops.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() { cancel(); loops.Wait() })
	return h
}

func (h *turning) reload(cfg string) (adminapi.Reloaded, error) {
	h.t.Helper()
	writeFile(h.t, h.file, cfg)
	return h.Reload(h.t.Context())
}

func (h *turning) setting(key string) adminapi.Setting {
	h.t.Helper()
	settings := h.Config().Settings
	i := slices.IndexFunc(settings, func(s adminapi.Setting) bool { return s.Key == key })
	if i < 0 {
		h.t.Fatalf("there is no setting %s", key)
	}
	return settings[i]
}

func TestAReloadSwitchesMonitoringAndRecoveryAndTakesAllTheirSettings(t *testing.T) {
	h := turn(t, `{"health_monitoring": {"check_interval": 7}}`, nil)
	done, err := h.reload(`{
		"health_monitoring": {"enabled": false, "check_interval": 3, "history_size": 17, "aggregation_window": 60},
		"recovery": {"enabled": false, "min_recovery_interval": 5, "max_recovery_attempts": 2, "grace": 1, "recovery_timeout": 9,
			"circuit_breaker": {"failure_threshold": 9, "timeout_seconds": 8, "success_threshold": 7}, "strategy": {"warning_threshold": 5, "failure_window_seconds": 44},
			"actions": {"restart_service": false}},
		"logging": {"level": "debug"}, "limits": {"max_connections": 12}, "admin": {"token": "planted-planted-planted"}}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range done.Changes {
		if want := c.Key != "limits.max_connections" && c.Key != "admin.token"; c.Live != want {
			t.Errorf("%s: live is %v, want %v", c.Key, c.Live, want)
		}
	}
	s := h.Status()
	if s.Monitoring.Enabled || s.Recovery.Enabled || s.Message != "health monitoring is switched off" || s.Monitoring.IntervalSeconds != 3 || s.Server.LogLevel != "debug" {
		t.Errorf("status is %+v", s)
	}
	snap := h.monitor.Snapshot()
	rc := snap.Recovery.Config
	if h.monitor.History().Size() != 17 || rc.MaxAttempts != 2 || rc.MinInterval != 5*time.Second || rc.Timeout != 9*time.Second || rc.Grace != time.Second ||
		rc.FailureWindow != 44*time.Second || rc.Breaker.FailureThreshold != 9 || rc.Breaker.Timeout != 8*time.Second || rc.Breaker.SuccessThreshold != 7 || !rc.Disabled["restart_service"] {
		t.Errorf("the monitor has %+v, history %d", rc, h.monitor.History().Size())
	}
	if waits := h.setting("limits.max_connections"); waits.Value != 10000 || waits.Live || waits.Origin != "default" {
		t.Errorf("what waits for a restart is shown as %+v", waits)
	}
	if taken := h.setting("recovery.grace"); taken.Value != 1.0 || !taken.Live || !strings.HasPrefix(taken.Origin, "file "+h.file+":") {
		t.Errorf("what was taken up is shown as %+v", taken)
	}
	log := h.log.String()
	if strings.Contains(log, "planted") || !strings.Contains(log, "key=admin.token") || !strings.Contains(log, "key=recovery.enabled old=true new=false in_force=true") {
		t.Errorf("the log is\n%s", log)
	}

	again, err := h.Reload(t.Context())
	if err != nil || len(again.Changes) != 2 {
		t.Errorf("what waits is told again until the restart: %+v, %v", again.Changes, err)
	}
	if _, err := h.reload(`{}`); err != nil {
		t.Fatal(err)
	}
	if s := h.Status(); !s.Monitoring.Enabled || !s.Recovery.Enabled || s.Monitoring.IntervalSeconds != 30 {
		t.Errorf("switched on again: %+v, %+v", s.Monitoring, s.Recovery)
	}
}

func TestABadEditIsRefusedWithAllItsMistakesAndChangesNothing(t *testing.T) {
	h := turn(t, `{"health_monitoring": {"check_interval": 7}, "logging": {"level": "warn"}}`, nil)
	before := h.Config()
	for _, c := range []struct {
		text, code string
		want       []string
		why        string
	}{
		{`{"health_monitoring": {"check_interval": -1, "enabeld": false}, "recovery": {"grace": "long"}, "logging": {"level": "debug"}}`, problem.ConfigInvalid,
			[]string{"health_monitoring.check_interval", "enabeld", "recovery.grace"}, "every mistake is named"},
		{`{"health_monitoring": {"check_interval": 5`, problem.ConfigInvalid, []string{"was it cut off?"}, "cut off"},
		{`{"plugins": {"absent": {}}, "logging": {"level": "debug"}}`, problem.PluginsMissing, []string{"absent is not in the folder"}, "a plugin that is required is not there"},
		{`{"server": {"host": "0.0.0.0"}, "logging": {"level": "debug"}}`, problem.ConfigInvalid, []string{"other machines"}, "no start would take it"},
	} {
		done, err := h.reload(c.text)
		if problem.Code(err) != c.code || len(done.Changes) != 0 {
			t.Errorf("%s: %v, %+v", c.why, err, done)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in %v", c.why, want, err)
			}
		}
	}
	after := h.Config()
	if len(before.Settings) != len(after.Settings) {
		t.Fatalf("%d settings, before %d", len(after.Settings), len(before.Settings))
	}
	for i, s := range after.Settings {
		if s.Key != before.Settings[i].Key || s.Origin != before.Settings[i].Origin {
			t.Errorf("%+v, before %+v", s, before.Settings[i])
		}
	}
	if h.Status().Monitoring.IntervalSeconds != 7 || h.operations.log.GetLevel() != hclog.Warn {
		t.Errorf("in force are %+v and the level %s", h.Status().Monitoring, h.operations.log.GetLevel())
	}
}

func TestWhatIsSwitchedByHandIsInForceUntilTheNextReload(t *testing.T) {
	h := turn(t, `{}`, nil)
	for _, do := range []func() error{
		func() error { return h.SetMonitoring(false) }, func() error { return h.SetRecovery(false) }, func() error { return h.SetLogLevel("trace") },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	if s := h.Status(); s.Monitoring.Enabled || s.Recovery.Enabled || s.Server.LogLevel != "trace" {
		t.Errorf("status is %+v", s)
	}
	if s := h.setting("recovery.enabled"); s.Value != false || s.Origin != "admin request" {
		t.Errorf("it is shown as %+v", s)
	}
	done, err := h.Reload(t.Context())
	if err != nil || len(done.Changes) != 3 {
		t.Errorf("the reload told %+v, %v", done.Changes, err)
	}
	if s := h.Status(); !s.Monitoring.Enabled || !s.Recovery.Enabled || s.Server.LogLevel != "info" {
		t.Errorf("after the reload %+v", s)
	}
	if s := h.setting("recovery.enabled"); s.Value != true || s.Origin != "default" {
		t.Errorf("after the reload it is shown as %+v", s)
	}
}

func TestASignalHasTheConfigurationReadAgain(t *testing.T) {
	hangups := make(chan os.Signal)
	h := turn(t, `{}`, func(o *Options) { o.Hangups = hangups })
	writeFile(t, h.file, `{"health_monitoring": {"check_interval": 4}}`)
	hangups <- os.Interrupt
	hangups <- os.Interrupt // taken once the first reload has ended
	if got := h.Status().Monitoring.IntervalSeconds; got != 4 {
		t.Errorf("the interval is %g s, want 4", got)
	}
}

func TestReloadsAndSwitchesComeOneAfterAnother(t *testing.T) {
	h := turn(t, `{}`, nil)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			var err error
			if n%2 == 0 {
				_, err = h.Reload(t.Context())
			} else {
				err = h.SetRecovery(n%4 == 1)
			}
			if err != nil {
				t.Error(err)
			}
			_ = h.Config()
			_ = h.Status()
		})
	}
	all.Wait()
	unlock, err := h.settings.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Reload(gone); err == nil {
		t.Error("a reload that nobody waits for any more was made all the same")
	}
}

func TestAHostThatIsHeldDoesNotRecoverWhateverIsReloaded(t *testing.T) {
	h := turn(t, `{}`, nil)
	(*App)(h.operations).hold()
	if h.Status().Recovery.Enabled {
		t.Error("held, recovery is on")
	}
	if _, err := h.reload(`{"health_monitoring": {"check_interval": 5}}`); err != nil {
		t.Fatal(err)
	}
	if s := h.Status(); s.Recovery.Enabled || s.Monitoring.IntervalSeconds != 5 || s.Phase != string(httpapi.Held) {
		t.Errorf("after a reload: %+v", s)
	}
}

// Rows 70 and 71.
func TestAProbeThatFailsBecauseOfACheckIsTheProblemHealthCheckFailed(t *testing.T) {
	threshold, below := 80.0, 500.0
	view := monitor.View{Checks: []monitor.CheckView{
		{CheckState: monitor.CheckState{Name: "fine", Result: health.Result{Status: health.Healthy}}, Status: health.Healthy},
		{CheckState: monitor.CheckState{Name: "blind", Result: health.Result{Status: health.Unknown, Errors: []string{"no answer within 2s"}}}, Status: health.Unknown},
		{CheckState: monitor.CheckState{Name: "process_resources", Result: health.Result{Status: health.Critical, Message: "too much", Metrics: []health.Metric{
			{Name: "cpu", Value: health.Number(96.5), Threshold: &threshold, Status: health.Critical},
			{Name: "memory_usage_mb", Value: health.Number(45), Threshold: &below, Status: health.Healthy},
			{Name: "process_status", Value: health.Text("running"), Status: health.Healthy},
		}}}, Status: health.Critical},
	}}
	p := failedCheck(view)
	if p == nil || p.Code != problem.HealthCheckFailed || p.Context["check_name"] != "process_resources" || p.Context["check_status"] != "critical" {
		t.Fatalf("got %+v", p)
	}
	for _, want := range []string{"process_resources is CRITICAL", "THRESHOLDS EXCEEDED", "Cpu: 96.5 (threshold: 80.0)", "too much"} {
		if !strings.Contains(p.Text(), want) {
			t.Errorf("%q is missing in\n%s", want, p.Text())
		}
	}
	if _, err := json.Marshal(p); err != nil {
		t.Error(err)
	}
	if blind := failedCheck(monitor.View{Checks: view.Checks[:2]}); blind == nil || blind.Context["check_name"] != "blind" || !strings.Contains(blind.Text(), "no answer within 2s") {
		t.Errorf("without an ill one: %+v", blind)
	}
	if well := failedCheck(monitor.View{Checks: view.Checks[:1]}); well != nil {
		t.Errorf("all is well: %+v", well)
	}
	view.Checks[2].Stale, view.Checks[2].Status = true, health.Unknown
	if stale := failedCheck(monitor.View{Checks: view.Checks[2:]}); stale == nil || len(stale.Context["threshold_exceeded"].(map[string]problem.Threshold)) != 0 {
		t.Errorf("overdue: %+v; want no values that are not so any more", stale)
	}
}

// Rows 76 and 77: it is cleaned up and said, and stops no start.
func TestALeftPIDFileIsSaidAtTheStartAndStopsNothing(t *testing.T) {
	var log safeBuffer
	state := t.TempDir()
	if err := os.Chmod(state, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, state+"/host-8765.pid", `{"pid": 2147480000, "port": 8765}`)
	made(t, "", func(o *Options) { o.StateDir, o.Stderr = state, &log })
	if text := log.String(); !strings.Contains(text, "code=stale_process") || !strings.Contains(text, "pid=2147480000") || !strings.Contains(text, "status=not_found") {
		t.Errorf("the log is\n%s", text)
	}
}

func TestAllPolicyOfHealthAndRecoveryReachesTheMonitor(t *testing.T) {
	h := turn(t, `{}`, nil)
	if _, err := h.reload(`{
		"health_monitoring": {"rise": 2, "fall": 3, "flapping": {"results": 10, "bad": 4, "high_percent": 50, "low_percent": 25}},
		"recovery": {"max_recovery_interval": 120, "jitter_percent": 20, "max_attempts_per_hour": 7, "max_attempts_per_cause": 4, "effect_half_life": 3600,
			"action_timeouts": {"clear_connections": 1, "restart_service": 2, "emergency_stop": 3},
			"circuit_breaker": {"failure_window_seconds": 60, "trial_timeout_seconds": 90},
			"approval": {"actions": ["restart_service"], "timeout": 60, "default": "approve"},
			"dry_run": {"enabled": true, "actions": ["emergency_stop"]}, "safe_mode": {"starts": 3, "window": 30, "healthy": 120}},
		"plugins": {"recovery-graded": {"required": false, "dry_run": true}}}`); err != nil {
		t.Fatal(err)
	}
	want := health.DampConfig{Rise: 2, Fall: 3, Flap: health.FlapConfig{Results: 10, Bad: 4, High: 50, Low: 25}}
	if got := (*App)(h.operations).monitorSettings((*App)(h.operations).inForce()).Damp; got != want {
		t.Errorf("results count by %+v, want %+v", got, want)
	}
	got := h.monitor.Snapshot().Recovery.Config
	for _, c := range []struct{ got, want any }{
		{got.Budget, recovery.BudgetConfig{PerHour: 7, PerCause: 4, MaxInterval: 2 * time.Minute, Jitter: 0.2}},
		{got.HalfLife, time.Hour},
		{got.Deadlines, map[recovery.Action]time.Duration{recovery.ClearConnections: time.Second, recovery.RestartService: 2 * time.Second, recovery.EmergencyStop: 3 * time.Second}},
		{got.Breaker.FailureWindow, time.Minute},
		{got.Breaker.TrialTimeout, 90 * time.Second},
		{got.Approval, recovery.ApprovalConfig{Actions: map[recovery.Action]bool{recovery.RestartService: true}, Timeout: time.Minute, Default: true}},
		{got.DryRun, recovery.DryRunConfig{All: true, Actions: map[recovery.Action]bool{recovery.EmergencyStop: true}, Plugins: map[string]bool{"recovery-graded": true}}},
		{got.SafeMode, recovery.SafeModeConfig{Starts: 3, Window: 30 * time.Second, Healthy: 2 * time.Minute}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("the monitor has %+v, want %+v", c.got, c.want)
		}
	}
}

func TestTheDefaultsOfTheConfigurationAreThoseOfTheCore(t *testing.T) {
	h := turn(t, `{}`, nil)
	got, want := (*App)(h.operations).monitorSettings(config.Default()), monitor.DefaultOptions().Settings
	got.Recovery.Disabled, got.Recovery.Deadlines = nil, nil // named, and all off
	got.Recovery.Approval.Actions, got.Recovery.DryRun.Actions, got.Recovery.DryRun.Plugins = nil, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the configuration's defaults give\n%+v\nthe core's are\n%+v", got, want)
	}
}
