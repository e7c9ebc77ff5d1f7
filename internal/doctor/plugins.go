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
		locked := false
		names = append(names, p.Name)
		if p.Verify != nil {
			var err error
			if locked, err = p.Verify(); err != nil {
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
		if locked || p.Pinned {
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
	unwise = append(unwise, e.trust(names)...)
	if len(unwise) > 0 {
		e.add("plugin permissions", Warn, strings.Join(unwise, "; "), "take the right to write from the group: chmod -R g-w "+e.Platform.Quote(e.PluginDir))
	}
	e.findings = append(e.findings, findings...)
	e.findings = append(e.findings, e.troubledPlugins()...)
}

// trust is what the lock file says; names are the plugins there are. It gives
// the warnings about who may write to it.
func (e *examination) trust(names []string) (unwise []string) {
	const name = "plugin trust"
	if e.Trust == nil {
		return nil
	}
	t := e.Trust()
	var gone []string
	for _, n := range t.Names {
		if !slices.Contains(names, n) {
			gone = append(gone, n)
		}
	}
	signed := "not signed"
	if t.SignedBy != "" {
		signed = "signed by the trusted key " + t.SignedBy
	}
	switch {
	case t.Err != nil:
		e.add(name, Error, "no plugin is run: "+t.Err.Error(), hint(t.Err, "lock what is there: host plugins lock"))
	case !t.Locked:
		e.ok(name, "not locked: owners and permissions are judged, checksums are not (host plugins lock)")
	case len(gone) > 0:
		e.add(name, Warn, fmt.Sprintf("locked and %s, but not there: %s", signed, strings.Join(gone, ", ")), "install them again, or lock what is there: host plugins lock")
	case t.Unverified:
		e.add(name, Warn, "locked; there is a signature, and nothing to verify it with", "set plugin_trust.trusted_keys to the key that signed it")
	default:
		e.ok(name, "locked, %s", signed)
	}
	return t.Warnings
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
