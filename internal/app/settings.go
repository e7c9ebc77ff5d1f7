package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/core/recovery"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/config"
	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/pluginhost"
)

// settings is the configuration in force: that of the start, with what has
// changed live since. What only a start takes up is in App.cfg, which never
// changes.
type settings struct {
	changing chan struct{} // holds one while somebody changes them
	inForce  atomic.Pointer[inForce]
}

// inForce is a configuration with its origins; it is replaced as a whole.
type inForce struct {
	config  config.Config
	origins config.Origins
}

const (
	// applyTimeout bounds how long the monitor may take to take its settings,
	// which it does between two messages, and a switch by hand.
	applyTimeout = 2 * time.Second
	// holdTimeout is longer than a reload may take.
	holdTimeout = 15 * time.Second
)

func newSettings(cfg config.Config, origins config.Origins) *settings {
	s := &settings{changing: make(chan struct{}, 1)}
	s.inForce.Store(&inForce{cfg, origins})
	return s
}

// lock lets one change happen at a time.
func (s *settings) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case s.changing <- struct{}{}:
		return func() { <-s.changing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another change of the configuration: %w", context.Cause(ctx))
	}
}

// inForce is the configuration in force. It never blocks.
func (a *App) inForce() config.Config { return a.settings.inForce.Load().config }

// Reload reads the configuration again and puts in force what a running host can
// take up, all of it or, with a mistake anywhere or a plugin that refuses,
// nothing. All differences are told and logged.
func (o *operations) Reload(ctx context.Context) (adminapi.Reloaded, error) {
	a := (*App)(o)
	unlock, err := a.settings.lock(ctx)
	if err != nil {
		return adminapi.Reloaded{}, err
	}
	defer unlock()
	old := a.settings.inForce.Load()
	done := adminapi.Reloaded{File: old.origins.File, Changes: []adminapi.Change{}}
	read, origins, err := a.opts.configuration()
	if err == nil {
		err = a.newlyMissing(old.config, read)
	}
	if err == nil {
		err = a.readCertificate()
	}
	next := &inForce{old.config.Take(read), old.origins.Take(origins)}
	if err == nil {
		err = a.apply(ctx, old.config, next.config)
	}
	if err != nil {
		a.log.Error("the configuration stays as it is: the new one is refused", "file", origins.File, "error", err)
		return done, err
	}
	a.settings.inForce.Store(next)
	for _, d := range config.Diff(old.config, read) {
		c := adminapi.Change{Key: d.Key, Old: d.Old, New: d.New, Live: d.Live}
		a.log.Info("configuration changed", "key", c.Key, "old", c.Old, "new", c.New, "in_force", c.Live)
		done.Changes = append(done.Changes, c)
	}
	if len(done.Changes) == 0 {
		a.log.Info("configuration read again, nothing has changed", "file", done.File)
	}
	a.tellNotices(next.origins)
	return done, nil
}

// change puts one key in force that somebody set in the running host.
func (a *App) change(key string, set func(*config.Config)) error {
	ctx, cancel := context.WithTimeout(context.Background(), applyTimeout)
	defer cancel()
	unlock, err := a.settings.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	old := a.settings.inForce.Load()
	next := &inForce{old.config, old.origins.Set(key, config.Origin{Kind: config.FromRequest})}
	set(&next.config)
	if err := a.apply(ctx, old.config, next.config); err != nil {
		return err
	}
	a.settings.inForce.Store(next)
	for _, c := range config.Diff(old.config, next.config) {
		a.log.Info("configuration changed by an admin request", "key", c.Key, "old", c.Old, "new", c.New)
	}
	return nil
}

// apply puts next in force everywhere, or, with an error, leaves old there.
func (a *App) apply(ctx context.Context, old, next config.Config) error {
	if err := a.plugins.Reconfigure(ctx, pluginConfiguration(next)); err != nil {
		return pluginsRefuse(err)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	if err := a.monitor.Apply(bounded, a.monitorSettings(next)); err != nil {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("put the configuration in force: %w", err), a.plugins.Reconfigure(back, pluginConfiguration(old)))
	}
	a.log.SetLevel(hclog.LevelFromString(next.Logging.Level)) // named loggers share it
	return nil
}

// pluginsRefuse is the problem of plugins that do not take a configuration.
func pluginsRefuse(err error) error {
	p := &problem.Error{
		Code: problem.ConfigInvalid, What: "the new configuration is refused by a plugin, so nothing has changed", Why: err.Error(), Err: err,
		Context: map[string]any{},
	}
	var names []string
	for _, one := range joined(err) {
		if refused, ok := errors.AsType[*pluginhost.ConfigError](one); ok {
			names = append(names, refused.Plugin)
			p.Steps = append(p.Steps, refused.Hint())
		}
	}
	p.Context["plugins"] = names
	p.Steps = append(p.Steps, "then read it again: host reload")
	return p
}

// joined are the errors that errors.Join put together.
func joined(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return []error{err}
}

// newlyMissing refuses a configuration that requires a plugin that is not there,
// unless the one before did so too.
func (a *App) newlyMissing(old, next config.Config) error {
	required := map[string]config.Plugin{}
	for name, p := range next.Plugins {
		if was, named := old.Plugins[name]; !named || !was.Required {
			required[name] = p
		}
	}
	return a.checkPlugins(required)
}

// pluginConfiguration is what a configuration says to plugins.
func pluginConfiguration(cfg config.Config) pluginhost.Configuration {
	c := pluginhost.Configuration{Settings: map[string]pluginhost.Settings{}, Thresholds: cfg.HealthMonitoring.Thresholds}
	for name, p := range cfg.Plugins {
		c.Settings[name] = pluginhost.Settings{
			Enabled: &p.Enabled, Config: p.Config, Required: p.Required, MemoryLimit: uint64(p.MemoryLimitMB) << 20,
			Environment: p.Environment,
		}
	}
	if g := cfg.Recovery.Strategy.Settings; g != nil {
		c.StrategyConfig = map[string]any{
			"warning_threshold": float64(g.WarningThreshold), "critical_threshold": float64(g.CriticalThreshold),
			"failure_window_seconds": g.FailureWindow.Duration().Seconds(),
		}
	}
	return c
}

// monitorSettings is what a configuration says to the monitor.
func (a *App) monitorSettings(cfg config.Config) monitor.Settings {
	hm, rc := cfg.HealthMonitoring, cfg.Recovery
	s := monitor.DefaultOptions().Settings
	s.Enabled = hm.Enabled
	s.Interval, s.FastInterval, s.CheckTimeout = hm.CheckInterval.Duration(), hm.FastCheckInterval.Duration(), hm.CheckTimeout.Duration()
	s.HistorySize, s.Window, s.Aggregation = hm.HistorySize, hm.AggregationWindow.Duration(), health.Aggregation(hm.Aggregation)
	s.RecoveryEnabled = rc.Enabled && a.Phase() != httpapi.Held // what a person has to look at stays as it is
	s.Recovery.MaxAttempts, s.Recovery.MinInterval = rc.MaxRecoveryAttempts, rc.MinRecoveryInterval.Duration()
	s.Recovery.Timeout, s.Recovery.Grace = rc.RecoveryTimeout.Duration(), rc.Grace.Duration()
	s.Damp = health.DampConfig{Rise: hm.Rise, Fall: hm.Fall, Flap: health.FlapConfig{
		Results: hm.Flapping.Results, Bad: hm.Flapping.Bad, High: float64(hm.Flapping.HighPercent), Low: float64(hm.Flapping.LowPercent),
	}}
	s.Recovery.Deadlines = map[recovery.Action]time.Duration{
		recovery.ClearConnections: rc.ActionTimeouts.ClearConnections.Duration(), recovery.RestartService: rc.ActionTimeouts.RestartService.Duration(),
		recovery.EmergencyStop: rc.ActionTimeouts.EmergencyStop.Duration(),
	}
	s.Recovery.HalfLife = rc.EffectHalfLife.Duration()
	s.Recovery.Budget = recovery.BudgetConfig{
		PerHour: rc.MaxAttemptsPerHour, PerCause: rc.MaxAttemptsPerCause, MaxInterval: rc.MaxRecoveryInterval.Duration(), Jitter: float64(rc.JitterPercent) / 100,
	}
	s.Recovery.Approval = recovery.ApprovalConfig{Actions: named(rc.Approval.Actions), Timeout: rc.Approval.Timeout.Duration(), Default: rc.Approval.Default == "approve"}
	s.Recovery.SafeMode = recovery.SafeModeConfig{Starts: rc.SafeMode.Starts, Window: rc.SafeMode.Window.Duration(), Healthy: rc.SafeMode.Healthy.Duration()}
	s.Recovery.DryRun = recovery.DryRunConfig{All: rc.DryRun.Enabled, Actions: named(rc.DryRun.Actions), Plugins: map[string]bool{}}
	for name, p := range cfg.Plugins {
		if p.DryRun {
			s.Recovery.DryRun.Plugins[name] = true
		}
	}
	if g := rc.Strategy.Settings; g != nil {
		s.Recovery.FailureWindow = g.FailureWindow.Duration()
	}
	s.Recovery.Breaker = recovery.BreakerConfig{
		FailureThreshold: rc.CircuitBreaker.FailureThreshold, Timeout: rc.CircuitBreaker.Timeout.Duration(), SuccessThreshold: rc.CircuitBreaker.SuccessThreshold,
		FailureWindow: rc.CircuitBreaker.FailureWindow.Duration(), TrialTimeout: rc.CircuitBreaker.TrialTimeout.Duration(),
	}
	s.Recovery.Disabled = disabledActions(rc.Actions)
	return s
}

// named is the set of some actions.
func named(actions []string) map[recovery.Action]bool {
	set := make(map[recovery.Action]bool, len(actions))
	for _, a := range actions {
		set[recovery.Action(a)] = true
	}
	return set
}

func disabledActions(a config.Actions) map[recovery.Action]bool {
	return map[recovery.Action]bool{
		recovery.LogWarning: !a.LogWarning, recovery.QuarantineOffender: !a.QuarantineOffender, recovery.ClearConnections: !a.ClearConnections,
		recovery.RestartService: !a.RestartService, recovery.EmergencyStop: !a.EmergencyStop,
	}
}

// reloadOnHangup reads the configuration again for each signal, one at a time,
// until ctx ends. It has logged what came of it.
func (a *App) reloadOnHangup(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.opts.Hangups:
			bounded, cancel := context.WithTimeout(ctx, holdTimeout)
			a.tellManager(a.manager.Reloading())
			_, _ = (*operations)(a).Reload(bounded)
			a.tellManager(a.manager.Ready(a.statusLine()))
			cancel()
		}
	}
}

func (a *App) tellNotices(origins config.Origins) {
	for _, n := range origins.Notices() {
		a.log.Warn("configuration", "notice", n.String())
	}
}

// Config lists every key with its value in force and where that comes from.
func (o *operations) Config() adminapi.Configuration {
	now := (*App)(o).settings.inForce.Load()
	out := adminapi.Configuration{SchemaVersion: adminapi.SchemaVersion, File: now.origins.File, Settings: []adminapi.Setting{}}
	for _, s := range now.config.Settings() {
		out.Settings = append(out.Settings, adminapi.Setting{Key: s.Key, Value: s.Value, Origin: now.origins.Of(s.Key).String(), Live: s.Live})
	}
	return out
}

func (o *operations) SetLogLevel(level string) error {
	return (*App)(o).change("logging.level", func(c *config.Config) { c.Logging.Level = level })
}

func (o *operations) SetRecovery(on bool) error {
	return (*App)(o).change("recovery.enabled", func(c *config.Config) { c.Recovery.Enabled = on })
}

func (o *operations) SetMonitoring(on bool) error {
	return (*App)(o).change("health_monitoring.enabled", func(c *config.Config) { c.HealthMonitoring.Enabled = on })
}

// shownConfiguration is what Config lists, for /diagnostics.
func (a *App) shownConfiguration() []httpapi.Setting {
	settings := (*operations)(a).Config().Settings
	shown := make([]httpapi.Setting, len(settings))
	for i, s := range settings {
		shown[i] = httpapi.Setting{Key: s.Key, Value: s.Value, Origin: s.Origin}
	}
	return shown
}
