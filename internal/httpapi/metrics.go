package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

// pluginStates are the values of the state label of upkeep_plugin_state. A
// plugin in any other state is shown with that word beside these.
var pluginStates = []string{"starting", "running", "backoff", "quarantined", "refused", "stopped"}

const (
	// maxSeries bounds what plugins can add to upkeep_metric in one scrape.
	maxSeries = 2048
	// maxLabels is how many labels of a plugin's metric are kept.
	maxLabels = 16
	// maxLabelText is how much of a label's value is kept, in bytes.
	maxLabelText = 128
)

// metrics answers /metrics with registries of our own: one for the process,
// and one for this moment.
func (a *api) metrics() func(http.ResponseWriter, *http.Request) {
	process := prometheus.NewPedanticRegistry()
	process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	opts := promhttp.HandlerOpts{
		ErrorLog: a.opts.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Error}), ErrorHandling: promhttp.ContinueOnError,
	}
	return func(w http.ResponseWriter, r *http.Request) {
		now := prometheus.NewPedanticRegistry()
		now.MustRegister(collector{moment: a.moment(), goVersion: a.opts.GoVersion})
		promhttp.HandlerFor(prometheus.Gatherers{process, now}, opts).ServeHTTP(w, r)
	}
}

// collector makes metrics of a moment. It describes nothing beforehand, since
// the labels of upkeep_metric are the plugins' choice.
type collector struct {
	moment
	goVersion string
}

// Describe sends nothing; see collector.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics of the moment. It runs in a goroutine of the
// registry, where a panic would end host.
func (c collector) Collect(out chan<- prometheus.Metric) {
	defer func() {
		if p := recover(); p != nil {
			out <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(fmt.Errorf("panic: %v", p)), fmt.Errorf("panic: %v", p))
		}
	}()
	s := series{out: out, seen: map[string]bool{}}
	m := c.moment
	st := m.Hub.Statistics

	s.gauge("socketio_uptime_seconds", "How long host has been running.", m.uptime)
	s.gauge("socketio_clients_connected", "Clients that are connected now.", float64(st.ConnectedClients))
	s.counter("socketio_events_processed_total", "Events handled to the end.", float64(st.EventsProcessed))
	s.gauge("socketio_health_status", "Overall health: 0 unknown, 1 healthy, 2 warning, 3 critical.", healthNumber(m.view.Status))

	s.gauge("upkeep_build_info", "Always 1; the labels say what is running.", 1, "version", m.Server.Version, "go_version", c.goVersion)
	s.oneHot("upkeep_phase", "What host is doing: 1 for the present phase.", "phase", string(m.Phase),
		[]string{string(Starting), string(Running), string(Stopping), string(Held)})

	s.gauge("upkeep_hub_up", "1 while the hub accepts clients.", truth(m.Hub.Accepting))
	s.gauge("upkeep_hub_generation", "Which hub process of this host this is.", float64(m.Hub.Generation))
	s.gauge("upkeep_hub_missed_heartbeats", "Heartbeats that the hub has missed in a row.", float64(m.Hub.Missed))
	s.gauge("upkeep_hub_history_events", "Events kept for clients that ask for history.", float64(st.HistorySize))
	s.gauge("upkeep_event_log_failed", "1 while the event log cannot be written and events are kept in memory only.", truth(st.LogFailure != ""))
	s.counter("upkeep_sessions_recovered_total", "Clients that came back and got what they had missed.", float64(st.SessionsRecovered))
	s.counter("upkeep_hub_restarts_total", "Times the hub was started again.", float64(m.Hub.Restarts))
	s.counter("upkeep_clients_served_total", "Clients that ever connected.", float64(st.ClientsServed))
	s.counter("upkeep_events_failed_total", "Events that failed by the hub's own fault.", float64(st.EventsFailed))
	s.counter("upkeep_errors_total", "All errors of the hub, refused input included.", float64(st.Errors))

	c.checks(&s)
	c.recoveries(&s)
	c.plugins(&s)
}

func (c collector) checks(s *series) {
	m := c.moment
	s.gauge("upkeep_monitoring_enabled", "1 while health is watched.", truth(m.Monitoring.Current.Enabled))
	s.gauge("upkeep_monitor_stale", "1 while results are overdue.", truth(m.view.Stale))
	seen := map[string]bool{}
	for _, check := range m.view.Checks {
		name := labelText(check.Name)
		if seen[name] {
			continue
		}
		seen[name] = true
		s.oneHot("upkeep_check_status", "Status of a check: 1 for the present one.", "status", check.Status.String(),
			[]string{"healthy", "warning", "critical", "unknown"}, "check", name)
		s.gauge("upkeep_check_duration_seconds", "How long the check took.", check.Result.Duration.Seconds(), "check", name)
		s.gauge("upkeep_check_age_seconds", "How old the check's result is.", check.Age.Seconds(), "check", name)
		if check.Stale {
			continue // what it measured is not so any more
		}
		for _, metric := range check.Result.Metrics {
			s.measured(name, metric)
		}
	}
}

func (c collector) recoveries(s *series) {
	m := c.moment
	rec := m.Monitoring.Current.Recovery
	s.gauge("upkeep_recovery_enabled", "1 while recovery is switched on.", truth(rec.Enabled))
	s.gauge("upkeep_recovery_available", "1 while there is a strategy that can be asked.", truth(m.Recovery.Available))
	s.gauge("upkeep_incident_open", "1 while there is an incident.", truth(rec.Incident != nil))
	s.oneHot("upkeep_breaker_state", "State of the recovery breaker: 1 for the present one.", "state", string(rec.Breaker.State(m.now)),
		[]string{string(recovery.Closed), string(recovery.Open), string(recovery.HalfOpen)})
	counts := map[ActionOutcome]uint64{}
	for _, action := range recovery.Actions() {
		switch {
		case action.IsAttempt():
			for _, outcome := range []recovery.Outcome{recovery.Cured, recovery.NotCured, recovery.Failed, recovery.TimedOut} {
				counts[ActionOutcome{action, outcome}] = 0
			}
		case action == recovery.LogWarning:
			counts[ActionOutcome{action, recovery.Done}] = 0
		}
	}
	for key, n := range m.Recovery.Counts {
		counts[ActionOutcome{recovery.Action(labelText(string(key.Action))), key.Outcome}] += n
	}
	for key, n := range counts {
		s.counter("upkeep_recoveries_total", "Recovery actions, by the outcome that the health after them proved.", float64(n),
			"action", string(key.Action), "outcome", string(key.Outcome))
	}
}

func (c collector) plugins(s *series) {
	m := c.moment
	seen := map[string]bool{}
	for _, p := range m.Plugins {
		name := labelText(p.Name)
		if seen[name] {
			continue
		}
		seen[name] = true
		s.gauge("upkeep_plugin_info", "Always 1; the labels say what the plugin is.", 1, "plugin", name, "kind", labelText(p.Kind), "version", labelText(p.Version))
		s.oneHot("upkeep_plugin_state", "State of a plugin: 1 for the present one.", "state", labelText(p.State), pluginStates, "plugin", name)
		s.counter("upkeep_plugin_restarts_total", "Times the plugin was started again.", float64(p.Restarts), "plugin", name)
		s.counter("upkeep_plugin_reloads_total", "Times another process of the plugin took over.", float64(p.Reloads), "plugin", name)
		s.gauge("upkeep_plugin_reload_failed", "1 while the latest reload of the plugin failed and what was before goes on.", truth(p.ReloadError != ""), "plugin", name)
		if p.Memory > 0 {
			s.gauge("upkeep_plugin_memory_bytes", "Memory that the plugin and the processes that it forked hold resident.", float64(p.Memory), "plugin", name)
		}
		if p.MemoryLimit > 0 {
			s.gauge("upkeep_plugin_memory_limit_bytes", "Memory above which the plugin is replaced.", float64(p.MemoryLimit), "plugin", name)
		}
	}
	s.gauge("upkeep_plugins_skipped", "Entries of the plugin directory that were left out; see /diagnostics.", float64(len(m.Skipped)))
}

// series sends metrics and keeps those of plugins within bounds.
type series struct {
	out  chan<- prometheus.Metric
	seen map[string]bool // upkeep_metric's label sets
}

func (s *series) gauge(name, help string, value float64, labels ...string) {
	s.send(prometheus.GaugeValue, name, help, value, labels)
}

func (s *series) counter(name, help string, value float64, labels ...string) {
	s.send(prometheus.CounterValue, name, help, value, labels)
}

// send makes a metric of pairs of label and value.
func (s *series) send(kind prometheus.ValueType, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
}

// oneHot sends a metric for each word that a state can have: 1 for the present
// one, also when it is none of all, and 0 for the others.
func (s *series) oneHot(name, help, label, present string, all []string, labels ...string) {
	if !slices.Contains(all, present) {
		all = append(slices.Clone(all), present)
	}
	for _, word := range all {
		s.gauge(name, help, truth(word == present), append(slices.Clone(labels), label, word)...)
	}
}

// measured sends what a checker measured, if it is a number or a flag. The
// labels are the checker's, as far as they can be labels.
func (s *series) measured(check string, m health.Metric) {
	value, ok := m.Value.AsNumber()
	if flag, isFlag := m.Value.AsFlag(); isFlag {
		value, ok = truth(flag), true
	}
	if !ok || len(s.seen) >= maxSeries {
		return
	}
	labels := []string{"check", check, "metric", labelText(m.Name)}
	used := map[string]bool{"check": true, "metric": true}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		name := labelName(key)
		if used[name] {
			name = "label_" + name
		}
		if used[name] || len(labels) >= 2*maxLabels {
			continue
		}
		used[name] = true
		labels = append(labels, name, labelText(m.Labels[key]))
	}
	key := strings.Join(labels, "\xff")
	if s.seen[key] {
		return
	}
	s.seen[key] = true
	s.gauge("upkeep_metric", "What checkers measured last; see the metric's name for its unit.", value, labels...)
}

// labelName makes a label's name of what a plugin calls it.
func labelName(text string) string {
	name := strings.TrimLeft(strings.Map(func(r rune) rune {
		if r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, labelText(text)), "_")
	if name == "" || unicode.IsDigit(rune(name[0])) {
		name = "label_" + name
	}
	return name
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// healthNumber is the reference's number for a status.
func healthNumber(s health.Status) float64 {
	switch s {
	case health.Healthy:
		return 1
	case health.Warning:
		return 2
	case health.Critical:
		return 3
	}
	return 0
}

// labelText is a label's value, whoever chose it: valid UTF-8 and not long.
func labelText(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) > maxLabelText {
		text = strings.ToValidUTF8(text[:maxLabelText], "")
	}
	return text
}
