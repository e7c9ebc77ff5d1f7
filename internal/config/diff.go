package config

import "reflect"

// Change is a key whose value differs between two configurations.
type Change struct {
	// Key with its sections; the settings of one plugin are one key.
	Key string `json:"key"`
	// Old and New are the values, fit for JSON, with secrets masked; nil: not set.
	Old any `json:"old"`
	New any `json:"new"`
	// Live says that a running host takes the change up without a restart.
	Live bool `json:"live"`
}

// Diff lists what differs, in the order of Settings. A plugin that only one of
// the two names has the default settings in the other.
func Diff(old, new Config) []Change {
	old.Plugins, new.Plugins = completed(old, new), completed(new, old)
	before := map[string]Setting{}
	for _, s := range old.Settings() {
		before[s.Key] = s
	}
	var changes []Change
	after := map[string]bool{}
	for _, s := range new.Settings() {
		after[s.Key] = true
		was, is := before[s.Key]
		if !is || !reflect.DeepEqual(was.raw, s.raw) {
			changes = append(changes, Change{s.Key, was.Value, s.Value, s.Live})
		}
	}
	for _, s := range old.Settings() {
		if !after[s.Key] {
			changes = append(changes, Change{s.Key, s.Value, nil, s.Live})
		}
	}
	return changes
}

// completed are the plugins of c, and those of other with the settings that they
// have in c.
func completed(c, other Config) map[string]Plugin {
	all := named(c, other)
	for name := range all {
		all[name] = c.PluginSettings(name)
	}
	return all
}
