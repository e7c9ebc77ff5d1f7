package app

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/hubproc"
	"github.com/upkeephub/upkeep/internal/pluginhost"
)

// Snapshot gathers what the endpoints show.
func (a *App) Snapshot() httpapi.Snapshot {
	cfg := a.inForce()
	s := httpapi.Snapshot{
		Beat:  a.monitor.Beat(),
		Phase: a.Phase(),
		Server: httpapi.Server{
			Version: Version, ServerID: a.serverID, SocketIOVersion: SocketIOVersion, Host: a.cfg.Server.Host, Port: a.listeners.Port(),
			PID: os.Getpid(), Started: a.started, Addresses: a.listeners.Addrs(), Admin: a.adminAddress(),
		},
		Hub:      a.hubSnapshot(),
		Recovery: httpapi.Recovery{Strategy: cfg.Recovery.Strategy.Name, Counts: a.recovered.all()},
	}
	s.Monitoring = httpapi.Monitoring{
		Current: a.monitor.Snapshot(), History: a.monitor.History(),
		Interval: cfg.HealthMonitoring.CheckInterval.Duration(), Window: cfg.HealthMonitoring.AggregationWindow.Duration(),
		Callbacks: 1,
	}
	for _, p := range a.plugins.Plugins() {
		s.Plugins = append(s.Plugins, pluginSnapshot(p))
	}
	for _, k := range a.plugins.Skipped() {
		s.Skipped = append(s.Skipped, httpapi.Skipped{Name: k.Name, Reason: k.Reason, Remedy: k.Remedy})
	}
	t := a.plugins.Trust()
	s.PluginTrust = httpapi.PluginTrust{Required: t.Required, Locked: t.Locked, SignedBy: t.SignedBy, Error: t.Error, Hint: t.Hint}
	s.Recovery.Available, s.Recovery.Why = a.recoveryAvailable(s.Monitoring.Current.Enabled)
	return s
}

// recoveryAvailable says whether a strategy can be asked, and if not, why.
func (a *App) recoveryAvailable(watched bool) (bool, string) {
	switch p := a.strategyPlugin(); {
	case !watched:
		return false, "health monitoring is switched off"
	case p == nil:
		return false, fmt.Sprintf("there is no plugin %s in %s", a.inForce().Recovery.Strategy.Plugin(), a.opts.Plugins)
	default:
		if s := p.Snapshot(); s.State != pluginhost.Running {
			return false, strings.TrimSuffix(fmt.Sprintf("the plugin %s is %s: %s", s.Name, s.State, s.LastError), ": ")
		} else if !s.Info.Is(pluginhost.Recovery) {
			return false, fmt.Sprintf("the plugin %s is no strategy", s.Name)
		}
	}
	return true, ""
}

func (a *App) hubSnapshot() httpapi.Hub {
	k := a.keeper.Snapshot()
	h := httpapi.Hub{
		State: string(k.State), Accepting: k.State == hubproc.Running, PID: k.PID, Generation: k.LastGeneration,
		Restarts: uint64(k.Restarts), LastExit: k.LastExit, Missed: k.Missed,
	}
	h.Quarantine = shownQuarantine(a.quarantine.present(time.Now()))
	if st := k.Statistics; st != nil {
		h.Suspects = shownSuspects(suspectsOf(st))
		h.Statistics = httpapi.Statistics{
			ConnectedClients: st.GetConnectedClients(), ClientsServed: st.GetClientsServed(), EventsProcessed: st.GetEventsProcessed(),
			EventsFailed: st.GetEventsFailed(), Errors: st.GetErrors(), ClientVersions: st.GetClientVersions(), HistorySize: st.GetHistorySize(),
			SessionsRecovered: st.GetSessionsRecovered(), LogFailure: st.GetLogFailure(),
		}
		if st.GetLastActivity() != nil {
			h.Statistics.LastActivity = st.GetLastActivity().AsTime()
		}
		if st.GetTakenAt() != nil {
			h.Statistics.Taken = st.GetTakenAt().AsTime()
		}
	}
	return h
}

func pluginSnapshot(p pluginhost.Snapshot) httpapi.Plugin {
	kinds := make([]string, len(p.Info.Kinds))
	for i, k := range p.Info.Kinds {
		kinds[i] = string(k)
	}
	return httpapi.Plugin{
		Name: p.Name, Check: p.Info.CheckName, Kind: strings.Join(kinds, ","), Version: p.Info.Version, State: string(p.State),
		PID: p.PID, Restarts: uint64(p.Restarts), LastError: p.LastError, Hint: p.LastHint, Started: p.StartedAt, Stderr: p.StderrTail,
		Verified: string(p.Verified), Interpreter: p.Interpreter,
		Reloads: uint64(p.Reloads), ReloadError: p.ReloadError, ReloadHint: p.ReloadHint, Memory: p.Memory, MemoryLimit: p.MemoryLimit,
		NextStart: p.NextStart,
	}
}
