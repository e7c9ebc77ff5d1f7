package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/pluginhost"
)

// firstScreen tells a person whether it is up, where, and what next.
func (a *App) firstScreen() {
	s := a.Snapshot()
	settings := a.settings.origins.String()
	var b strings.Builder
	fmt.Fprintf(&b, "host %s   config: %s   state: %s\n", Version, settings, a.instance.Dir())
	fmt.Fprintf(&b, "plugins    %s\n", pluginLine(s))
	for _, p := range s.Plugins {
		if p.State != string(pluginhost.Running) {
			fmt.Fprintf(&b, "           %s: %s\n", p.Name, tell(p.State, p.LastError, p.Hint))
		}
	}
	for _, k := range s.Skipped {
		fmt.Fprintf(&b, "           %s: %s\n", k.Name, tell("", k.Reason, k.Remedy))
	}
	if !s.Recovery.Available {
		fmt.Fprintf(&b, "recovery   unavailable: %s\n", s.Recovery.Why)
	}
	fmt.Fprintf(&b, "listening  %s\n", strings.Join(urls(s.Server.Addresses), "  "))
	if s.Server.Admin != "" {
		fmt.Fprintf(&b, "admin      http://%s   health /health   metrics /metrics   everything /diagnostics\n", s.Server.Admin)
	}
	fmt.Fprintf(&b, "ready in %s. Ctrl-C tells the clients and stops.\n", time.Since(a.started).Round(time.Millisecond))
	fmt.Fprint(a.opts.Stdout, b.String())
}

func pluginLine(s httpapi.Snapshot) string {
	var parts []string
	for _, p := range s.Plugins {
		if p.State == string(pluginhost.Running) {
			parts = append(parts, fmt.Sprintf("%s %s %s", p.Name, p.Version, p.Kind))
		}
	}
	if len(parts) == 0 {
		return "none: nobody looks after the hub's health"
	}
	return strings.Join(parts, " · ")
}

func tell(state, reason, remedy string) string {
	var parts []string
	for _, p := range []string{state, reason} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	text := strings.Join(parts, ", ")
	if remedy != "" {
		text += " (" + remedy + ")"
	}
	return text
}

func urls(addresses []string) []string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = "http://" + a
	}
	return out
}

// hold keeps host up with its admin side after an emergency stop.
func (a *App) hold() {
	a.phase.Store(httpapi.Held)
	a.monitor.SetRecoveryEnabled(false)
	_ = a.listeners.Close() // clients are refused now instead of waiting for nobody
	a.log.Error("held: the hub stays down until host is started again", "admin", a.adminAddress())
}
