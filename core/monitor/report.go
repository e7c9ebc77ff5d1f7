package monitor

import (
	"slices"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

// take makes a report of a round and says whether the strategy is to be asked.
func (m *Monitor) take(now time.Time, f round) (ask bool) {
	m.sequence++
	verdicts := make([]health.Verdict, len(f.results))
	unloaded := make([]health.Verdict, len(f.results))
	m.checks = make([]CheckState, len(f.results))
	m.damp(&f)
	for i, res := range f.results {
		v := res.Verdict(f.checks[i].Optional)
		verdicts[i] = v
		v.Optional = true // what nobody could look at is no illness of the hub
		v.Status, v.Metrics = res.WithoutLoad(), slices.DeleteFunc(slices.Clone(v.Metrics), func(m health.Metric) bool { return m.Load })
		if cause := indexOf(f.results, res.SymptomOf); cause >= 0 && f.results[cause].WithoutLoad().Severity() < v.Status.Severity() {
			v.Status, v.Metrics = f.results[cause].WithoutLoad(), nil // the cause is treated first
		}
		unloaded[i] = v
		m.checks[i] = CheckState{Name: res.Check, Optional: f.checks[i].Optional, Timeout: f.checks[i].Timeout, Result: res}
	}
	m.report = health.Report{
		Sequence: m.sequence, Time: now, Results: f.results, Duration: f.took, Generation: f.generation,
		Status: health.Join(m.opts.Aggregation, verdicts), WithoutLoad: health.Join(m.opts.Aggregation, unloaded),
	}
	if m.report.Status != health.Unknown {
		m.knownAt = now
	}
	change, changed := m.history.Add(m.report)
	if hook := m.opts.Hooks.Report; hook != nil {
		hook(m.report)
	}
	if hook := m.opts.Hooks.Transition; hook != nil && changed {
		hook(change, m.report)
	}
	if len(f.checks) == 0 {
		return false // nobody looks: there is nothing to be ill
	}
	o := m.manager.Observe(now, m.report)
	if hook := m.opts.Hooks.Incident; hook != nil && o.Opened != nil {
		hook(*o.Opened, true)
	}
	m.tellRecovery(o.Judged)
	if hook := m.opts.Hooks.SafeModeOver; hook != nil && o.SafeModeOver {
		hook()
	}
	if hook := m.opts.Hooks.Incident; hook != nil && o.Closed != nil {
		hook(*o.Closed, false)
	}
	return o.Ask
}

// damp gives the results of a round as they count: those of checks that are gone
// are forgotten.
func (m *Monitor) damp(f *round) {
	dampers, dependsOn := map[string]*health.Damper{}, map[string][]string{}
	for i, c := range f.checks {
		d := m.dampers[c.Name]
		if d == nil {
			d = new(health.Damper)
		}
		dampers[c.Name], dependsOn[c.Name] = d, c.DependsOn
		cfg := m.opts.Damp
		if c.Rise > 0 {
			cfg.Rise = c.Rise
		}
		if c.Fall > 0 {
			cfg.Fall = c.Fall
		}
		f.results[i] = d.Add(cfg, f.results[i])
	}
	m.dampers = dampers
	f.results = health.Symptoms(f.results, dependsOn)
}

func indexOf(results []health.Result, check string) int {
	return slices.IndexFunc(results, func(r health.Result) bool { return r.Check == check })
}
