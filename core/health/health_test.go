package health

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 123456000, time.FixedZone("CEST", 2*3600))

func threshold(v float64) *float64 { return &v }

func decode(t *testing.T, v any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("unmarshal %s: %v", text, err)
	}
	return m
}

func TestTheZeroStatusIsUnknownAndNeverHealthy(t *testing.T) {
	var s Status
	if s != Unknown || s.String() != "unknown" {
		t.Errorf("zero status is %v, want unknown", s)
	}
	if got := Status(99).String(); got != "unknown" {
		t.Errorf("a status nobody defined reads %q, want unknown", got)
	}
	for _, word := range []string{"healthy", "warning", "critical", "unknown"} {
		parsed, err := ParseStatus(word)
		if err != nil || parsed.String() != word {
			t.Errorf("ParseStatus(%q) = %v, %v", word, parsed, err)
		}
	}
	if s, err := ParseStatus("HEALTHY"); err == nil || s != Unknown {
		t.Errorf("ParseStatus(HEALTHY) = %v, %v; want unknown and an error", s, err)
	}
}

// Row 1.
func TestMetricHasNameValueStatusThresholdUnitAndTakesTheResultsTime(t *testing.T) {
	res := Result{Check: "process_resources", Time: noon, Metrics: []Metric{{
		Name: "cpu_usage_percent", Value: Number(85.5), Status: Warning, Threshold: threshold(80), Unit: "%",
	}}}
	m := decode(t, res)["metrics"].([]any)[0].(map[string]any)
	for key, want := range map[string]any{
		"name": "cpu_usage_percent", "value": 85.5, "status": "warning", "threshold": 80.0, "unit": "%",
		"timestamp_iso": "2026-05-04T10:00:00.123456Z", "timestamp": 1777888800.123456,
	} {
		if m[key] != want {
			t.Errorf("%s = %v, want %v", key, m[key], want)
		}
	}
}

// Row 2.
func TestMetricJSONHasALowerCaseStatusAMessageAndUTCTime(t *testing.T) {
	m := decode(t, Metric{Name: "x", Value: Text("running"), Status: Critical, Message: "gone", Time: noon})
	if m["status"] != "critical" || m["message"] != "gone" || m["timestamp_iso"] != "2026-05-04T10:00:00.123456Z" {
		t.Errorf("got %v", m)
	}
	if m["threshold"] != nil {
		t.Errorf("threshold = %v, want null when there is none", m["threshold"])
	}
}

func TestValueKeepsItsKindAndNaNIsEmpty(t *testing.T) {
	for _, c := range []struct {
		v    Value
		json string
		text string
	}{
		{Number(3.14159), "3.14159", "3.14"}, {Number(500), "500", "500"}, {Text("a"), `"a"`, "a"}, {Flag(true), "true", "true"},
		{Value{}, "null", ""}, {Number(math.NaN()), "null", ""}, {Number(math.Inf(1)), "null", ""},
	} {
		got, err := json.Marshal(c.v)
		if err != nil || string(got) != c.json {
			t.Errorf("JSON of %#v = %s, %v; want %s", c.v, got, err, c.json)
		}
		if c.v.String() != c.text {
			t.Errorf("text of %#v = %q, want %q", c.v, c.v.String(), c.text)
		}
	}
}

// Row 3.
func TestResultCarriesStatusMetricsDurationAndErrors(t *testing.T) {
	m := decode(t, Result{Check: "c", Status: Warning, Time: noon, Duration: 1500 * time.Microsecond, Errors: []string{"e"}, Metrics: []Metric{{Name: "m"}}})
	if m["overall_status"] != "warning" || m["duration_ms"] != 1.5 || len(m["errors"].([]any)) != 1 || len(m["metrics"].([]any)) != 1 {
		t.Errorf("got %v", m)
	}
	empty := decode(t, Result{Check: "c"})
	if empty["metrics"] == nil || empty["errors"] == nil {
		t.Errorf("an empty result has null lists: %v", empty)
	}
}

// Row 4.
func TestResultJSONCountsMetricsSoThatTheyAddUp(t *testing.T) {
	r := Result{Metrics: []Metric{{Status: Healthy}, {Status: Healthy}, {Status: Warning}, {Status: Critical}, {Status: Unknown}, {Status: Status(7)}}}
	m := decode(t, r)
	want := map[string]float64{"metric_count": 6, "healthy_metrics": 2, "warning_metrics": 1, "critical_metrics": 1, "unknown_metrics": 2}
	for key, n := range want {
		if m[key] != n {
			t.Errorf("%s = %v, want %v", key, m[key], n)
		}
	}
}

func TestJoinWorst(t *testing.T) {
	h, w, c, u := Verdict{Status: Healthy}, Verdict{Status: Warning}, Verdict{Status: Critical}, Verdict{Status: Unknown}
	opt := Verdict{Status: Unknown, Optional: true}
	for _, tc := range []struct {
		in   []Verdict
		want Status
		why  string
	}{
		{nil, Unknown, "without any check nobody knows"},
		{[]Verdict{h, h, h}, Healthy, "all healthy is healthy"},
		{[]Verdict{h, c, h}, Critical, "any critical is critical"},
		{[]Verdict{u, u, c}, Critical, "a critical outweighs what is unknown"},
		{[]Verdict{h, w, h, h, h}, Warning, "one warning is a warning, however many are healthy"},
		{[]Verdict{h, u, h}, Warning, "an unknown of a required checker is at best a warning"},
		{[]Verdict{h, opt}, Healthy, "an optional check may be unknown"},
		{[]Verdict{u, u}, Unknown, "nothing but unknowns is unknown"},
		{[]Verdict{opt}, Unknown, "an optional unknown alone proves nothing"},
		{[]Verdict{{Status: Status(9)}, h}, Warning, "a status nobody defined is unknown"},
	} {
		if got := Join(Worst, tc.in); got != tc.want {
			t.Errorf("Join(worst, %v) = %v, want %v: %s", tc.in, got, tc.want, tc.why)
		}
	}
}

// Row 15.
func TestAllHealthyIsHealthy(t *testing.T) {
	for _, rule := range []Aggregation{Worst, Ratio} {
		if got := Join(rule, []Verdict{{Status: Healthy, Metrics: []Metric{{Status: Healthy}}}, {Status: Healthy}}); got != Healthy {
			t.Errorf("%s: %v, want healthy", rule, got)
		}
	}
}

// Row 16.
func TestAnyCriticalIsCritical(t *testing.T) {
	metrics := []Metric{{Status: Healthy}, {Status: Healthy}, {Status: Critical}, {Status: Healthy}}
	for _, rule := range []Aggregation{Worst, Ratio} {
		if got := Join(rule, []Verdict{{Status: Critical, Metrics: metrics}, {Status: Healthy}}); got != Critical {
			t.Errorf("%s: %v, want critical", rule, got)
		}
	}
}

// Row 17.
func TestRatioWarnsAboveThirtyPercentAndWorstNeverHidesAnUnknownBehindAWarning(t *testing.T) {
	of := func(healthy, warning, unknown int) []Verdict {
		var ms []Metric
		for range healthy {
			ms = append(ms, Metric{Status: Healthy})
		}
		for range warning {
			ms = append(ms, Metric{Status: Warning})
		}
		for range unknown {
			ms = append(ms, Metric{Status: Unknown})
		}
		return []Verdict{{Status: Warning, Metrics: ms}}
	}
	for _, tc := range []struct {
		healthy, warning, unknown int
		want                      Status
	}{{7, 3, 0, Healthy}, {6, 4, 0, Warning}, {5, 0, 5, Healthy}, {4, 0, 6, Unknown}, {0, 1, 13, Unknown}} {
		if got := Join(Ratio, of(tc.healthy, tc.warning, tc.unknown)); got != tc.want {
			t.Errorf("ratio of %d healthy, %d warning, %d unknown = %v, want %v", tc.healthy, tc.warning, tc.unknown, got, tc.want)
		}
	}
	thirteen := []Verdict{{Status: Warning}}
	for range 13 {
		thirteen = append(thirteen, Verdict{Status: Unknown})
	}
	if got := Join(Worst, thirteen); got != Warning {
		t.Errorf("thirteen unknowns and a warning = %v, want warning: the reference called it healthy", got)
	}
}

func TestWithoutLoadLeavesOutLoadButNotWhatItDoesNotExplain(t *testing.T) {
	load := func(s Status) Metric { return Metric{Name: "cpu", Status: s, Load: true} }
	plain := func(s Status) Metric { return Metric{Name: "memory", Status: s} }
	for _, tc := range []struct {
		r    Result
		want Status
		why  string
	}{
		{Result{Status: Critical, Metrics: []Metric{load(Critical), plain(Healthy)}}, Healthy, "only load is high"},
		{Result{Status: Critical, Metrics: []Metric{load(Critical), plain(Warning)}}, Warning, "the rest is a warning"},
		{Result{Status: Critical, Metrics: []Metric{load(Warning), plain(Critical)}}, Critical, "the rest is critical"},
		{Result{Status: Critical}, Critical, "no load metric explains the status"},
		{Result{Status: Unknown, Metrics: []Metric{load(Critical)}}, Unknown, "unknown stays unknown"},
		{Result{Status: Healthy}, Healthy, "healthy stays healthy"},
	} {
		if got := tc.r.WithoutLoad(); got != tc.want {
			t.Errorf("%+v: %v, want %v: %s", tc.r, got, tc.want, tc.why)
		}
	}
}

func report(seq uint64, at time.Time, s Status) Report {
	return Report{Sequence: seq, Time: at, Status: s, Duration: 4 * time.Millisecond,
		Results: []Result{{Check: "c", Status: s, Time: at, Duration: 2 * time.Millisecond, Metrics: []Metric{{Name: "a"}, {Name: "b"}}}}}
}

// Row 18.
func TestHistoryIsNewestFirstBySequenceWhateverTheClockDid(t *testing.T) {
	h := NewHistory(3)
	for i, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(time.Hour), noon.Add(-2 * time.Hour)} {
		h.Add(report(uint64(i+1), at, Healthy))
	}
	got := h.Newest(10)
	if len(got) != 3 || got[0].Sequence != 4 || got[1].Sequence != 3 || got[2].Sequence != 2 {
		t.Errorf("newest first = %v", got)
	}
	if len(h.Newest(0)) != 0 || len(h.Newest(-1)) != 0 {
		t.Error("a limit of 0 or less gives something")
	}
}

// Row 19.
func TestAggregateOverAWindow(t *testing.T) {
	h := NewHistory(100)
	for i := range 10 {
		s := Healthy
		if i >= 6 {
			s = Warning
		}
		h.Add(report(uint64(i), noon.Add(time.Duration(i)*time.Minute), s))
	}
	a := h.Aggregate(5*time.Minute, noon.Add(9*time.Minute))
	if a.Checks != 6 || a.Status != Warning || a.Distribution[Warning] != 4 || a.Distribution[Healthy] != 2 || a.Metrics != 2 || a.Duration != 4*time.Millisecond {
		t.Errorf("got %+v", a)
	}
	if empty := h.Aggregate(time.Minute, noon.Add(time.Hour)); empty.Checks != 0 || empty.Status != Unknown {
		t.Errorf("empty window: %+v, want unknown", empty)
	}
	if s := h.Stats(); s.ChecksPerformed != 10 || s.ChecksFailed != 0 || s.AverageDuration != 2*time.Millisecond || !s.LastCheck.Equal(noon.Add(9*time.Minute)) {
		t.Errorf("stats %+v", s)
	}
}

func TestHistoryTellsTransitionsAndBoundsThem(t *testing.T) {
	h := NewHistory(2)
	if tr, changed := h.Add(report(1, noon, Healthy)); !changed || tr.From != Unknown || tr.To != Healthy {
		t.Errorf("first report: %v %v", tr, changed)
	}
	if _, changed := h.Add(report(2, noon, Healthy)); changed {
		t.Error("the same status is no transition")
	}
	for i := range 2 * maxTransitions {
		h.Add(report(uint64(i), noon.Add(time.Duration(i)*time.Second), Status(1+i%2)))
	}
	if n := len(h.Transitions(time.Time{})); n != maxTransitions {
		t.Errorf("%d transitions kept, want %d", n, maxTransitions)
	}
}

func TestAFailedCheckIsUnknownAndCounted(t *testing.T) {
	h := NewHistory(1)
	r := Failed("network_connectivity", noon, time.Second, errTest("plugin network exited"))
	if r.Status != Unknown || len(r.Errors) != 1 {
		t.Errorf("got %+v", r)
	}
	h.Add(Report{Results: []Result{r}})
	if s := h.Stats(); s.ChecksFailed != 1 {
		t.Errorf("stats %+v", s)
	}
}

type errTest string

func (e errTest) Error() string { return string(e) }

func TestSamplesAreBoundedByNumberAndAgeAndKeepBothEnds(t *testing.T) {
	var s Samples
	window := 300 * time.Second
	for i := range 1000 {
		s.Add(Sample{Time: noon.Add(time.Duration(i) * time.Second), Counters: map[string]float64{"n": float64(i)}}, window)
	}
	all := s.All()
	if len(all) != maxSamples {
		t.Fatalf("%d samples, want %d", len(all), maxSamples)
	}
	if got := all[len(all)-1].Counters["n"]; got != 999 {
		t.Errorf("newest is %v", got)
	}
	if age := all[len(all)-1].Time.Sub(all[0].Time); age < 250*time.Second || age > window {
		t.Errorf("the oldest is %v old, want nearly the window", age)
	}
	for i := 1; i < len(all); i++ {
		if gap := all[i].Time.Sub(all[i-1].Time); gap <= 0 || gap > 20*time.Second {
			t.Errorf("gap of %v between samples %d and %d: want an even spread", gap, i-1, i)
		}
	}
	s.Add(Sample{Time: noon.Add(5000 * time.Second)}, window)
	if len(s.All()) != maxSamples {
		t.Error("a sample without counters changed something")
	}
}

func TestReportJSONSpeaksForAllChecks(t *testing.T) {
	r := report(7, noon, Warning)
	r.Results = append(r.Results, Failed("other", noon, 0, errTest("no")))
	m := decode(t, r)
	if m["overall_status"] != "warning" || m["metric_count"] != 2.0 || m["sequence"] != 7.0 || len(m["results"].([]any)) != 2 {
		t.Errorf("got %v", m)
	}
	if errs := m["errors"].([]any); len(errs) != 1 || errs[0] != "other: no" {
		t.Errorf("errors = %v", errs)
	}
	if got := r.Causes(); len(got) != 2 {
		t.Errorf("causes %v", got)
	}
}

func TestAHistoryThatIsResizedKeepsTheNewest(t *testing.T) {
	h := NewHistory(4)
	for n := uint64(1); n <= 6; n++ {
		h.Add(Report{Sequence: n})
	}
	sequences := func() (got []uint64) {
		for _, r := range h.Newest(100) {
			got = append(got, r.Sequence)
		}
		return got
	}
	for _, c := range []struct {
		size int
		want []uint64
		why  string
	}{
		{2, []uint64{6, 5}, "the oldest give way"},
		{5, []uint64{6, 5}, "what is gone is gone"},
		{0, []uint64{6}, "a size below 1 is taken as 1"},
	} {
		h.Resize(c.size)
		if got := sequences(); !slices.Equal(got, c.want) {
			t.Errorf("resized to %d: %v, want %v: %s", c.size, got, c.want, c.why)
		}
	}
	h.Resize(3)
	for n := uint64(7); n <= 10; n++ {
		h.Add(Report{Sequence: n})
	}
	if got := sequences(); !slices.Equal(got, []uint64{10, 9, 8}) || h.Size() != 3 {
		t.Errorf("after more reports: %v of %d", got, h.Size())
	}
}
