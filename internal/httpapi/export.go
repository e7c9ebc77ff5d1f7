package httpapi

import (
	"fmt"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

// healthExport is the monitor's diagnostics.
type healthExport struct {
	MonitorInfo      monitorInfo         `json:"monitor_info"`
	Checkers         []string            `json:"checkers"`
	CurrentStatus    *health.Report      `json:"current_status"`
	AggregatedStatus any                 `json:"aggregated_status"`
	MonitoringStats  monitoringStats     `json:"monitoring_stats"`
	HistorySummary   historySummary      `json:"history_summary"`
	Transitions      []health.Transition `json:"transitions"`
}

type monitorInfo struct {
	CheckInterval     float64 `json:"check_interval"`
	HistorySize       int     `json:"history_size"`
	AggregationWindow float64 `json:"aggregation_window"`
	MonitoringActive  bool    `json:"monitoring_active"`
	CheckersCount     int     `json:"checkers_count"`
	CallbacksCount    int     `json:"callbacks_count"`
}

type monitoringStats struct {
	ChecksPerformed        uint64   `json:"checks_performed"`
	ChecksFailed           uint64   `json:"checks_failed"`
	AverageCheckDurationMS float64  `json:"average_check_duration_ms"`
	LastCheckTimestamp     *float64 `json:"last_check_timestamp"`
}

type historySummary struct {
	TotalChecks int      `json:"total_checks"`
	OldestCheck *instant `json:"oldest_check"`
	NewestCheck *instant `json:"newest_check"`
}

type aggregated struct {
	Period                 string          `json:"period"`
	WindowSeconds          float64         `json:"window_seconds"`
	ChecksCount            int             `json:"checks_count"`
	OverallStatus          string          `json:"overall_status"`
	StatusDistribution     map[string]int  `json:"status_distribution"`
	AverageMetricsPerCheck float64         `json:"average_metrics_per_check"`
	TotalErrors            int             `json:"total_errors"`
	AverageDurationMS      float64         `json:"average_duration_ms"`
	MonitoringStats        monitoringStats `json:"monitoring_stats"`
}

// noData is the aggregate of a window in which nobody looked.
type noData struct {
	Period        string  `json:"period"`
	WindowSeconds float64 `json:"window_seconds"`
	ChecksCount   int     `json:"checks_count"`
	OverallStatus string  `json:"overall_status"`
}

func (m moment) healthExport() healthExport {
	mon := m.Monitoring
	e := healthExport{
		MonitorInfo: monitorInfo{
			CheckInterval: mon.Interval.Seconds(), AggregationWindow: mon.Window.Seconds(), MonitoringActive: mon.Current.Enabled && !m.view.Stale,
			CheckersCount: len(mon.Current.Checks), CallbacksCount: mon.Callbacks,
		},
		Checkers: append([]string{}, mon.Current.CheckNames()...), MonitoringStats: statsBody(m.historyStats()),
		AggregatedStatus: noData{Period: "no_data", WindowSeconds: mon.Window.Seconds(), OverallStatus: health.Unknown.String()},
		Transitions:      []health.Transition{},
	}
	if report := mon.Current.Report; report.Sequence > 0 {
		e.CurrentStatus = &report
	}
	if mon.History == nil {
		return e
	}
	e.MonitorInfo.HistorySize = mon.History.Size()
	e.Transitions = append(e.Transitions, mon.History.Transitions(m.now.Add(-mon.Window))...)
	if reports := mon.History.Newest(mon.History.Size()); len(reports) > 0 {
		e.HistorySummary = historySummary{
			TotalChecks: len(reports), NewestCheck: optionalInstant(reports[0].Time), OldestCheck: optionalInstant(reports[len(reports)-1].Time),
		}
	}
	if sum := mon.History.Aggregate(mon.Window, m.now); sum.Checks > 0 && mon.Current.Enabled {
		distribution := map[string]int{}
		for _, s := range []health.Status{health.Healthy, health.Warning, health.Critical, health.Unknown} {
			distribution[s.String()] = sum.Distribution[s]
		}
		e.AggregatedStatus = aggregated{
			Period: fmt.Sprintf("last_%g_seconds", mon.Window.Seconds()), WindowSeconds: mon.Window.Seconds(), ChecksCount: sum.Checks,
			OverallStatus: sum.Status.String(), StatusDistribution: distribution, AverageMetricsPerCheck: round3(sum.Metrics),
			TotalErrors: sum.Errors, AverageDurationMS: health.Milliseconds(sum.Duration), MonitoringStats: statsBody(sum.Stats),
		}
	}
	return e
}

func statsBody(s health.Stats) monitoringStats {
	return monitoringStats{
		ChecksPerformed: s.ChecksPerformed, ChecksFailed: s.ChecksFailed,
		AverageCheckDurationMS: health.Milliseconds(s.AverageDuration), LastCheckTimestamp: optional(health.Seconds(s.LastCheck)),
	}
}

// recoveryExport is the recovery status, with what we know beside it.
type recoveryExport struct {
	Enabled            bool                `json:"enabled"`
	Available          bool                `json:"available"`
	Why                string              `json:"unavailable_because,omitempty"`
	RecoveryInProgress bool                `json:"recovery_in_progress"`
	LastRecoveryTime   *float64            `json:"last_recovery_time"`
	RecoveryCount      int                 `json:"recovery_count"`
	Strategy           string              `json:"strategy"`
	CircuitBreaker     breakerBody         `json:"circuit_breaker"`
	RecoveryStats      recoveryStats       `json:"recovery_stats"`
	RecentRecoveries   []recoveryEventBody `json:"recent_recoveries"`
	Config             recoveryConfig      `json:"config"`
	Incident           *incidentBody       `json:"incident"`
	RecentDecisions    []decisionBody      `json:"recent_decisions"`
}

type breakerBody struct {
	State              recovery.BreakerState `json:"state"`
	FailureCount       int                   `json:"failure_count"`
	SuccessCount       int                   `json:"success_count"`
	LastFailureTime    *float64              `json:"last_failure_time"`
	StateChangeTime    *float64              `json:"state_change_time"`
	TimeInCurrentState float64               `json:"time_in_current_state"`
	RemainingSeconds   float64               `json:"remaining_seconds"`
	CanProceed         bool                  `json:"can_proceed"`
	Config             breakerConfig         `json:"config"`
}

type breakerConfig struct {
	FailureThreshold int     `json:"failure_threshold"`
	TimeoutSeconds   float64 `json:"timeout_seconds"`
	SuccessThreshold int     `json:"success_threshold"`
}

type recoveryStats struct {
	TotalRecoveries           int                     `json:"total_recoveries"`
	SuccessfulRecoveries      int                     `json:"successful_recoveries"`
	FailedRecoveries          int                     `json:"failed_recoveries"`
	ActionsPerformed          map[recovery.Action]int `json:"actions_performed"`
	AverageRecoveryDurationMS float64                 `json:"average_recovery_duration_ms"`
}

type recoveryEventBody struct {
	instant
	Action       recovery.Action  `json:"action"`
	Trigger      string           `json:"trigger"`
	HealthStatus string           `json:"health_status"`
	Success      bool             `json:"success"`
	DurationMS   float64          `json:"duration_ms"`
	ErrorMessage *string          `json:"error_message"`
	Outcome      recovery.Outcome `json:"outcome"`
	Incident     string           `json:"incident"`
	Reason       string           `json:"reason,omitempty"`
	DryRun       bool             `json:"dry_run,omitempty"`
}

type recoveryConfig struct {
	CheckInterval       float64 `json:"check_interval"`
	MaxRecoveryAttempts int     `json:"max_recovery_attempts"`
	RecoveryTimeout     float64 `json:"recovery_timeout"`
	MinRecoveryInterval float64 `json:"min_recovery_interval"`
	Grace               float64 `json:"grace"`
}

type incidentBody struct {
	ID       string        `json:"id"`
	OpenedAt string        `json:"opened_at"`
	Causes   []string      `json:"causes"`
	Attempts []attemptBody `json:"attempts"`
}

type attemptBody struct {
	ID        string           `json:"id"`
	Action    recovery.Action  `json:"action"`
	StartedAt string           `json:"started_at"`
	EndedAt   *string          `json:"ended_at"`
	Outcome   recovery.Outcome `json:"outcome"`
	Error     string           `json:"error,omitempty"`
}

type decisionBody struct {
	instant
	ID       string           `json:"id"`
	Incident string           `json:"incident,omitempty"`
	Report   uint64           `json:"report"`
	Health   string           `json:"health_status"`
	Action   recovery.Action  `json:"action"`
	Verdict  recovery.Verdict `json:"verdict"`
	Rule     string           `json:"rule"`
	Reason   string           `json:"reason"`
	Attempt  string           `json:"attempt,omitempty"`
	DryRun   bool             `json:"dry_run,omitempty"`
	// Repeated is how often the same was decided in a row, Since when first.
	Repeated int    `json:"repeated"`
	Since    string `json:"since"`
}

// trigger is what starts every recovery; the reference has no other.
const trigger = "health_check"

// recent is how many recoveries the status lists.
const recent = 10

func (m moment) recoveryExport() recoveryExport {
	rec := m.Monitoring.Current.Recovery
	b := rec.Breaker.Status(m.now)
	e := recoveryExport{
		Enabled: rec.Enabled, Available: m.Recovery.Available, RecoveryInProgress: rec.InProgress,
		LastRecoveryTime: optional(health.Seconds(rec.LastAttempt)), RecoveryCount: rec.Stats.Total, Strategy: m.Recovery.Strategy,
		CircuitBreaker: breakerBody{
			State: b.State, FailureCount: b.Failures, SuccessCount: b.Successes, LastFailureTime: optional(health.Seconds(b.LastFail)),
			StateChangeTime: optional(health.Seconds(b.Changed)), RemainingSeconds: round3(b.Remaining.Seconds()), CanProceed: b.CanProceed,
			Config: breakerConfig{b.Config.FailureThreshold, b.Config.Timeout.Seconds(), b.Config.SuccessThreshold},
		},
		RecoveryStats: recoveryStats{
			TotalRecoveries: rec.Stats.Total, SuccessfulRecoveries: rec.Stats.Successful, FailedRecoveries: rec.Stats.Failed,
			ActionsPerformed: map[recovery.Action]int{},
		},
		RecentRecoveries: []recoveryEventBody{}, RecentDecisions: []decisionBody{},
		Config: recoveryConfig{
			CheckInterval: m.Monitoring.Interval.Seconds(), MaxRecoveryAttempts: rec.Config.MaxAttempts, RecoveryTimeout: rec.Config.Timeout.Seconds(),
			MinRecoveryInterval: rec.Config.MinInterval.Seconds(), Grace: rec.Config.Grace.Seconds(),
		},
	}
	if !m.Recovery.Available {
		e.Why = m.Recovery.Why
	}
	if !b.Changed.IsZero() {
		e.CircuitBreaker.TimeInCurrentState = round3(b.InState.Seconds())
	}
	for _, a := range recovery.Actions() {
		e.RecoveryStats.ActionsPerformed[a] = 0
	}
	for a, n := range rec.Stats.Actions {
		e.RecoveryStats.ActionsPerformed[a] = n
	}
	if rec.Stats.Total > 0 {
		e.RecoveryStats.AverageRecoveryDurationMS = health.Milliseconds(rec.Stats.Duration / time.Duration(rec.Stats.Total))
	}
	for _, ev := range rec.Events[:min(recent, len(rec.Events))] {
		e.RecentRecoveries = append(e.RecentRecoveries, recoveryEventBody{
			instant: instantOf(ev.Time), Action: ev.Action, Trigger: trigger, HealthStatus: ev.Health.String(), Success: ev.Success,
			DurationMS: health.Milliseconds(ev.Duration), ErrorMessage: optional(ev.Err), Outcome: ev.Outcome, Incident: ev.Incident, Reason: ev.Reason, DryRun: ev.DryRun,
		})
	}
	if inc := rec.Incident; inc != nil {
		e.Incident = &incidentBody{ID: inc.ID, OpenedAt: stamp(inc.Opened), Causes: append([]string{}, inc.Causes...), Attempts: []attemptBody{}}
		for _, a := range inc.Attempts {
			e.Incident.Attempts = append(e.Incident.Attempts, attemptBody{a.ID, a.Action, stamp(a.Started), optionalStamp(a.Ended), a.Outcome, a.Err})
		}
	}
	for _, d := range m.Monitoring.Current.Decisions {
		e.RecentDecisions = append(e.RecentDecisions, decisionBody{
			instant: instantOf(d.Time), ID: d.ID, Incident: d.Incident, Report: d.Inputs.Report, Health: d.Inputs.Health.String(), Action: d.Proposal.Action,
			Verdict: d.Verdict, Rule: d.Rule, Reason: d.Reason, Attempt: d.Attempt, DryRun: d.DryRun, Repeated: d.Repeated + 1, Since: stamp(d.First),
		})
	}
	return e
}
