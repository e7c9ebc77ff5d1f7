package sdk

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// The functions of this file turn what comes over the wire into the author's
// types. They are pure and total: nil gives the zero value, a word from a newer
// API its "unknown".

func timeFromProto(t *timestamppb.Timestamp) time.Time {
	if t == nil || !t.IsValid() {
		return time.Time{}
	}
	return t.AsTime()
}

func statusFromProto(s pluginv1.Status) Status {
	switch s {
	case pluginv1.Status_STATUS_HEALTHY:
		return Healthy
	case pluginv1.Status_STATUS_WARNING:
		return Warning
	case pluginv1.Status_STATUS_CRITICAL:
		return Critical
	}
	return Unknown
}

func outcomeFromProto(o pluginv1.Outcome) Outcome {
	switch o {
	case pluginv1.Outcome_OUTCOME_PENDING:
		return OutcomePending
	case pluginv1.Outcome_OUTCOME_CURED:
		return OutcomeCured
	case pluginv1.Outcome_OUTCOME_NOT_CURED:
		return OutcomeNotCured
	case pluginv1.Outcome_OUTCOME_FAILED:
		return OutcomeFailed
	case pluginv1.Outcome_OUTCOME_TIMED_OUT:
		return OutcomeTimedOut
	}
	return OutcomeUnknown
}

// eachFromProto translates a list; an empty one gives nil.
func eachFromProto[P, A any](list []P, translate func(P) A) []A {
	if len(list) == 0 {
		return nil
	}
	out := make([]A, len(list))
	for i, p := range list {
		out[i] = translate(p)
	}
	return out
}

func requestFromProto(r *pluginv1.CheckRequest) Request {
	return Request{
		CheckID:    r.GetCheckId(),
		Target:     targetFromProto(r.GetTarget()),
		Statistics: statisticsFromProto(r.GetStatistics()),
		Samples:    eachFromProto(r.GetSamples(), sampleFromProto),
		Now:        timeFromProto(r.GetNow()),
	}
}

func targetFromProto(t *pluginv1.Target) Target {
	return Target{
		HostPID:       int(t.GetHostPid()),
		HubPID:        int(t.GetHubPid()),
		HubGeneration: t.GetHubGeneration(),
		Host:          t.GetHost(),
		Port:          int(t.GetPort()),
		Addresses:     t.GetAddresses(),
		Path:          t.GetPath(),
		TLS:           t.GetTls(),
		ProbeSecret:   t.GetProbeSecret(),
	}
}

func statisticsFromProto(s *pluginv1.HubStatistics) *Statistics {
	if s == nil {
		return nil
	}
	return &Statistics{
		Generation:        s.GetGeneration(),
		ConnectedClients:  s.GetConnectedClients(),
		ClientsServed:     s.GetClientsServed(),
		EventsProcessed:   s.GetEventsProcessed(),
		EventsFailed:      s.GetEventsFailed(),
		Errors:            s.GetErrors(),
		LastActivity:      timeFromProto(s.GetLastActivity()),
		ClientDescriptors: s.GetClientDescriptors(),
		HistorySize:       s.GetHistorySize(),
		TakenAt:           timeFromProto(s.GetTakenAt()),
		MaxConnections:    s.GetMaxConnections(),
		Goroutines:        s.GetGoroutines(),
		LogFailure:        s.GetLogFailure(),
	}
}

func sampleFromProto(s *pluginv1.Sample) Sample {
	return Sample{TakenAt: timeFromProto(s.GetTakenAt()), Generation: s.GetGeneration(), Counters: s.GetCounters()}
}

func metricFromProto(m *pluginv1.Metric) Metric {
	out := Metric{
		Name:    m.GetName(),
		Labels:  m.GetLabels(),
		Status:  statusFromProto(m.GetStatus()),
		Unit:    m.GetUnit(),
		Message: m.GetMessage(),
		Load:    m.GetLoad(),
	}
	switch v := m.GetValue().(type) {
	case *pluginv1.Metric_Number:
		out.Value = Value{kind: valueNumber, number: v.Number}
	case *pluginv1.Metric_Text:
		out.Value = Value{kind: valueText, text: v.Text}
	case *pluginv1.Metric_Flag:
		out.Value = Value{kind: valueFlag, flag: v.Flag}
	}
	if m != nil && m.Threshold != nil {
		out.Threshold = new(m.GetThreshold())
	}
	return out
}

func situationFromProto(r *pluginv1.DecideRequest) Situation {
	return Situation{
		Now:         timeFromProto(r.GetNow()),
		Report:      reportFromProto(r.GetReport()),
		Incident:    incidentFromProto(r.GetIncident()),
		History:     eachFromProto(r.GetHistory(), reportFromProto),
		Transitions: eachFromProto(r.GetTransitions(), transitionFromProto),
		Actions:     eachFromProto(r.GetActions(), actionStateFromProto),
		Effects:     eachFromProto(r.GetEffects(), effectFromProto),
		Statistics:  statisticsFromProto(r.GetStatistics()),
		Suspects:    eachFromProto(r.GetSuspects(), suspectFromProto),
	}
}

func suspectFromProto(s *pluginv1.Suspect) Suspect {
	return Suspect{
		Kind: s.GetKind(), ID: s.GetId(), Measure: s.GetMeasure(), Share: s.GetShare(), Rate: s.GetRate(), Clients: s.GetClients(),
	}
}

func reportFromProto(r *pluginv1.Report) Report {
	return Report{
		Sequence:          r.GetSequence(),
		Time:              timeFromProto(r.GetTime()),
		Status:            statusFromProto(r.GetStatus()),
		StatusWithoutLoad: statusFromProto(r.GetStatusWithoutLoad()),
		Checks:            eachFromProto(r.GetResults(), checkResultFromProto),
	}
}

func checkResultFromProto(r *pluginv1.Result) CheckResult {
	return CheckResult{
		Check:      r.GetCheck(),
		Status:     statusFromProto(r.GetStatus()),
		Message:    r.GetMessage(),
		ObservedAt: timeFromProto(r.GetObservedAt()),
		Duration:   time.Duration(r.GetDurationMs() * float64(time.Millisecond)),
		Metrics:    eachFromProto(r.GetMetrics(), metricFromProto),
		Errors:     r.GetErrors(),
		Generation: r.GetGeneration(),
	}
}

func transitionFromProto(t *pluginv1.Transition) Transition {
	return Transition{Time: timeFromProto(t.GetTime()), From: statusFromProto(t.GetFrom()), To: statusFromProto(t.GetTo())}
}

func incidentFromProto(i *pluginv1.Incident) Incident {
	return Incident{
		ID:              i.GetId(),
		OpenedAt:        timeFromProto(i.GetOpenedAt()),
		Causes:          i.GetCauses(),
		Attempts:        eachFromProto(i.GetAttempts(), attemptFromProto),
		WarningLoggedAt: timeFromProto(i.GetWarningLoggedAt()),
	}
}

func attemptFromProto(a *pluginv1.Attempt) Attempt {
	return Attempt{
		ID:        a.GetId(),
		Action:    Action(a.GetAction()),
		StartedAt: timeFromProto(a.GetStartedAt()),
		EndedAt:   timeFromProto(a.GetEndedAt()),
		Outcome:   outcomeFromProto(a.GetOutcome()),
		Error:     a.GetError(),
	}
}

func actionStateFromProto(a *pluginv1.ActionState) ActionState {
	return ActionState{Action: Action(a.GetAction()), Applicable: a.GetApplicable(), Reason: a.GetReason()}
}

func effectFromProto(e *pluginv1.Effect) Effect {
	return Effect{
		Cause:    e.GetCause(),
		Action:   Action(e.GetAction()),
		Cured:    e.GetCured(),
		NotCured: e.GetNotCured(),
		Last:     timeFromProto(e.GetLast()),

		CuredWeight:    e.GetCuredWeight(),
		NotCuredWeight: e.GetNotCuredWeight(),
	}
}

func executionFromProto(r *pluginv1.ExecuteRequest) Execution {
	return Execution{
		Action:         Action(r.GetAction()),
		IdempotencyKey: r.GetIdempotencyKey(),
		IncidentID:     r.GetIncidentId(),
		Deadline:       timeFromProto(r.GetDeadline()),
	}
}
