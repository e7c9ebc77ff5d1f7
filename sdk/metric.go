package sdk

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Value is what a metric measured: a number, a text or a flag. The zero value
// is empty: nothing was measured. Values are comparable with ==.
type Value struct {
	kind   valueKind
	number float64
	text   string
	flag   bool
}

type valueKind uint8

const (
	valueNone valueKind = iota
	valueNumber
	valueText
	valueFlag
)

// Number returns the number, and whether the value is one.
func (v Value) Number() (float64, bool) { return v.number, v.kind == valueNumber }

// Text returns the text, and whether the value is one.
func (v Value) Text() (string, bool) { return v.text, v.kind == valueText }

// Flag returns the flag, and whether the value is one.
func (v Value) Flag() (bool, bool) { return v.flag, v.kind == valueFlag }

// Empty says whether nothing was measured.
func (v Value) Empty() bool { return v.kind == valueNone }

// String shows the value to people; an empty one is "".
func (v Value) String() string {
	switch v.kind {
	case valueNumber:
		return strconv.FormatFloat(v.number, 'g', -1, 64)
	case valueText:
		return v.text
	case valueFlag:
		return strconv.FormatBool(v.flag)
	}
	return ""
}

// Metric is one measured value with its judgement. Make one with Number, Text,
// Flag, Limited or Unmeasured, and add to it with the With methods, which
// return a changed copy.
type Metric struct {
	// Name in lower case, words joined by underscores. Name and Labels together
	// are unique within a result.
	Name   string
	Labels map[string]string
	Value  Value
	// Status of this metric alone. What merely informs is Healthy; Unknown means
	// that it could not be measured.
	Status Status
	// Threshold is the value above which Status is no longer healthy; nil: none.
	Threshold *float64
	// Unit as people read it, e.g. "MB"; empty for a count.
	Unit    string
	Message string
	// Load marks a metric that shows how busy the target is. By itself it never
	// leads to more than a logged warning: a busy server that answers is not ill.
	Load bool
}

// Number makes a metric with a numeric value. NaN and infinities cannot travel:
// the metric then has no value and its status is Unknown.
func Number(name string, value float64, status Status) Metric {
	if !finite(value) {
		return Unmeasured(name, "the value is not a finite number")
	}
	return Metric{Name: name, Value: Value{kind: valueNumber, number: value}, Status: status}
}

// Text makes a metric with a textual value.
func Text(name, value string, status Status) Metric {
	return Metric{Name: name, Value: Value{kind: valueText, text: value}, Status: status}
}

// Flag makes a metric that is true or false.
func Flag(name string, value bool, status Status) Metric {
	return Metric{Name: name, Value: Value{kind: valueFlag, flag: value}, Status: status}
}

// Limited makes a numeric metric that should not rise above threshold, and
// judges it with Over.
func Limited(name string, value, threshold float64) Metric {
	return Number(name, value, Over(value, threshold)).WithThreshold(threshold)
}

// Unmeasured makes a metric that could not be measured: no value, status
// Unknown, and the reason as its message.
func Unmeasured(name, reason string) Metric { return Metric{Name: name, Message: reason} }

// WithUnit returns the metric with a unit.
func (m Metric) WithUnit(unit string) Metric { m.Unit = unit; return m }

// WithMessage returns the metric with a message.
func (m Metric) WithMessage(message string) Metric { m.Message = message; return m }

// WithThreshold returns the metric with a threshold, which must be finite.
func (m Metric) WithThreshold(threshold float64) Metric {
	if finite(threshold) {
		m.Threshold = &threshold
	}
	return m
}

// WithLabel returns the metric with one label more; the labels of m stay as they are.
func (m Metric) WithLabel(key, value string) Metric {
	labels := maps.Clone(m.Labels)
	if labels == nil {
		labels = make(map[string]string, 1)
	}
	labels[key] = value
	m.Labels = labels
	return m
}

// AsLoad returns the metric marked as a load metric; see Metric.Load.
func (m Metric) AsLoad() Metric { m.Load = true; return m }

// sentence tells people what the metric says, e.g.
// `memory_usage_mb{process="host"} is 612 MB (threshold 500)`.
func (m Metric) sentence() string {
	var b strings.Builder
	b.WriteString(m.Name)
	for i, key := range slices.Sorted(maps.Keys(m.Labels)) {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		fmt.Fprintf(&b, "%s%s=%q", separator, key, m.Labels[key])
	}
	if len(m.Labels) > 0 {
		b.WriteString("}")
	}
	b.WriteString(" is ")
	switch number, ok := m.Value.Number(); {
	case m.Value.Empty():
		b.WriteString("unknown")
	case ok:
		b.WriteString(short(number))
	default:
		b.WriteString(m.Value.String())
	}
	if m.Unit != "" && !m.Value.Empty() {
		b.WriteString(" " + m.Unit)
	}
	if m.Threshold != nil {
		fmt.Fprintf(&b, " (threshold %s)", short(*m.Threshold))
	}
	if m.Message != "" {
		b.WriteString(": " + m.Message)
	}
	return b.String()
}

// short shows a number with at most three decimals.
func short(n float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(n, 'f', 3, 64), "0"), ".")
}

// finite says whether n is neither NaN nor infinite: only those differ from
// themselves when subtracted.
func finite(n float64) bool { return n-n == 0 }
