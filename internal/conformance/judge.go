package conformance

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/grpc/status"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// What host takes of one result.
const (
	maxMetrics    = 256
	maxLabels     = 16
	maxLabelValue = 256
	maxCounters   = 256
)

// Judge says what host would not believe of a result, and where it differs from
// what the plugin says of its metrics; empty: nothing.
func Judge(d *pluginv1.DescribeResponse, a *pluginv1.CheckResponse) string {
	if _, known := pluginv1.Status_name[int32(a.GetStatus())]; !known {
		return fmt.Sprintf("the result has the status %d, which is none", a.GetStatus())
	}
	if a.GetStatus() == pluginv1.Status_STATUS_UNSPECIFIED && len(a.GetMetrics()) == 0 {
		return "the result has neither a status nor metrics"
	}
	if n := len(a.GetMetrics()); n > maxMetrics {
		return fmt.Sprintf("the result has %d metrics, host takes %d", n, maxMetrics)
	}
	if n := len(a.GetCounters()); n > maxCounters {
		return fmt.Sprintf("the result has %d counters, host keeps %d", n, maxCounters)
	}
	documented := map[string]*pluginv1.MetricDescriptor{}
	for _, m := range d.GetMetrics() {
		documented[m.GetName()] = m
	}
	seen := map[string]bool{}
	for _, m := range a.GetMetrics() {
		identity := identify(m)
		if wrong := judgeMetric(m); wrong != "" {
			return "metric " + identity + " " + wrong
		}
		if seen[identity] {
			return "metric " + identity + " is there twice: labels tell instances apart"
		}
		seen[identity] = true
		about := documented[m.GetName()]
		switch {
		case len(documented) == 0:
		case about == nil:
			return "metric " + identity + " is not among the metrics in Describe"
		case about.GetUnit() != m.GetUnit() || m.GetLoad() && !about.GetLoad():
			return fmt.Sprintf("metric %s has the unit %q and load %v, Describe says %q and %v", identity, m.GetUnit(), m.GetLoad(), about.GetUnit(), about.GetLoad())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.GetCounters())) {
		if n := a.GetCounters()[name]; name == "" || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Sprintf("counter %q is %v: want a name and a finite number", name, n)
		}
	}
	return ""
}

func judgeMetric(m *pluginv1.Metric) string {
	if !word.MatchString(m.GetName()) {
		return "has no name of lower-case words joined by underscores"
	}
	if len(m.GetLabels()) > maxLabels {
		return fmt.Sprintf("has %d labels, host takes %d", len(m.GetLabels()), maxLabels)
	}
	for key, value := range m.GetLabels() {
		if !word.MatchString(key) || len(value) > maxLabelValue {
			return "has a label that is no lower-case word, or too long a value"
		}
	}
	if _, known := pluginv1.Status_name[int32(m.GetStatus())]; !known {
		return fmt.Sprintf("has the status %d, which is none", m.GetStatus())
	}
	switch v := m.GetValue().(type) {
	case nil:
		if m.GetStatus() != pluginv1.Status_STATUS_UNSPECIFIED || m.GetMessage() == "" {
			return "has no value: leave its status unspecified and say why in its message"
		}
	case *pluginv1.Metric_Number:
		if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
			return fmt.Sprintf("is %v: want a finite number", v.Number)
		}
	}
	if t := m.GetThreshold(); math.IsNaN(t) || math.IsInf(t, 0) {
		return fmt.Sprintf("has the threshold %v", t)
	}
	return ""
}

// identify gives name and labels.
func identify(m *pluginv1.Metric) string {
	labels := make([]string, 0, len(m.GetLabels()))
	for _, key := range slices.Sorted(maps.Keys(m.GetLabels())) {
		labels = append(labels, fmt.Sprintf("%s=%q", key, m.GetLabels()[key]))
	}
	if len(labels) == 0 {
		return m.GetName()
	}
	return m.GetName() + "{" + strings.Join(labels, ",") + "}"
}

// outcome says which kind of answer this is: which metrics, or which error.
func outcome(a *pluginv1.CheckResponse, err error) string {
	if err != nil {
		return "the error " + status.Code(err).String()
	}
	if len(a.GetMetrics()) == 0 {
		return "the status " + strings.ToLower(strings.TrimPrefix(a.GetStatus().String(), "STATUS_"))
	}
	identities := make([]string, len(a.GetMetrics()))
	for i, m := range a.GetMetrics() {
		identities[i] = identify(m)
	}
	slices.Sort(identities)
	return "the metrics " + strings.Join(identities, " ")
}
