package app

import (
	"context"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/config"
)

// settings is the configuration in force. What can change while host runs is
// changed here; everything else of host reads App.cfg, which never changes.
type settings struct {
	mu      sync.Mutex // held through a reload: one at a time
	current config.Config
	origins config.Origins
}

// Reload reads the configuration again. A mistake in it changes nothing;
// otherwise the live keys change now, and all differences are told and logged.
func (o *operations) Reload(context.Context) (adminapi.Reloaded, error) {
	a := (*App)(o)
	a.settings.mu.Lock()
	defer a.settings.mu.Unlock()
	done := adminapi.Reloaded{File: a.settings.origins.File, Changes: []adminapi.Change{}}
	cfg, origins, err := a.opts.configuration()
	if err != nil {
		a.log.Error("the configuration stays as it is: the new one has mistakes", "file", origins.File, "error", err)
		return done, err
	}
	for _, d := range config.Diff(a.settings.current, cfg) {
		c := adminapi.Change{Key: d.Key, Old: d.Old, New: d.New, Live: d.Live}
		a.log.Info("configuration changed", "key", c.Key, "old", c.Old, "new", c.New, "in_force", c.Live)
		done.Changes = append(done.Changes, c)
	}
	// These are the keys that config calls live. Only a restart takes up the
	// others, so they are told again until then.
	a.settings.current.Logging.Level, a.settings.current.Recovery.Enabled = cfg.Logging.Level, cfg.Recovery.Enabled
	a.log.SetLevel(hclog.LevelFromString(cfg.Logging.Level))
	if a.monitor != nil {
		a.monitor.SetRecoveryEnabled(cfg.Recovery.Enabled)
	}
	return done, nil
}

// Config lists every key with its value at the start, or since the last reload,
// and where that came from at the start.
func (o *operations) Config() adminapi.Configuration {
	a := (*App)(o)
	a.settings.mu.Lock()
	defer a.settings.mu.Unlock()
	out := adminapi.Configuration{SchemaVersion: adminapi.SchemaVersion, File: a.settings.origins.File, Settings: []adminapi.Setting{}}
	for _, s := range a.settings.current.Settings() {
		out.Settings = append(out.Settings, adminapi.Setting{Key: s.Key, Value: s.Value, Origin: a.settings.origins.Of(s.Key).String()})
	}
	return out
}
