package app

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"slices"
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
}

// live are the keys that a reload changes at once. The others wait for the next
// start.
var live = []string{"logging.level", "recovery.enabled"}

// Reload reads the configuration again. A mistake in it changes nothing;
// otherwise the live keys change now, and all differences are told and logged.
func (o *operations) Reload(context.Context) (adminapi.Reloaded, error) {
	a := (*App)(o)
	a.settings.mu.Lock()
	defer a.settings.mu.Unlock()
	done := adminapi.Reloaded{File: a.opts.ConfigFile, Changes: []adminapi.Change{}}
	cfg, err := a.opts.configuration()
	if err != nil {
		a.log.Error("the configuration stays as it is: the new one has mistakes", "file", a.opts.ConfigFile, "error", err)
		return done, err
	}
	before, after := flatten(a.settings.current), flatten(cfg)
	for _, key := range keys(before, after) {
		if reflect.DeepEqual(before[key], after[key]) {
			continue
		}
		c := adminapi.Change{Key: key, Old: before[key], New: after[key], Live: slices.Contains(live, key)}
		a.log.Info("configuration changed", "key", key, "old", c.Old, "new", c.New, "in_force", c.Live)
		done.Changes = append(done.Changes, c)
	}
	// A restart makes the waiting keys true, so they are told again until then.
	a.settings.current.Logging.Level, a.settings.current.Recovery.Enabled = cfg.Logging.Level, cfg.Recovery.Enabled
	a.log.SetLevel(hclog.LevelFromString(cfg.Logging.Level))
	if a.monitor != nil {
		a.monitor.SetRecoveryEnabled(cfg.Recovery.Enabled)
	}
	return done, nil
}

// Config lists every key with its value and where that comes from.
func (o *operations) Config() adminapi.Configuration {
	a := (*App)(o)
	a.settings.mu.Lock()
	defer a.settings.mu.Unlock()
	out := adminapi.Configuration{SchemaVersion: adminapi.SchemaVersion, File: a.opts.ConfigFile, Settings: []adminapi.Setting{}}
	now := flatten(a.settings.current)
	file := map[string]any{}
	if data, err := os.ReadFile(a.opts.ConfigFile); a.opts.ConfigFile != "" && err == nil {
		var tree map[string]any
		if json.Unmarshal(data, &tree) == nil {
			walk("", tree, file)
		}
	}
	for _, key := range keys(now, nil) {
		origin := "default"
		if _, is := file[key]; is {
			origin = "file " + a.opts.ConfigFile
		}
		if (key == "server.host" && a.opts.Host != nil) || (key == "server.port" && a.opts.Port != nil) {
			origin = "flag"
		}
		out.Settings = append(out.Settings, adminapi.Setting{Key: key, Value: now[key], Origin: origin})
	}
	return out
}

// flatten gives a configuration as keys joined by dots.
func flatten(cfg config.Config) map[string]any {
	out := map[string]any{}
	data, err := json.Marshal(cfg)
	if err != nil {
		return out // a Config always encodes
	}
	var tree map[string]any
	if json.Unmarshal(data, &tree) == nil {
		walk("", tree, out)
	}
	return out
}

func walk(prefix string, tree map[string]any, out map[string]any) {
	for key, value := range tree {
		if branch, is := value.(map[string]any); is {
			walk(prefix+key+".", branch, out)
			continue
		}
		out[prefix+key] = value
	}
}

func keys(a, b map[string]any) []string {
	var all []string
	for key := range a {
		all = append(all, key)
	}
	for key := range b {
		if _, both := a[key]; !both {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return all
}
