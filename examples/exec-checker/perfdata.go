package main

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/upkeephub/upkeep/sdk"
)

// value is one measured value of a program's output:
// 'name'=value[unit];[warning];[critical];[min];[max].
type value struct {
	name              string
	number            float64
	unit              string
	warning, critical *span
}

// split takes output apart: the text of the first line, and the values behind
// its "|" and behind that of the lines that follow. Values of which the program
// says U, and what is no value, are left out.
func split(output string) (text string, values []value) {
	first, rest, _ := strings.Cut(strings.ReplaceAll(output, "\r\n", "\n"), "\n")
	text, data, _ := strings.Cut(first, "|")
	if _, more, found := strings.Cut(rest, "|"); found {
		data += " " + more
	}
	for _, word := range words(data) {
		if v, ok := parse(word); ok {
			values = append(values, v)
		}
	}
	return strings.TrimSpace(text), values
}

// words splits at spaces, but not within single quotes.
func words(data string) []string {
	quoted := false
	return strings.FieldsFunc(data, func(r rune) bool {
		if r == '\'' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
}

var numberAndUnit = regexp.MustCompile(`^(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)([^;\d\s]*)$`)

func parse(word string) (value, bool) {
	at := strings.LastIndexByte(word, '=')
	if at < 1 {
		return value{}, false
	}
	v := value{name: unquote(word[:at])}
	fields := strings.Split(word[at+1:], ";")
	// A decimal comma is what some locales print.
	m := numberAndUnit.FindStringSubmatch(strings.Replace(fields[0], ",", ".", 1))
	if m == nil || v.name == "" {
		return value{}, false
	}
	var err error
	if v.number, err = strconv.ParseFloat(m[1], 64); err != nil {
		return value{}, false
	}
	v.unit = m[2]
	if len(fields) > 1 {
		v.warning = parseSpan(fields[1])
	}
	if len(fields) > 2 {
		v.critical = parseSpan(fields[2])
	}
	return v, true
}

// unquote removes the quotes of a name, in which two stand for one, and cuts
// what is longer than host takes.
func unquote(name string) string {
	if len(name) > 1 && name[0] == '\'' && name[len(name)-1] == '\'' {
		name = strings.ReplaceAll(name[1:len(name)-1], "''", "'")
	}
	const most = 256
	if len(name) > most {
		name = name[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
}

// span is a range in which a value is alarming: outside of low to high, or with
// inside set, within it.
type span struct {
	low, high float64
	inside    bool
}

// parseSpan reads "10", "10:", "~:10", "10:20" and "@10:20"; nil: it is none.
func parseSpan(text string) *span {
	s := &span{high: math.Inf(1)}
	text, s.inside = strings.CutPrefix(text, "@")
	low, high, both := strings.Cut(text, ":")
	if !both {
		low, high = "0", text
		if text == "" {
			return nil
		}
	}
	var err error
	switch low {
	case "~":
		s.low = math.Inf(-1)
	case "":
	default:
		if s.low, err = strconv.ParseFloat(low, 64); err != nil {
			return nil
		}
	}
	if high != "" {
		if s.high, err = strconv.ParseFloat(high, 64); err != nil {
			return nil
		}
	}
	return s
}

func (s *span) alarms(n float64) bool {
	return s != nil && (n < s.low || n > s.high) != s.inside
}

// scales says which metric a unit belongs to, and its factor.
var scales = map[string]struct {
	metric string
	factor float64
}{
	"s": {"exec_seconds", 1}, "ms": {"exec_seconds", 1e-3}, "us": {"exec_seconds", 1e-6}, "ns": {"exec_seconds", 1e-9},
	"B": {"exec_bytes", 1}, "KB": {"exec_bytes", 1 << 10}, "MB": {"exec_bytes", 1 << 20}, "GB": {"exec_bytes", 1 << 30},
	"TB": {"exec_bytes", 1 << 40}, "PB": {"exec_bytes", 1 << 50},
	"%": {"exec_percent", 1}, "c": {"exec_counter", 1},
}

var units = map[string]string{"exec_seconds": "s", "exec_bytes": "B", "exec_percent": "%"}

// metric makes a metric of the value. Its own ranges judge it, but it is never
// worse than the program said of the whole.
func (v value) metric(whole sdk.Status) sdk.Metric {
	status := sdk.Healthy
	switch {
	case v.critical.alarms(v.number):
		status = sdk.Critical
	case v.warning.alarms(v.number):
		status = sdk.Warning
	}
	if status.Worse(whole) {
		status = whole
	}
	scale, known := scales[v.unit]
	if !known {
		m := sdk.Number("exec_value", v.number, status).WithLabel("name", v.name).AsLoad()
		if v.unit != "" {
			m = m.WithLabel("unit", v.unit)
		}
		return v.limited(m, 1)
	}
	m := sdk.Number(scale.metric, v.number*scale.factor, status).WithUnit(units[scale.metric]).WithLabel("name", v.name).AsLoad()
	return v.limited(m, scale.factor)
}

// limited adds the threshold, where the warning has but an upper end.
func (v value) limited(m sdk.Metric, factor float64) sdk.Metric {
	if v.warning == nil || v.warning.inside || v.warning.low > 0 {
		return m
	}
	return m.WithThreshold(v.warning.high * factor)
}
