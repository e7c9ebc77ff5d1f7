package pluginhost

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// What one result may hold.
const (
	maxMetrics    = 256
	maxLabels     = 16
	maxLabelValue = 256
	maxCounters   = 256
	maxFindings   = 32
)

var metricName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func validMetricName(s string) bool { return len(s) <= maxWord && metricName.MatchString(s) }

// findings collects what is wrong with an answer; what exceeds 32 is counted.
type findings struct {
	list []string
	more int
}

func (f *findings) add(format string, args ...any) {
	if len(f.list) >= maxFindings {
		f.more++
		return
	}
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

func (f *findings) all() []string {
	if f.more > 0 {
		return append(f.list, fmt.Sprintf("%d more findings of that sort", f.more))
	}
	return f.list
}

// statusFromProto is Unknown and not ok for a value outside the enumeration.
func statusFromProto(p pluginv1.Status) (s health.Status, ok bool) {
	switch p {
	case pluginv1.Status_STATUS_UNSPECIFIED:
		return health.Unknown, true
	case pluginv1.Status_STATUS_HEALTHY:
		return health.Healthy, true
	case pluginv1.Status_STATUS_WARNING:
		return health.Warning, true
	case pluginv1.Status_STATUS_CRITICAL:
		return health.Critical, true
	}
	return health.Unknown, false
}

// checkFromProto takes a checker's answer apart, metric by metric. Whatever was
// sent, the result can be shown, stored and written as JSON; what was wrong
// with it is named in its Errors. A metric that cannot be believed is Unknown,
// one that cannot be named is dropped, and a result that rests on an
// unbelievable metric is not healthy.
func checkFromProto(check string, p *pluginv1.CheckResponse, loads map[string]bool, now time.Time, took time.Duration, generation uint64) CheckOutput {
	var f findings
	r := health.Result{
		Check: check, Message: cleanText(p.GetMessage(), maxText), Time: observedFromProto(p.GetObservedAt(), now),
		Duration: took, Generation: generation,
	}
	status, ok := statusFromProto(p.GetStatus())
	if !ok {
		f.add("status %d is none: taken as unknown", p.GetStatus())
	}
	seen := map[string]bool{}
	doubtful := false
	for i, pm := range p.GetMetrics() {
		if i >= maxMetrics {
			f.add("%d metrics beyond the first %d were dropped", len(p.GetMetrics())-maxMetrics, maxMetrics)
			break
		}
		m, believed, named := metricFromProto(pm, i, &f)
		if !named {
			continue
		}
		if key := m.Key(); seen[key] {
			f.add("metric %s was sent more than once: only the first counts", key)
			continue
		} else {
			seen[key] = true
		}
		doubtful = doubtful || !believed
		m.Load = m.Load || loads[m.Name]
		r.Metrics = append(r.Metrics, m)
	}
	if doubtful && status == health.Healthy {
		status = health.Unknown
	}
	r.Status = status
	out := CheckOutput{Counters: countersFromProto(p.GetCounters(), &f)}
	r.Errors = f.all()
	out.Result = r
	return out
}

// metricFromProto reads the i-th metric. It is not named when name or labels
// cannot be used, and not believed when value or status cannot.
func metricFromProto(p *pluginv1.Metric, i int, f *findings) (m health.Metric, believed, named bool) {
	name := p.GetName()
	if !validMetricName(name) {
		f.add("metric %d has the name %q: dropped, a name has lower-case words joined by underscores, at most %d bytes", i+1, cleanText(name, 40), maxWord)
		return m, false, false
	}
	if len(p.GetLabels()) > maxLabels {
		f.add("metric %s has %d labels: dropped, %d are allowed", name, len(p.GetLabels()), maxLabels)
		return m, false, false
	}
	for _, key := range slices.Sorted(maps.Keys(p.GetLabels())) {
		if value := p.GetLabels()[key]; !validMetricName(key) || len(value) > maxLabelValue || !plain(value) {
			f.add("metric %s has the label %s=%q: dropped", name, cleanText(key, 40), cleanText(value, 40))
			return m, false, false
		}
	}
	m = health.Metric{
		Name: name, Labels: maps.Clone(p.GetLabels()), Unit: cleanText(p.GetUnit(), maxWord), Message: cleanText(p.GetMessage(), maxText),
		Load: p.GetLoad(),
	}
	believed = true
	doubt := func(format string, args ...any) {
		believed = false
		f.add("metric %s "+format+": taken as unknown", append([]any{m.Key()}, args...)...)
	}
	switch v := p.GetValue().(type) {
	case *pluginv1.Metric_Number:
		if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
			doubt("has the value %v", v.Number)
		}
		m.Value = health.Number(v.Number)
	case *pluginv1.Metric_Text:
		m.Value = health.Text(cleanText(v.Text, maxText))
		if !plain(v.Text) {
			doubt("has a text with control characters")
		}
	case *pluginv1.Metric_Flag:
		m.Value = health.Flag(v.Flag)
	default:
		doubt("has no value")
	}
	if p.Threshold != nil {
		if t := p.GetThreshold(); math.IsNaN(t) || math.IsInf(t, 0) {
			doubt("has the threshold %v", t)
		} else {
			m.Threshold = &t
		}
	}
	status, ok := statusFromProto(p.GetStatus())
	if !ok {
		doubt("has the status %d, which is none", p.GetStatus())
	}
	if believed {
		m.Status = status
	}
	return m, believed, true
}

// observedFromProto is when the checker looked; now if it does not say, says
// nonsense, or names the future.
func observedFromProto(p *timestamppb.Timestamp, now time.Time) time.Time {
	if p == nil || p.CheckValid() != nil {
		return now
	}
	t := p.AsTime()
	if t.After(now) || t.Unix() <= 0 {
		return now
	}
	return t
}

// countersFromProto keeps up to 256 usable counters.
func countersFromProto(p map[string]float64, f *findings) map[string]float64 {
	if len(p) == 0 {
		return nil
	}
	counters := map[string]float64{}
	for _, key := range slices.Sorted(maps.Keys(p)) {
		switch value := p[key]; {
		case key == "" || len(key) > maxWord || !plain(key):
			f.add("counter %q was dropped: its name is none", cleanText(key, 40))
		case math.IsNaN(value) || math.IsInf(value, 0):
			f.add("counter %s was dropped: its value is %v", key, value)
		case len(counters) >= maxCounters:
			f.add("counters beyond %d were dropped", maxCounters)
			return counters
		default:
			counters[key] = value
		}
	}
	return counters
}

// proposalFromProto reads a strategy's answer. Whether the action exists and
// may run is for the guard to say; here it must merely be a word.
func proposalFromProto(p *pluginv1.DecideResponse) (recovery.Proposal, error) {
	action := p.GetAction()
	if action == "" {
		action = string(recovery.None)
	}
	if !validMetricName(action) {
		return recovery.Proposal{}, fmt.Errorf("it proposed the action %q, which is no word", cleanText(action, 40))
	}
	return recovery.Proposal{
		Action: recovery.Action(action), Reason: cleanText(p.GetReason(), maxText), Rule: cleanText(p.GetRule(), maxWord),
	}, nil
}
