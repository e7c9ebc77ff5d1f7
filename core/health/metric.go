package health

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Value is what a metric measured: a number, a text or a flag. The zero value
// is empty and reads as JSON null.
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

// Number makes a numeric value. NaN and the infinities make an empty value,
// since JSON cannot carry them.
func Number(n float64) Value {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return Value{}
	}
	return Value{kind: valueNumber, number: n}
}

// Text makes a textual value.
func Text(s string) Value { return Value{kind: valueText, text: s} }

// Flag makes a boolean value.
func Flag(b bool) Value { return Value{kind: valueFlag, flag: b} }

// AsNumber returns the number, and whether the value is one.
func (v Value) AsNumber() (float64, bool) { return v.number, v.kind == valueNumber }

// AsText returns the text, and whether the value is one.
func (v Value) AsText() (string, bool) { return v.text, v.kind == valueText }

// AsFlag returns the flag, and whether the value is one.
func (v Value) AsFlag() (bool, bool) { return v.flag, v.kind == valueFlag }

// Empty says whether nothing was measured.
func (v Value) Empty() bool { return v.kind == valueNone }

// String shows the value to people; numbers have at most two decimals.
func (v Value) String() string {
	switch v.kind {
	case valueNumber:
		return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(v.number, 'f', 2, 64), "0"), ".")
	case valueText:
		return v.text
	case valueFlag:
		return strconv.FormatBool(v.flag)
	}
	return ""
}

// MarshalJSON writes a number, a string, a boolean, or null for an empty value.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.kind {
	case valueNumber:
		return json.Marshal(v.number)
	case valueText:
		return json.Marshal(v.text)
	case valueFlag:
		return json.Marshal(v.flag)
	}
	return []byte("null"), nil
}

// Metric is one measured value with its judgement.
type Metric struct {
	// Name in lower case with underscores; unique in a result together with Labels.
	Name   string
	Labels map[string]string
	Value  Value
	Status Status
	// Threshold is the value above which Status is no longer healthy; nil: none.
	Threshold *float64
	Unit      string
	Message   string
	// Time of the measurement; zero takes the result's.
	Time time.Time
	// Load marks a metric that shows how busy the target is. By itself it never
	// leads to more than a logged warning.
	Load bool
}

// Key names the metric within its result: the name, and the labels in braces
// if there are any, sorted.
func (m Metric) Key() string {
	if len(m.Labels) == 0 {
		return m.Name
	}
	pairs := make([]string, 0, len(m.Labels))
	for k, v := range m.Labels {
		pairs = append(pairs, fmt.Sprintf("%s=%q", k, v))
	}
	sort.Strings(pairs)
	return m.Name + "{" + strings.Join(pairs, ",") + "}"
}

// MarshalJSON writes the shape that clients of the reference read.
func (m Metric) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name         string            `json:"name"`
		Labels       map[string]string `json:"labels,omitempty"`
		Value        Value             `json:"value"`
		Status       Status            `json:"status"`
		Threshold    *float64          `json:"threshold"`
		Unit         string            `json:"unit,omitempty"`
		Timestamp    float64           `json:"timestamp"`
		TimestampISO string            `json:"timestamp_iso"`
		Message      string            `json:"message,omitempty"`
		Load         bool              `json:"load,omitempty"`
	}{m.Name, m.Labels, m.Value, m.Status, m.Threshold, m.Unit, Seconds(m.Time), ISO(m.Time), m.Message, m.Load})
}

// Seconds gives t as seconds since 1970 with microseconds; a zero time is 0.
func Seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

// ISO gives t in RFC 3339 in UTC with a Z and microseconds; a zero time is empty.
func ISO(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// Milliseconds gives d in milliseconds with three decimals, never below zero.
func Milliseconds(d time.Duration) float64 {
	return math.Max(0, math.Round(float64(d)/float64(time.Microsecond))/1000)
}
