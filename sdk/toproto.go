package sdk

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/proto/handshake"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// The functions of this file turn the author's types into what goes over the
// wire. They are pure. Text that is no UTF-8 is repaired, since one such byte
// would cost the whole answer.

func textToProto[S ~string](s S) string { return strings.ToValidUTF8(string(s), "\uFFFD") }

func timeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func durationToProto(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func statusToProto(s Status) pluginv1.Status {
	switch s {
	case Healthy:
		return pluginv1.Status_STATUS_HEALTHY
	case Warning:
		return pluginv1.Status_STATUS_WARNING
	case Critical:
		return pluginv1.Status_STATUS_CRITICAL
	}
	return pluginv1.Status_STATUS_UNSPECIFIED
}

// resultToProto translates a result that was returned at now.
func resultToProto(r Result, now time.Time) *pluginv1.CheckResponse {
	observed := r.ObservedAt
	if observed.IsZero() {
		observed = now
	}
	out := &pluginv1.CheckResponse{
		Status:     statusToProto(r.overall()),
		Message:    textToProto(r.message()),
		ObservedAt: timeToProto(observed),
	}
	for _, m := range r.Metrics {
		out.Metrics = append(out.Metrics, metricToProto(m))
	}
	if len(r.Counters) > 0 {
		out.Counters = make(map[string]float64, len(r.Counters))
		for name, n := range r.Counters {
			out.Counters[textToProto(name)] = n
		}
	}
	return out
}

func metricToProto(m Metric) *pluginv1.Metric {
	out := &pluginv1.Metric{
		Name:    textToProto(m.Name),
		Status:  statusToProto(m.Status),
		Unit:    textToProto(m.Unit),
		Message: textToProto(m.Message),
		Load:    m.Load,
	}
	if len(m.Labels) > 0 {
		out.Labels = make(map[string]string, len(m.Labels))
		for k, v := range m.Labels {
			out.Labels[textToProto(k)] = textToProto(v)
		}
	}
	switch m.Value.kind {
	case valueNumber:
		out.Value = &pluginv1.Metric_Number{Number: m.Value.number}
	case valueText:
		out.Value = &pluginv1.Metric_Text{Text: textToProto(m.Value.text)}
	case valueFlag:
		out.Value = &pluginv1.Metric_Flag{Flag: m.Value.flag}
	}
	if m.Threshold != nil {
		out.Threshold = new(*m.Threshold)
	}
	return out
}

func proposalToProto(p Proposal) *pluginv1.DecideResponse {
	return &pluginv1.DecideResponse{Action: textToProto(p.Action), Reason: textToProto(p.Reason), Rule: textToProto(p.Rule)}
}

func diagnosticToProto(d Diagnostic) *pluginv1.Diagnostic {
	severity := pluginv1.Severity_SEVERITY_ERROR
	if d.Warning {
		severity = pluginv1.Severity_SEVERITY_WARNING
	}
	return &pluginv1.Diagnostic{
		Severity: severity,
		Summary:  textToProto(d.Summary),
		Detail:   textToProto(d.Detail),
		Path:     textToProto(d.Path),
	}
}

func diagnosticsToProto(found []Diagnostic) []*pluginv1.Diagnostic {
	var out []*pluginv1.Diagnostic
	for _, d := range found {
		out = append(out, diagnosticToProto(d))
	}
	return out
}

// describeToProto translates what a plugin is, without the parts that come from
// its methods (kinds, capabilities, schema).
func describeToProto(i Info) *pluginv1.DescribeResponse {
	out := &pluginv1.DescribeResponse{
		Name:            textToProto(i.Name),
		Version:         textToProto(i.Version),
		ApiMinor:        handshake.APIMinor,
		CheckName:       textToProto(i.CheckName),
		DefaultInterval: durationToProto(i.Interval),
		DefaultTimeout:  durationToProto(i.Timeout),
	}
	for _, m := range i.Metrics {
		out.Metrics = append(out.Metrics, &pluginv1.MetricDescriptor{
			Name: textToProto(m.Name), Unit: textToProto(m.Unit), Help: textToProto(m.Help), Load: m.Load,
		})
	}
	for _, a := range i.Actions {
		out.Actions = append(out.Actions, &pluginv1.ActionDescriptor{
			Name: textToProto(a.Name), Description: textToProto(a.Description),
		})
	}
	return out
}
