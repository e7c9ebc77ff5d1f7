package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/pluginhost"
)

// operations are what the owner sees and does.
type operations App

var _ adminapi.Operations = (*operations)(nil)

func (o *operations) Status() adminapi.Status {
	a, now := (*App)(o), time.Now()
	s := a.Snapshot()
	v := httpapi.Judge(s, now)
	out := adminapi.Status{
		SchemaVersion: adminapi.SchemaVersion, Timestamp: now.UTC(), Phase: string(s.Phase), Status: v.Status.String(), Serving: v.Serving, Stale: v.Stale, Message: v.Message,
		Server: adminapi.Server{
			Version: s.Server.Version, ServerID: s.Server.ServerID, Host: s.Server.Host, Port: s.Server.Port, Addresses: append([]string{}, s.Server.Addresses...),
			TLS:   a.cfg.Server.TLS.Enabled(),
			Admin: s.Server.Admin, PID: s.Server.PID, StartTime: s.Server.Started.UTC(), UptimeSeconds: now.Sub(s.Server.Started).Seconds(),
			StateDir: a.instance.Dir(), ConfigFile: a.opts.ConfigFile, LogLevel: a.log.GetLevel().String(),
		},
		Hub: adminapi.Hub{
			State: s.Hub.State, Accepting: s.Hub.Accepting, PID: s.Hub.PID, Restarts: s.Hub.Restarts, MissedHeartbeats: s.Hub.Missed, LastExit: s.Hub.LastExit,
			ClientsConnected: s.Hub.Statistics.ConnectedClients, EventsProcessed: s.Hub.Statistics.EventsProcessed,
		},
		Monitoring: adminapi.Monitoring{Enabled: s.Monitoring.Current.Enabled, IntervalSeconds: s.Monitoring.Interval.Seconds()},
		Checks:     adminapi.Checks(v.View),
		Recovery:   adminapi.RecoveryOf(s.Monitoring.Current.Recovery, now),
	}
	suspects, _ := a.suspects()
	out.Suspects, out.Hub.Quarantined = adminSuspects(suspects), len(a.quarantine.present(now))
	out.Recovery.Available, out.Recovery.Why, out.Recovery.Strategy = s.Recovery.Available, s.Recovery.Why, s.Recovery.Strategy
	return out
}

func (o *operations) Probe(kind adminapi.ProbeKind) adminapi.Probe {
	s, now := (*App)(o).Snapshot(), time.Now()
	v := httpapi.Judge(s, now)
	p := adminapi.Probe{Probe: kind, Status: v.Status.String()}
	switch kind {
	case adminapi.Ready:
		p.OK, p.Message = httpapi.Ready(s)
	case adminapi.Live:
		p.OK, p.Message = httpapi.Live(s, now, 0)
	default:
		p.OK, p.Message = v.Serving, v.Message
		if failed := failedCheck(v.View); !p.OK && p.Message == "" && failed != nil {
			p.Message = strings.Join(strings.Fields(failed.Error()), " ")
			p.Problem, _ = json.Marshal(failed) // texts, numbers and maps of them
		}
	}
	if p.Message == "" {
		p.Message = fmt.Sprintf("%s, %d checks", v.Status, len(v.Checks))
	}
	return p
}

func (o *operations) Plugins() adminapi.Plugins {
	out := adminapi.Plugins{SchemaVersion: adminapi.SchemaVersion, Directory: o.opts.Plugins, Plugins: []adminapi.Plugin{}, Skipped: []adminapi.Skipped{},
		Trust: adminTrust(o.plugins.Trust())}
	for _, p := range o.plugins.Plugins() {
		out.Plugins = append(out.Plugins, adminPlugin(p))
	}
	for _, s := range o.plugins.Skipped() {
		out.Skipped = append(out.Skipped, adminapi.Skipped{Name: s.Name, Reason: s.Reason, Remedy: s.Remedy})
	}
	return out
}

func adminPlugin(p pluginhost.Snapshot) adminapi.Plugin {
	out := adminapi.Plugin{
		Name: p.Name, Kinds: []string{}, Version: p.Info.Version, Description: p.Description, Check: p.Info.CheckName, State: string(p.State),
		PID: p.PID, Restarts: p.Restarts, StartedAt: utc(p.StartedAt), NextStart: utc(p.NextStart), LastError: p.LastError, Hint: p.LastHint,
		Interpreter: p.Interpreter, Verified: string(p.Verified), Stderr: append([]string{}, p.StderrTail...), Warnings: append([]string{}, p.Warnings...),
		Reloads: p.Reloads, LastReload: utc(p.LastReload), ReloadError: p.ReloadError, ReloadHint: p.ReloadHint,
		MemoryBytes: p.Memory, MemoryLimitBytes: p.MemoryLimit,
	}
	for _, k := range p.Info.Kinds {
		out.Kinds = append(out.Kinds, string(k))
	}
	return out
}

func adminTrust(t pluginhost.Trust) adminapi.PluginTrust {
	return adminapi.PluginTrust{
		Required: t.Required, Locked: t.Locked, TrustedKeys: t.Keys, SignedBy: t.SignedBy, Error: t.Error, Hint: t.Hint,
		Warnings: append([]string{}, t.Warnings...),
	}
}

func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (o *operations) ReleasePlugin(name string) (adminapi.Plugin, error) {
	p, err := o.plugins.Instance(name)
	if err != nil {
		return adminapi.Plugin{}, pluginProblem(name, err)
	}
	p.Release()
	return adminPlugin(p.Snapshot()), nil
}

func (o *operations) ReloadPlugin(ctx context.Context, name string) (adminapi.PluginChange, error) {
	c, err := o.plugins.Reload(ctx, name)
	if err != nil {
		return adminapi.PluginChange{}, pluginProblem(name, err)
	}
	return adminPluginChange(c), nil
}

func (o *operations) RescanPlugins(ctx context.Context) (adminapi.PluginChanges, error) {
	out := adminapi.PluginChanges{SchemaVersion: adminapi.SchemaVersion, Changes: []adminapi.PluginChange{}}
	changes, err := o.plugins.Rescan(ctx)
	if err != nil {
		return out, pluginProblem("", err)
	}
	for _, c := range changes {
		out.Changes = append(out.Changes, adminPluginChange(c))
	}
	return out, nil
}

func adminPluginChange(c pluginhost.Change) adminapi.PluginChange {
	out := adminapi.PluginChange{Name: c.Plugin, Outcome: string(c.Outcome), VersionBefore: c.Before.Info.Version, Version: c.After.Info.Version, PID: c.After.PID}
	if c.Err != nil {
		out.Error, out.Hint = c.Err.Error(), hint(c.Err)
		if launch, ok := errors.AsType[*pluginhost.LaunchError](c.Err); ok {
			out.Error = launch.Err.Error() // the plugin is named already
		}
	}
	return out
}

// pluginProblem is what the plugin host says, for people.
func pluginProblem(name string, err error) error {
	switch {
	case errors.Is(err, pluginhost.ErrUnknownPlugin):
		return &problem.Error{Code: problem.NotFound, What: fmt.Sprintf("there is no plugin %q", name), Why: err.Error(), Err: err,
			Steps: []string{"see which there are: host plugins"}}
	case errors.Is(err, pluginhost.ErrStopped):
		return &problem.Error{Code: problem.NotRunning, What: err.Error(), Err: err, Steps: []string{"try again when host has started"}}
	}
	if dir, ok := errors.AsType[*pluginhost.DirectoryError](err); ok {
		return &problem.Error{Code: problem.PluginsMissing, What: "the plugin folder " + dir.Dir + " cannot be used", Why: dir.Err.Error(), Err: err, Steps: []string{dir.Remedy}}
	}
	return err
}

func (o *operations) History(window time.Duration, limit int) adminapi.History {
	return adminapi.HistoryOf(o.monitor.History(), o.monitor.Snapshot().Recovery.Events, window, limit, time.Now())
}

func (o *operations) Version() adminapi.Version {
	return adminapi.Version{Version: Version, APIVersion: "v1", SocketIOVersion: SocketIOVersion, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

func (o *operations) Stop(reason string) {
	select {
	case o.asked <- reason:
	default: // asked before
	}
}
