package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/recovery"
	"github.com/upkeephub/upkeep/internal/hubproc"
	"github.com/upkeephub/upkeep/internal/pluginhost"
)

func (a *App) wireMonitor() error {
	opts := monitor.DefaultOptions()
	opts.Settings = a.monitorSettings(a.cfg)
	opts.Begin = a.begin
	opts.Checks, opts.Strategy = a.checks, a.strategy
	opts.Actor, opts.Subject = (*actor)(a), (*subject)(a)
	opts.Hooks = a.hooks()
	a.monitor = monitor.New(opts)
	return nil
}

// wake asks the monitor for a round now.
func (a *App) wake() { a.monitor.Wake() }

// checks are the checker plugins as the monitor's checks. One that has not yet
// said what it is appears under its own name while it is being started; one that
// is refused before it said anything is no checker, and /diagnostics tells of it.
func (a *App) checks() []monitor.Check {
	cfg := a.inForce()
	strategy := cfg.Recovery.Strategy.Plugin()
	var checks []monitor.Check
	for _, s := range a.plugins.Plugins() {
		name := s.Info.CheckName
		if len(s.Info.Kinds) == 0 && s.State != pluginhost.Refused && s.Name != strategy {
			name = s.Name
		}
		p, err := a.plugins.Instance(s.Name)
		if name == "" || err != nil {
			continue
		}
		settings, named := cfg.Plugins[s.Name]
		checks = append(checks, monitor.Check{
			Name: name, Optional: named && !settings.Required, Timeout: s.Info.Timeout, Rise: settings.Rise, Fall: settings.Fall, DependsOn: settings.DependsOn,
			Checker: monitor.CheckerFunc(func(ctx context.Context, req monitor.Request) (monitor.Outcome, error) {
				in := a.checkInput(req.Now)
				in.ID, in.Samples = req.ID, req.Samples
				out, err := p.Check(ctx, in)
				return monitor.Outcome{Result: out.Result, Counters: out.Counters}, err
			}),
		})
	}
	return checks
}

// checkInput is what a checker gets to see at this moment.
func (a *App) checkInput(now time.Time) pluginhost.CheckInput {
	hub := a.keeper.Snapshot()
	return pluginhost.CheckInput{
		Target: pluginhost.Target{
			HostPID: os.Getpid(), HubPID: hub.PID, HubGeneration: hub.Generation, Host: a.cfg.Server.Host, Port: a.listeners.Port(),
			Addresses: a.listeners.Addrs(), Path: "/socket.io/", TLS: a.cfg.Server.TLS.Enabled(), ProbeSecret: a.secret,
		},
		Statistics: a.statistics(), Now: now,
	}
}

// statistics of the hub in the plugins' terms; nil while it has said nothing.
func (a *App) statistics() *pluginhost.Statistics {
	s := a.keeper.Snapshot().Statistics
	if s == nil {
		return nil
	}
	out := &pluginhost.Statistics{
		Generation: s.GetGeneration(), ConnectedClients: s.GetConnectedClients(), ClientsServed: s.GetClientsServed(),
		EventsProcessed: s.GetEventsProcessed(), EventsFailed: s.GetEventsFailed(), Errors: s.GetErrors(),
		ClientDescriptors: s.GetClientDescriptors(), HistorySize: s.GetHistorySize(), MaxConnections: s.GetMaxConnections(), Goroutines: s.GetGoroutines(),
		LogFailure: s.GetLogFailure(),
	}
	out.Suspects = suspectsOf(s)
	if s.GetTakenAt() != nil {
		out.TakenAt = s.GetTakenAt().AsTime()
	}
	if s.GetLastActivity() != nil {
		out.LastActivity = s.GetLastActivity().AsTime()
	}
	return out
}

// subject is the hub as that which the checkers look at.
type subject App

func (s *subject) Generation() uint64 { return s.keeper.Snapshot().LastGeneration }

// Settle waits for the answer to a heartbeat that was sent after since, or for
// supervision to have replaced or given up the hub.
func (s *subject) Settle(ctx context.Context, since time.Time) {
	generation := s.keeper.Snapshot().LastGeneration
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		hub := s.keeper.Snapshot()
		alive := hub.State == hubproc.Running && hub.LastHeartbeat.Add(-hub.RoundTrip).After(since)
		replaced := hub.State == hubproc.Running && hub.LastGeneration != generation
		if alive || replaced || hub.State == hubproc.GivenUp || hub.State == hubproc.Stopped {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// strategyPlugin is the recovery plugin that the configuration names, or nil.
func (a *App) strategyPlugin() *pluginhost.Instance {
	p, err := a.plugins.Instance(a.inForce().Recovery.Strategy.Plugin())
	if err != nil {
		return nil
	}
	return p
}

func (a *App) strategy() monitor.Strategy {
	if p := a.strategyPlugin(); p != nil {
		return p
	}
	return nil
}

// actor takes the actions.
type actor App

// Actions lists the host's actions and those that the strategy brings with it.
func (s *actor) Actions() []recovery.ActionState {
	a := (*App)(s)
	var states []recovery.ActionState
	disabled := disabledActions(a.inForce().Recovery.Actions)
	for _, action := range recovery.Actions() {
		state := recovery.ActionState{Action: action, Applicable: true}
		switch hub := a.keeper.Snapshot(); {
		case disabled[action]:
			state.Applicable, state.Reason = false, "it is switched off in the configuration"
		case action == recovery.ClearConnections && hub.State != hubproc.Running:
			state.Applicable, state.Reason = false, fmt.Sprintf("the hub is %s: it has no connections to clear", hub.State)
		case action == recovery.QuarantineOffender:
			found, why := a.offenders()
			state.Applicable, state.Reason = len(found) > 0, why
		}
		states = append(states, state)
	}
	if p := a.strategyPlugin(); p != nil {
		for _, own := range p.Snapshot().Info.Actions {
			states = append(states, recovery.ActionState{Action: recovery.Action(own.Name), Applicable: true})
		}
	}
	return states
}

// Act takes one action.
func (s *actor) Act(ctx context.Context, order monitor.Order) error {
	a := (*App)(s)
	switch order.Action {
	case recovery.QuarantineOffender:
		return a.quarantineOffenders(ctx, order)
	case recovery.ClearConnections:
		closed, err := a.keeper.ClearConnections(ctx, order.Reason)
		if err == nil {
			a.log.Info("connections cleared", "attempt", order.Attempt, "closed", closed)
		}
		return err
	case recovery.RestartService:
		return a.keeper.Restart(ctx, order.Reason)
	case recovery.EmergencyStop:
		return a.emergencyStop(ctx, order)
	}
	if p := a.strategyPlugin(); p != nil {
		message, err := p.Execute(ctx, pluginhost.Execution{Action: order.Action, Key: order.Attempt, Incident: order.Incident})
		if err == nil {
			a.log.Info("the strategy's own action is done", "action", order.Action, "attempt", order.Attempt, "message", message)
		}
		return err
	}
	return fmt.Errorf("no strategy is there to execute %s", order.Action)
}

// emergencyStop takes the hub down, tells its clients, and ends host, or holds
// it with the admin side up.
func (a *App) emergencyStop(ctx context.Context, order monitor.Order) error {
	a.log.Error("emergency stop: the hub is taken down", "incident", order.Incident, "reason", order.Reason)
	err := a.keeper.Halt(ctx, order.Reason)
	if a.inForce().Recovery.EmergencyStop == "hold" {
		a.hold()
		return err
	}
	a.emergency <- fmt.Sprintf("%s (%s)", order.Reason, order.Incident)
	return err
}
