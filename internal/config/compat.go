package config

import (
	"slices"
	"strings"
)

// ignoredKey is a key of the server that Upkeep replaces that means nothing
// here. Files with it load; that it does nothing is said.
type ignoredKey struct {
	number bool // else true or false
	why    string
}

var ignoredKeys = map[string]ignoredKey{
	"recovery.check_interval":     {true, "what to do is decided at every round of checks, see health_monitoring.check_interval"},
	"pid_validation.enhanced":     {false, "the process behind a PID file is always verified"},
	"pid_validation.use_psutil":   {false, "no psutil is needed to verify a process"},
	"pid_validation.lock_timeout": {true, "a second host is refused at once and never waits for the lock"},
}

// ignoredSections lists the sections that hold nothing but ignored keys.
func ignoredSections() []string {
	var sections []string
	for _, key := range sortedKeys(ignoredKeys) {
		section, _, _ := strings.Cut(key, ".")
		if !slices.Contains(sections, section) && !slices.Contains(allKeys("", configType), section) {
			sections = append(sections, section)
		}
	}
	return sections
}

// schemaKey names the schema of a file for editors; it is no setting.
const schemaKey = "$schema"

// ignore says whether the key at path is one that is accepted without effect,
// and leaves a notice about it.
func (r *reader) ignore(path string, n node) bool {
	if path == join("", schemaKey) {
		if n.kind != stringNode {
			r.mistake(schemaKey, n, "the address of a JSON Schema")
		}
		return true
	}
	if key, ok := ignoredKeys[path]; ok {
		switch {
		case key.number && n.kind != numberNode:
			r.mistake(path, n, "a number")
		case !key.number && n.kind != boolNode:
			r.mistake(path, n, "true or false")
		default:
			r.notices = append(r.notices, Notice{path, n.at, "accepted for compatibility, has no effect: " + key.why})
		}
		return true
	}
	if !slices.Contains(ignoredSections(), path) {
		return false
	}
	var known []string
	for _, key := range sortedKeys(ignoredKeys) {
		if name, ok := strings.CutPrefix(key, path+"."); ok {
			known = append(known, name)
		}
	}
	r.members(path, n, known, func(m member, path string) { r.ignore(path, m.value) })
	return true
}
