package app

import (
	"maps"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/recovery"
	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/hubproc"
	"github.com/upkeephub/upkeep/internal/pluginhost"
)

// recoveries count what recovery did, by action and outcome.
type recoveries struct {
	mu     sync.Mutex
	counts map[httpapi.ActionOutcome]uint64
}

func (r *recoveries) add(e recovery.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[httpapi.ActionOutcome]uint64{}
	}
	r.counts[httpapi.ActionOutcome{Action: e.Action, Outcome: e.Outcome}]++
}

func (r *recoveries) all() map[httpapi.ActionOutcome]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// hooks write what the monitor does into the log: transitions, incidents and
// attempts for everybody, single reports for who debugs.
func (a *App) hooks() monitor.Hooks {
	log := a.log.Named("monitor")
	var last recovery.Decision // a decision that only repeats is for who debugs
	return monitor.Hooks{
		Report: func(r health.Report) {
			if r.Sequence == 1 {
				a.firstCheck(r)
			}
			log.Debug("report", "sequence", r.Sequence, "status", r.Status.String(), "took", r.Duration)
		},
		Transition: func(t health.Transition, r health.Report) {
			level := hclog.Info
			if t.To != health.Healthy {
				level = hclog.Warn
			}
			log.Log(level, "health changed", "from", t.From.String(), "to", t.To.String(), "why", why(r))
			a.tellManager(a.manager.Status(a.statusLineOf(t.To)))
		},
		Incident: func(i recovery.Incident, opened bool) {
			if opened {
				log.Warn("incident opened", "incident", i.ID, "causes", strings.Join(i.Causes, ", "))
				return
			}
			log.Info("incident closed", "incident", i.ID, "attempts", len(i.Attempts))
		},
		Decision: func(d recovery.Decision) {
			level := hclog.Debug
			same := d.Same(last)
			switch {
			case d.Verdict == recovery.Run:
				level = hclog.Warn
			case d.Verdict != recovery.Nothing && !same:
				level = hclog.Info
			}
			last = d
			log.Log(level, "recovery decision", "incident", d.Incident, "action", string(d.Proposal.Action), "verdict", string(d.Verdict),
				"rule", d.Rule, "reason", d.Reason, "attempt", d.Attempt, "dry_run", d.DryRun)
		},
		Recovery: func(e recovery.Event) {
			if e.DryRun {
				log.Info("dry run: nothing was done", "incident", e.Incident, "action", string(e.Action), "outcome", string(e.Outcome), "reason", e.Reason)
				return
			}
			a.recovered.add(e)
			if e.Action == recovery.LogWarning {
				log.Warn("health warning", "incident", e.Incident, "status", e.Health.String(), "reason", e.Reason)
				return
			}
			level := hclog.Warn
			if e.Success {
				level = hclog.Info
			}
			log.Log(level, "recovery attempt judged", "incident", e.Incident, "action", string(e.Action), "outcome", string(e.Outcome), "took", e.Duration, "error", e.Err)
		},
	}
}

// why names the checks that are not well, with what they say.
func why(r health.Report) string {
	var parts []string
	for _, res := range r.Results {
		if res.Status == health.Healthy {
			continue
		}
		part := res.Check + " " + res.Status.String()
		if res.Message != "" {
			part += ": " + res.Message
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " · ")
}

// hubEvent is told what the keeper does. The keeper has logged it.
func (a *App) hubEvent(e hubproc.Event) {
	switch e.Kind {
	case hubproc.Serving:
		first := false
		a.firstHub.Do(func() { first = true; close(a.serving) })
		if !first {
			a.wake()
		}
	case hubproc.GaveUp, hubproc.HandedOver:
		a.wake()
	}
}

// pluginEvent is told of every change of a plugin's state. The plugin host has
// logged what went wrong; what goes well is ours to tell.
func (a *App) pluginEvent(e pluginhost.Event) {
	switch e.State {
	case pluginhost.Running:
		a.log.Info("plugin runs", "plugin", e.Plugin, "version", e.Version, "pid", e.PID, "restarts", e.Restarts, "reloads", e.Reloads)
		if a.Phase() != httpapi.Starting { // then the first round waits for all plugins
			a.wake()
		}
	case pluginhost.Quarantined, pluginhost.Refused:
		a.wake()
	case pluginhost.Stopped: // removed, or host is stopping
		a.log.Info("plugin stopped", "plugin", e.Plugin)
		a.wake()
	}
}
