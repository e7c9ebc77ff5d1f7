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

// Diff lists what differs, in the order of Settings.
func Diff(old, new Config) []Change {
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
