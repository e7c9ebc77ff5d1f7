package pluginhost

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// maxHistoryBytes and maxHistoryReports bound the history that a strategy gets.
const (
	maxHistoryBytes   = 1 << 20
	maxHistoryReports = 20
)

func timeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// validText keeps one stray byte from failing a whole message.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func statusToProto(s health.Status) pluginv1.Status {
	switch s {
	case health.Healthy:
		return pluginv1.Status_STATUS_HEALTHY
	case health.Warning:
		return pluginv1.Status_STATUS_WARNING
	case health.Critical:
		return pluginv1.Status_STATUS_CRITICAL
	}
	return pluginv1.Status_STATUS_UNSPECIFIED
}

func outcomeToProto(o recovery.Outcome) pluginv1.Outcome {
	switch o {
	case recovery.Pending:
		return pluginv1.Outcome_OUTCOME_PENDING
	case recovery.Cured:
		return pluginv1.Outcome_OUTCOME_CURED
	case recovery.NotCured:
		return pluginv1.Outcome_OUTCOME_NOT_CURED
	case recovery.Failed:
		return pluginv1.Outcome_OUTCOME_FAILED
	case recovery.TimedOut:
		return pluginv1.Outcome_OUTCOME_TIMED_OUT
	}
	return pluginv1.Outcome_OUTCOME_UNSPECIFIED
}

func metricToProto(m health.Metric) *pluginv1.Metric {
	p := &pluginv1.Metric{
		Name: m.Name, Labels: m.Labels, Status: statusToProto(m.Status), Threshold: m.Threshold,
		Unit: m.Unit, Message: validText(m.Message), Load: m.Load,
	}
	if n, ok := m.Value.AsNumber(); ok {
		p.Value = &pluginv1.Metric_Number{Number: n}
	} else if s, ok := m.Value.AsText(); ok {
		p.Value = &pluginv1.Metric_Text{Text: validText(s)}
	} else if b, ok := m.Value.AsFlag(); ok {
		p.Value = &pluginv1.Metric_Flag{Flag: b}
	}
	return p
}

func resultToProto(r health.Result) *pluginv1.Result {
	p := &pluginv1.Result{
		Check: r.Check, Status: statusToProto(r.Status), Message: validText(r.Message), ObservedAt: timeToProto(r.Time),
		DurationMs: health.Milliseconds(r.Duration), Generation: r.Generation,
	}
	for _, e := range r.Errors {
		p.Errors = append(p.Errors, validText(e))
	}
	for _, m := range r.Metrics {
		p.Metrics = append(p.Metrics, metricToProto(m))
	}
	return p
}

func reportToProto(r health.Report) *pluginv1.Report {
	p := &pluginv1.Report{
		Sequence: r.Sequence, Time: timeToProto(r.Time), Status: statusToProto(r.Status), StatusWithoutLoad: statusToProto(r.WithoutLoad),
	}
	for _, res := range r.Results {
		p.Results = append(p.Results, resultToProto(res))
	}
	return p
}

// pastReportToProto spells out only what is not healthy.
func pastReportToProto(r health.Report) *pluginv1.Report {
	var ill []health.Result
	for _, res := range r.Results {
		if res.Status != health.Healthy {
			ill = append(ill, res)
		}
	}
	r.Results = ill
	return reportToProto(r)
}

func statisticsToProto(s *Statistics) *pluginv1.HubStatistics {
	if s == nil {
		return nil
	}
	return &pluginv1.HubStatistics{
		Generation: s.Generation, ConnectedClients: s.ConnectedClients, ClientsServed: s.ClientsServed,
		EventsProcessed: s.EventsProcessed, EventsFailed: s.EventsFailed, Errors: s.Errors,
		LastActivity: timeToProto(s.LastActivity), ClientDescriptors: s.ClientDescriptors, HistorySize: s.HistorySize,
		TakenAt: timeToProto(s.TakenAt), MaxConnections: s.MaxConnections, Goroutines: s.Goroutines, LogFailure: s.LogFailure,
	}
}

func checkToProto(in CheckInput) *pluginv1.CheckRequest {
	p := &pluginv1.CheckRequest{
		CheckId: in.ID,
		Target: &pluginv1.Target{
			HostPid: int64(in.Target.HostPID), HubPid: int64(in.Target.HubPID), HubGeneration: in.Target.HubGeneration,
			Host: in.Target.Host, Port: int32(in.Target.Port), Addresses: in.Target.Addresses, Path: in.Target.Path,
			Tls: in.Target.TLS, ProbeSecret: in.Target.ProbeSecret,
		},
		Statistics: statisticsToProto(in.Statistics),
		Now:        timeToProto(in.Now),
	}
	for _, s := range in.Samples {
		p.Samples = append(p.Samples, &pluginv1.Sample{TakenAt: timeToProto(s.Time), Generation: s.Generation, Counters: s.Counters})
	}
	return p
}

func incidentToProto(i recovery.Incident) *pluginv1.Incident {
	p := &pluginv1.Incident{Id: i.ID, OpenedAt: timeToProto(i.Opened), Causes: i.Causes, WarningLoggedAt: timeToProto(i.WarningLogged)}
	for _, a := range i.Attempts {
		p.Attempts = append(p.Attempts, &pluginv1.Attempt{
			Id: a.ID, Action: string(a.Action), StartedAt: timeToProto(a.Started), EndedAt: timeToProto(a.Ended),
			Outcome: outcomeToProto(a.Outcome), Error: validText(a.Err),
		})
	}
	return p
}

// maxSuspects bounds those that a strategy is told of.
const maxSuspects = 50

func suspectsToProto(s *Statistics) []*pluginv1.Suspect {
	if s == nil {
		return nil
	}
	var list []*pluginv1.Suspect
	for _, one := range s.Suspects[:min(len(s.Suspects), maxSuspects)] {
		list = append(list, &pluginv1.Suspect{
			Kind: one.Kind, Id: validText(one.ID), Measure: one.Measure, Share: one.Share, Rate: one.Rate, Clients: one.Clients,
		})
	}
	return list
}

// decideToProto writes a request; of the history, as many of the newest reports
// as fit.
func decideToProto(r recovery.Request, stats *Statistics) *pluginv1.DecideRequest {
	p := &pluginv1.DecideRequest{
		Now: timeToProto(r.Now), Report: reportToProto(r.Report), Incident: incidentToProto(r.Incident), Statistics: statisticsToProto(stats),
	}
	p.Suspects = suspectsToProto(stats)
	size := 0
	for _, report := range r.History[:min(len(r.History), maxHistoryReports)] {
		past := pastReportToProto(report)
		if size += proto.Size(past); size > maxHistoryBytes {
			break
		}
		p.History = append(p.History, past)
	}
	for _, t := range r.Transitions {
		p.Transitions = append(p.Transitions, &pluginv1.Transition{Time: timeToProto(t.Time), From: statusToProto(t.From), To: statusToProto(t.To)})
	}
	for _, a := range r.Actions {
		p.Actions = append(p.Actions, &pluginv1.ActionState{Action: string(a.Action), Applicable: a.Applicable, Reason: validText(a.Reason)})
	}
	for _, e := range r.Effects {
		p.Effects = append(p.Effects, &pluginv1.Effect{
			Cause: e.Cause, Action: string(e.Action), Cured: uint32(max(0, e.Cured)), NotCured: uint32(max(0, e.NotCured)), Last: timeToProto(e.Last),
			CuredWeight: e.CuredWeight, NotCuredWeight: e.NotCuredWeight,
		})
	}
	return p
}
