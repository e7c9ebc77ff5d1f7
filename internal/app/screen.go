package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/pluginhost"
)

// firstScreen tells a person, or with Options.JSON a program, whether it is up,
// where, and what next.
func (a *App) firstScreen() {
	s := a.Snapshot()
	ready := time.Since(a.started)
	if a.opts.JSON {
		a.firstDocument(s, ready)
		return
	}
	settings := a.settings.inForce.Load().origins.String()
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
	switch {
	case !s.Monitoring.Current.Enabled:
		fmt.Fprintf(&b, "health     not watched: health_monitoring.enabled is false\n")
	case !s.Monitoring.Current.Recovery.Enabled:
		fmt.Fprintf(&b, "recovery   switched off: recovery.enabled is false\n")
	case !s.Recovery.Available:
		fmt.Fprintf(&b, "recovery   unavailable: %s\n", s.Recovery.Why)
	}
	fmt.Fprintf(&b, "listening  %s\n", strings.Join(urls(s.Server.Addresses, a.cfg.Server.TLS.Enabled()), "  "))
	if s.Server.Admin != "" {
		fmt.Fprintf(&b, "admin      http://%s   health /health   metrics /metrics   everything /diagnostics\n", s.Server.Admin)
	}
	fmt.Fprintf(&b, "ready in %s. Ctrl-C tells the clients and stops.\n", ready.Round(time.Millisecond))
	fmt.Fprint(a.opts.Stdout, b.String())
}

// firstCheck tells how the first round of checks went: until then nobody knows
// more than that clients are served.
func (a *App) firstCheck(r health.Report) {
	if a.opts.JSON || len(r.Results) == 0 {
		return
	}
	well := 0
	for _, result := range r.Results {
		if result.Status == health.Healthy {
			well++
		}
	}
	fmt.Fprintf(a.opts.Stdout, "first check: %s (%d of %d healthy). Next within %s; ask any time: host status\n",
		r.Status, well, len(r.Results), a.cfg.HealthMonitoring.CheckInterval.Duration())
}

// firstDocument is the first screen for programs.
func (a *App) firstDocument(s httpapi.Snapshot, ready time.Duration) {
	enc := json.NewEncoder(a.opts.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(struct {
		Version   string           `json:"version"`
		ServerID  string           `json:"server_id"`
		PID       int              `json:"pid"`
		Host      string           `json:"host"`
		Port      int              `json:"port"`
		Addresses []string         `json:"addresses"`
		TLS       bool             `json:"tls"`
		Admin     string           `json:"admin_address"`
		StateDir  string           `json:"state_dir"`
		Config    string           `json:"config"`
		Plugins   adminapi.Plugins `json:"plugins"`
		ReadyMS   int64            `json:"ready_ms"`
	}{
		Version, s.Server.ServerID, s.Server.PID, s.Server.Host, s.Server.Port, s.Server.Addresses, a.cfg.Server.TLS.Enabled(), s.Server.Admin,
		a.instance.Dir(), a.settings.inForce.Load().origins.String(), (*operations)(a).Plugins(), ready.Milliseconds(),
	})
	if err != nil { // nobody reads it: no reason not to serve
		a.log.Warn("the first screen did not reach its reader", "error", err)
	}
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

func urls(addresses []string, secure bool) []string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = scheme + a
	}
	return out
}

// hold keeps host up with its admin side after an emergency stop.
func (a *App) hold() {
	a.phase.Store(httpapi.Held)
	_ = a.listeners.Close() // clients are refused now instead of waiting for nobody
	ctx, cancel := context.WithTimeout(context.Background(), holdTimeout)
	defer cancel()
	unlock, err := a.settings.lock(ctx)
	if err == nil {
		err = a.monitor.Apply(ctx, a.monitorSettings(a.inForce()))
		unlock()
	}
	if err != nil {
		a.log.Error("recovery could not be switched off", "error", err)
	}
	a.log.Error("held: the hub stays down until host is started again", "admin", a.adminAddress())
}
