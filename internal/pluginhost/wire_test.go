package pluginhost

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 123456000, time.UTC)

func ptr[T any](v T) *T { return &v }

func fullMetrics() []health.Metric {
	return []health.Metric{
		{Name: "n", Labels: map[string]string{"process": "host"}, Value: health.Number(1.5), Status: health.Warning, Threshold: ptr(1.0), Unit: "MB", Message: "much", Load: true},
		{Name: "t", Value: health.Text("zombie"), Status: health.Critical},
		{Name: "f", Value: health.Flag(false), Status: health.Healthy},
		{Name: "u", Value: health.Number(0)},
	}
}

func TestMetricsSurviveTheWireUnchanged(t *testing.T) {
	for i, m := range fullMetrics() {
		var f findings
		back, believed, named := metricFromProto(metricToProto(m), i, &f)
		if !believed || !named || len(f.list) > 0 || !reflect.DeepEqual(m, back) {
			t.Errorf("%+v came back as %+v (%v)", m, back, f.list)
		}
	}
}

func TestStatusAndOutcomeSurviveTheWireAndNonsenseIsUnknown(t *testing.T) {
	for _, s := range []health.Status{health.Unknown, health.Healthy, health.Warning, health.Critical} {
		if back, ok := statusFromProto(statusToProto(s)); !ok || back != s {
			t.Errorf("%v came back as %v", s, back)
		}
	}
	if s, ok := statusFromProto(77); ok || s != health.Unknown {
		t.Errorf("status 77 is %v, want unknown", s)
	}
	if p := statusToProto(77); p != pluginv1.Status_STATUS_UNSPECIFIED {
		t.Errorf("an invented status is sent as %v", p)
	}
	seen := map[pluginv1.Outcome]bool{}
	for _, o := range []recovery.Outcome{recovery.Pending, recovery.Cured, recovery.NotCured, recovery.Failed, recovery.TimedOut, "invented"} {
		p := outcomeToProto(o)
		if seen[p] || (p == 0) != (o == "invented") {
			t.Errorf("outcome %s is sent as %v", o, p)
		}
		seen[p] = true
	}
}

// emptyFields lists the fields of a message, and of those in it, that are unset.
func emptyFields(m protoreflect.Message, path string) []string {
	var empty []string
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		name := path + "." + string(f.Name())
		if f.ContainingOneof() != nil && !f.HasOptionalKeyword() {
			continue
		}
		if !m.Has(f) {
			empty = append(empty, name)
			continue
		}
		if f.Message() == nil || f.IsMap() || strings.HasPrefix(string(f.Message().FullName()), "google.") {
			continue
		}
		if f.IsList() {
			empty = append(empty, emptyFields(m.Get(f).List().Get(0).Message(), name+"[0]")...)
		} else {
			empty = append(empty, emptyFields(m.Get(f).Message(), name)...)
		}
	}
	return empty
}

func fullStatistics() *Statistics {
	return &Statistics{
		Generation: 1, ConnectedClients: 2, ClientsServed: 3, EventsProcessed: 4, EventsFailed: 5, Errors: 6, LastActivity: noon,
		ClientDescriptors: 7, HistorySize: 8, TakenAt: noon, MaxConnections: 9, Goroutines: 10, LogFailure: "full",
		Suspects: []recovery.Suspect{{Kind: "client", ID: "a", Measure: "bytes", Share: 0.5, Rate: 2, Clients: 1}},
	}
}

func TestEveryFieldOfARequestIsFilled(t *testing.T) {
	check := checkToProto(CheckInput{
		ID: "c", Now: noon, Statistics: fullStatistics(), Samples: []health.Sample{{Time: noon, Generation: 1, Counters: map[string]float64{"a": 1}}},
		Target: Target{HostPID: 1, HubPID: 2, HubGeneration: 3, Host: "h", Port: 4, Addresses: []string{"a"}, Path: "/", TLS: true, ProbeSecret: "s"},
	})
	report := health.Report{Sequence: 1, Time: noon, Status: health.Warning, WithoutLoad: health.Warning, Results: []health.Result{{
		Check: "c", Status: health.Warning, Message: "m", Metrics: fullMetrics(), Time: noon, Duration: time.Second, Errors: []string{"e"}, Generation: 1,
	}}}
	decide := decideToProto(recovery.Request{
		Now: noon, Report: report, History: []health.Report{report},
		Incident: recovery.Incident{ID: "inc-1", Opened: noon, Causes: []string{"c"}, WarningLogged: noon, Attempts: []recovery.Attempt{
			{ID: "a", Action: recovery.ClearConnections, Started: noon, Ended: noon, Outcome: recovery.Failed, Err: "e"},
		}},
		Transitions: []health.Transition{{Time: noon, From: health.Healthy, To: health.Warning}},
		Actions:     []recovery.ActionState{{Action: recovery.RestartService, Applicable: true, Reason: "r"}},
		Effects:     []recovery.Effect{{Cause: "c", Action: recovery.RestartService, Cured: 1, NotCured: 2, CuredWeight: 0.25, NotCuredWeight: 0.5, Last: noon}},
	}, fullStatistics())
	for _, m := range []proto.Message{check, decide} {
		if empty := emptyFields(m.ProtoReflect(), "request"); len(empty) > 0 {
			t.Errorf("not filled: %v", empty)
		}
	}
	s := check.GetStatistics()
	if s.GetGeneration() != 1 || s.GetConnectedClients() != 2 || s.GetClientsServed() != 3 || s.GetEventsProcessed() != 4 || s.GetEventsFailed() != 5 ||
		s.GetErrors() != 6 || s.GetClientDescriptors() != 7 || s.GetHistorySize() != 8 || s.GetLogFailure() != "full" || s.GetMaxConnections() != 9 || s.GetGoroutines() != 10 {
		t.Errorf("statistics are mixed up: %v", s)
	}
	if e := decide.GetEffects()[0]; e.GetCured() != 1 || e.GetNotCured() != 2 || e.GetCuredWeight() != 0.25 || e.GetNotCuredWeight() != 0.5 {
		t.Errorf("effects are mixed up: %v", e)
	}
	if tr := decide.GetTransitions()[0]; tr.GetFrom() != pluginv1.Status_STATUS_HEALTHY || tr.GetTo() != pluginv1.Status_STATUS_WARNING {
		t.Errorf("transitions are mixed up: %v", tr)
	}
	if r := checkToProto(CheckInput{}); r.GetStatistics() != nil || r.GetNow() != nil {
		t.Errorf("the zero input sends %v", r)
	}
}

func TestHistoryForAStrategyIsBounded(t *testing.T) {
	report := health.Report{Time: noon, Status: health.Critical, Results: []health.Result{
		{Check: "ill", Status: health.Critical, Message: strings.Repeat("x", 100<<10)},
		{Check: "well", Status: health.Healthy, Message: strings.Repeat("x", 100<<10)},
		{Check: "cut", Status: health.Unknown, Message: "bad \xff byte"},
	}}
	var history []health.Report
	for n := range 40 {
		report.Sequence = uint64(n)
		history = append(history, report)
	}
	p := decideToProto(recovery.Request{Report: report, History: history}, nil)
	size := 0
	for _, h := range p.GetHistory() {
		size += proto.Size(h)
	}
	if n := len(p.GetHistory()); n != 10 || size > 1<<20 || p.GetHistory()[0].GetSequence() != 0 {
		t.Errorf("%d reports with %d bytes from %v on, want the newest 10 of 100 KiB", n, size, p.GetHistory()[0].GetSequence())
	}
	if n := len(p.GetHistory()[0].GetResults()); n != 2 {
		t.Errorf("a report of the history spells out %d checks, want those 2 that are not healthy", n)
	}
	if len(p.GetReport().GetResults()) != 3 {
		t.Error("the present report must be whole")
	}
	if _, err := proto.Marshal(p); err != nil {
		t.Errorf("a stray byte fails the whole request: %v", err)
	}
	for i := range history {
		history[i].Results = nil
	}
	if n := len(decideToProto(recovery.Request{History: history}, nil).GetHistory()); n != 20 {
		t.Errorf("%d small reports are sent, want 20", n)
	}
}

func number(name string, v float64) *pluginv1.Metric {
	return &pluginv1.Metric{Name: name, Value: &pluginv1.Metric_Number{Number: v}, Status: pluginv1.Status_STATUS_HEALTHY}
}

func TestBadMetricsAreRejectedOneByOneAndNamed(t *testing.T) {
	labelled := func(labels map[string]string) *pluginv1.Metric {
		m := number("labelled", 1)
		m.Labels = labels
		return m
	}
	many := map[string]string{}
	for n := range 17 {
		many[fmt.Sprintf("l%d", n)] = "x"
	}
	with := func(m *pluginv1.Metric, change func(*pluginv1.Metric)) *pluginv1.Metric { change(m); return m }
	cases := []struct {
		metric  *pluginv1.Metric
		kept    bool // as unknown
		finding string
		why     string
	}{
		{number("nan", math.NaN()), true, "metric nan has the value NaN", "JSON has no NaN"},
		{number("inf", math.Inf(-1)), true, "metric inf has the value -Inf", "JSON has no infinity"},
		{with(number("limit", 1), func(m *pluginv1.Metric) { m.Threshold = ptr(math.NaN()) }), true, "metric limit has the threshold NaN", "nor for a threshold"},
		{with(number("odd", 1), func(m *pluginv1.Metric) { m.Status = 42 }), true, "metric odd has the status 42", "an unknown status is never healthy"},
		{&pluginv1.Metric{Name: "empty", Status: 1}, true, "metric empty has no value", "nothing was measured"},
		{&pluginv1.Metric{Name: "lines", Status: 1, Value: &pluginv1.Metric_Text{Text: "a\nb"}}, true, "metric lines has a text with control characters", "texts reach terminals"},
		{number("", 1), false, `metric 7 has the name ""`, "a metric needs a name"},
		{number("Upper", 1), false, `the name "Upper"`, "names are lower case"},
		{number("new\nline", 1), false, `new\\x0aline`, "and in one line"},
		{number(strings.Repeat("a", 129), 1), false, "at most 128 bytes", "and short"},
		{labelled(map[string]string{"Bad": "x"}), false, "label Bad=", "labels have names too"},
		{labelled(map[string]string{"bad": "\x1b[31m"}), false, "label bad=", "label values reach terminals"},
		{labelled(map[string]string{"bad": "\xff"}), false, "label bad=", "label values are UTF-8"},
		{labelled(map[string]string{"bad": strings.Repeat("x", 257)}), false, "label bad=", "label values are short"},
		{labelled(many), false, "17 labels", "labels are few"},
		{number("good", 2), false, "metric good was sent more than once", "name and labels are unique"},
	}
	p := &pluginv1.CheckResponse{Status: pluginv1.Status_STATUS_HEALTHY}
	for _, c := range cases[:len(cases)-1] {
		p.Metrics = append(p.Metrics, c.metric)
	}
	other := number("good", 3)
	other.Labels = map[string]string{"side": "left"}
	p.Metrics = append(p.Metrics, number("good", 1), other, cases[len(cases)-1].metric)
	r := checkFromProto("c", p, nil, noon, time.Second, 5).Result

	all := strings.Join(r.Errors, "\n")
	kept := map[string]health.Metric{}
	for _, m := range r.Metrics {
		kept[m.Key()] = m
	}
	wantKept := 2
	for _, c := range cases {
		if !strings.Contains(all, c.finding) {
			t.Errorf("no finding says %q (%s)", c.finding, c.why)
		}
		if c.kept {
			wantKept++
			if m, ok := kept[c.metric.GetName()]; !ok || m.Status != health.Unknown {
				t.Errorf("%s is %v, want it kept as unknown: %s", c.metric.GetName(), m.Status, c.why)
			}
		}
	}
	if len(r.Metrics) != wantKept || len(r.Errors) != len(cases) {
		t.Errorf("%d metrics and %d findings, want %d and %d:\n%s", len(r.Metrics), len(r.Errors), wantKept, len(cases), all)
	}
	if m := kept["good"]; m.Status != health.Healthy {
		t.Errorf("the good metric is %v", m.Status)
	}
	if n, _ := kept["good"].Value.AsNumber(); n != 1 {
		t.Errorf("of two equal metrics the one with %v counts, want the first", n)
	}
	if r.Status != health.Unknown {
		t.Errorf("a result that rests on broken metrics is %v, want unknown", r.Status)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Errorf("the result is no JSON: %v", err)
	}
}

func TestResultIsBounded(t *testing.T) {
	p := &pluginv1.CheckResponse{Status: 99, Message: strings.Repeat("ä", 5000), Counters: map[string]float64{}, ObservedAt: timestamppb.New(noon.Add(time.Hour))}
	for n := range 300 {
		p.Metrics = append(p.Metrics, number(fmt.Sprintf("m%d", n), 1))
		p.Counters[fmt.Sprintf("c%d", n)] = 1
	}
	out := checkFromProto("c", p, map[string]bool{"m7": true}, noon, 0, 0)
	r := out.Result
	if len(r.Metrics) != 256 || len(out.Counters) != 256 || len(r.Message) > maxText || !strings.HasSuffix(r.Message, "ä…") {
		t.Errorf("%d metrics, %d counters, %d bytes of message", len(r.Metrics), len(out.Counters), len(r.Message))
	}
	if r.Status != health.Unknown || !strings.Contains(strings.Join(r.Errors, " "), "status 99") || !strings.Contains(strings.Join(r.Errors, " "), "44 metrics beyond") {
		t.Errorf("status %v, findings %q", r.Status, r.Errors)
	}
	if !r.Time.Equal(noon) {
		t.Errorf("observed at %v, want the present: the future cannot be observed", r.Time)
	}
	if !r.Metrics[7].Load || r.Metrics[8].Load {
		t.Error("load of the description was not applied")
	}
	for n := range 100 {
		p.Metrics[n].Name = "BAD"
	}
	if n := len(checkFromProto("c", p, nil, noon, 0, 0).Result.Errors); n != maxFindings+1 {
		t.Errorf("%d findings, want %d and how many more", n, maxFindings)
	}
}

func TestBadCountersAreDroppedAndTheResultStays(t *testing.T) {
	p := &pluginv1.CheckResponse{Status: 1, Counters: map[string]float64{"ok": 1, "nan": math.NaN(), "": 1, "a\nb": 1}}
	out := checkFromProto("c", p, nil, noon, 0, 0)
	if len(out.Counters) != 1 || len(out.Result.Errors) != 3 || out.Result.Status != health.Healthy {
		t.Errorf("%v, %v, %q", out.Counters, out.Result.Status, out.Result.Errors)
	}
	if out := checkFromProto("c", nil, nil, noon, 0, 0); out.Result.Status != health.Unknown || !out.Result.Time.Equal(noon) {
		t.Errorf("nothing at all is %+v, want unknown", out.Result)
	}
}

func TestProposalIsAWord(t *testing.T) {
	p, err := proposalFromProto(&pluginv1.DecideResponse{Action: "restart_service", Reason: "two\nlines", Rule: "r"})
	if err != nil || p.Action != recovery.RestartService || p.Reason != `two\x0alines` || p.Rule != "r" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := proposalFromProto(&pluginv1.DecideResponse{}); err != nil || p.Action != recovery.None {
		t.Errorf("an empty answer is %+v, %v; want none", p, err)
	}
	for _, bad := range []string{"rm -rf", "Restart", "a\x00", strings.Repeat("a", 200)} {
		if _, err := proposalFromProto(&pluginv1.DecideResponse{Action: bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestDescriptionIsJudgedAsAWhole(t *testing.T) {
	good := &pluginv1.DescribeResponse{
		Name: "disk", Version: "1.0.0", ApiMinor: 3, Kinds: []pluginv1.Kind{1, 1, 2, 9}, Capabilities: []string{"watch"},
		ConfigSchema: "{}", Metrics: []*pluginv1.MetricDescriptor{{Name: "free", Unit: "%", Help: "h", Load: true}, {Name: "Bad Name"}},
		DefaultInterval: durationpb.New(time.Second), DefaultTimeout: durationpb.New(-time.Second), Actions: []*pluginv1.ActionDescriptor{{Name: "flush", Description: "d"}},
	}
	d, err := descriptionFromProto("disk", good)
	want := Description{
		Name: "disk", Version: "1.0.0", APIMinor: 3, Kinds: []Kind{Checker, Recovery}, Capabilities: []string{"watch"}, Schema: "{}", CheckName: "disk",
		Metrics: []MetricInfo{{"free", "%", "h", true}}, Interval: time.Second, Actions: []ActionInfo{{"flush", "d"}},
	}
	if err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("%+v, %v\nwant %+v", d, err, want)
	}
	_, err = descriptionFromProto("disk", &pluginv1.DescribeResponse{Name: "other", CheckName: "a b", Kinds: []pluginv1.Kind{1}, Actions: []*pluginv1.ActionDescriptor{{Name: "No"}}})
	for _, part := range []string{`"other"`, `"a b"`, `"No"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s: every mistake at once", err, part)
		}
	}
	if _, err := descriptionFromProto("disk", nil); err == nil {
		t.Error("no description at all was accepted")
	}
}

func TestForeignTextIsCleanAndBounded(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain ü", "plain ü"}, {"a\nb", `a\x0ab`}, {"\xff", `\xff`}, {"\x1b[31m", `\x1b[31m`},
		{strings.Repeat("ü", 20), strings.Repeat("ü", 8) + "…"}, {strings.Repeat("\n", 20), strings.Repeat(`\x0a`, 4) + `\…`},
	} {
		if got := cleanText(c.in, 20); got != c.want || len(got) > 20 {
			t.Errorf("cleanText(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzCheckFromProto(f *testing.F) {
	seed, err := proto.Marshal(&pluginv1.CheckResponse{Status: 1, Metrics: []*pluginv1.Metric{number("a", math.NaN())}, Counters: map[string]float64{"a": 1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, wire []byte) {
		p := &pluginv1.CheckResponse{}
		if proto.Unmarshal(wire, p) != nil {
			return
		}
		out := checkFromProto("c", p, nil, noon, 0, 0)
		if _, err := json.Marshal(out.Result); err != nil {
			t.Errorf("no JSON: %v", err)
		}
		seen := map[string]bool{}
		for _, m := range out.Result.Metrics {
			if seen[m.Key()] || !validMetricName(m.Name) || m.Value.Empty() && m.Status != health.Unknown {
				t.Errorf("metric %+v", m)
			}
			seen[m.Key()] = true
		}
		if len(out.Result.Message) > maxText || len(out.Result.Errors) > maxFindings+1 {
			t.Error("not bounded")
		}
	})
}

func FuzzLogLine(f *testing.F) {
	f.Add([]byte(`{"@level":"info","@message":"m","a":{"b":[1e999]}}`))
	f.Add([]byte(`{"@message":1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		_, message, fields, ok := parseLogLine(line)
		if ok && (len(message) > maxLogText || len(fields) > 2*maxLogFields || strings.ContainsAny(message, "\x1b\n")) {
			t.Errorf("%q became %q %v", line, message, fields)
		}
	})
}
