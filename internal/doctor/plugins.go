package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func (e *examination) plugins() {
	const name = "plugins"
	if e.Discover == nil {
		e.add(name, Skip, "not looked for", "")
		return
	}
	found, skipped, err := e.Discover()
	if err != nil {
		e.add(name, Error, err.Error(), hint(err, "name the folder that holds the plugins: --plugins DIR"))
		return
	}
	var good, names, unwise []string
	var findings []Finding
	for _, p := range found {
		names = append(names, p.Name)
		if p.Verify != nil {
			if err := p.Verify(); err != nil {
				findings = append(findings, Finding{"plugin " + p.Name, Error, line(err.Error()), line(hint(err, "put the right file back")), ""})
				continue
			}
		}
		for _, w := range p.Warnings {
			if !slices.Contains(unwise, w) { // many plugins share a folder
				unwise = append(unwise, w)
			}
		}
		word := p.Name
		if p.Pinned {
			word += " (checksum verified)"
		}
		good = append(good, word)
	}
	for _, s := range skipped {
		level := Warn
		if slices.Contains(e.Required, s.Name) {
			level = Error
		}
		names = append(names, s.Name)
		findings = append(findings, Finding{line("plugin " + s.Name), level, line(s.Reason), line(s.Remedy), ""})
	}
	for _, required := range e.Required {
		if !slices.Contains(names, required) {
			findings = append(findings, Finding{"plugin " + required, Error, "required, and not in " + e.PluginDir,
				"put it there, or set plugins." + required + ".required to false", ""})
		}
	}
	switch {
	case len(good) == 0:
		e.add(name, Warn, "none in "+e.PluginDir+": nobody looks after the hub's health", "build the bundled ones (make build), or name another folder: --plugins DIR")
	case e.Strategy != "" && !slices.ContainsFunc(good, func(g string) bool { return g == e.Strategy || strings.HasPrefix(g, e.Strategy+" ") }):
		e.add(name, Warn, fmt.Sprintf("%s; the strategy %s is not among them, so nothing heals the hub", strings.Join(good, ", "), e.Strategy), "put it into "+e.PluginDir)
	default:
		e.ok(name, "%s in %s", strings.Join(good, ", "), e.PluginDir)
	}
	if len(unwise) > 0 {
		e.add("plugin permissions", Warn, strings.Join(unwise, "; "), "take the right to write from the group: chmod -R g-w "+e.Platform.Quote(e.PluginDir))
	}
	e.findings = append(e.findings, findings...)
	e.findings = append(e.findings, e.troubledPlugins()...)
}

// troubledPlugins are those that the running host does not get to run.
func (e *examination) troubledPlugins() []Finding {
	var body struct {
		Plugins []struct {
			Name      string `json:"name"`
			State     string `json:"state"`
			LastError string `json:"last_error"`
			Hint      string `json:"hint"`
		} `json:"plugins"`
	}
	if len(e.diagnostic) == 0 || json.Unmarshal(e.diagnostic, &body) != nil {
		return nil
	}
	var findings []Finding
	for _, p := range body.Plugins {
		if p.State == "running" || p.State == "starting" {
			continue
		}
		level := Warn
		if slices.Contains(e.Required, p.Name) {
			level = Error
		}
		findings = append(findings, Finding{line("plugin " + p.Name), level, line(strings.TrimSuffix(p.State+": "+p.LastError, ": ")), line(p.Hint), ""})
	}
	return findings
}
