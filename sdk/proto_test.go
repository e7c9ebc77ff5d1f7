package sdk

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// filler gives every field of a message a value of its own, so that two fields
// mixed up, or one forgotten, show.
type filler struct{ n int64 }

func (f *filler) next() int64 { f.n++; return f.n }

func (f *filler) fill(m protoreflect.Message) {
	if _, ok := m.Interface().(*timestamppb.Timestamp); ok {
		m.Set(m.Descriptor().Fields().ByName("seconds"), protoreflect.ValueOfInt64(1_700_000_000+f.next()))
		m.Set(m.Descriptor().Fields().ByName("nanos"), protoreflect.ValueOfInt32(int32(f.next())))
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.IsMap():
			values := m.Mutable(field).Map()
			key := protoreflect.ValueOfString(fmt.Sprint("key", f.next())).MapKey()
			values.Set(key, f.scalar(field.MapValue()))
		case field.IsList():
			list := m.Mutable(field).List()
			for range 2 {
				if field.Kind() == protoreflect.MessageKind {
					f.fill(list.AppendMutable().Message())
				} else {
					list.Append(f.scalar(field))
				}
			}
		case field.Kind() == protoreflect.MessageKind:
			f.fill(m.Mutable(field).Message())
		default:
			m.Set(field, f.scalar(field))
		}
	}
}

func (f *filler) scalar(field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprint("text", f.next()))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(f.next()))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(f.next()))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(f.next())
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(f.next()))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(f.next()))
	case protoreflect.EnumKind:
		last := field.Enum().Values().Len() - 1 // never the zero value
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(1 + f.next()%int64(last)))
	}
	panic("the filler does not know " + field.Kind().String())
}

// filled returns a message with every field set.
func filled[M proto.Message](m M) M {
	(&filler{}).fill(m.ProtoReflect())
	return m
}

// everyFieldSet fails for each exported field of v, however deep, that is zero.
func everyFieldSet(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[time.Time](), v.Type() == reflect.TypeFor[Value]():
		if v.IsZero() {
			t.Errorf("%s is empty: the translation forgets it", path)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			everyFieldSet(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case v.Kind() == reflect.Slice && v.Len() > 0:
		for i := range v.Len() {
			everyFieldSet(t, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		everyFieldSet(t, path, v.Elem())
	case v.IsZero() || v.Kind() == reflect.Slice:
		t.Errorf("%s is empty: the translation forgets it", path)
	}
}

func TestACheckRequestKeepsEveryFieldOnItsWay(t *testing.T) {
	wire := filled(&pluginv1.CheckRequest{})
	request := requestFromProto(wire)
	everyFieldSet(t, "Request", reflect.ValueOf(request))
	if back := requestToProto(request); !proto.Equal(wire, back) {
		t.Errorf("round trip:\n got %v\nwant %v", back, wire)
	}
}

func TestASituationKeepsEveryFieldOnItsWay(t *testing.T) {
	wire := filled(&pluginv1.DecideRequest{})
	situation := situationFromProto(wire)
	everyFieldSet(t, "Situation", reflect.ValueOf(situation))
	if back := situationToProto(situation); !proto.Equal(wire, back) {
		t.Errorf("round trip:\n got %v\nwant %v", back, wire)
	}
}

func TestAnExecutionKeepsEveryFieldOnItsWay(t *testing.T) {
	wire := filled(&pluginv1.ExecuteRequest{})
	e := executionFromProto(wire)
	back := &pluginv1.ExecuteRequest{Action: string(e.Action), IdempotencyKey: e.IdempotencyKey, IncidentId: e.IncidentID, Deadline: timeToProto(e.Deadline)}
	if !proto.Equal(wire, back) {
		t.Errorf("round trip:\n got %v\nwant %v", back, wire)
	}
}

func TestAResultKeepsEveryFieldOnItsWay(t *testing.T) {
	wire := filled(&pluginv1.CheckResponse{})
	result := Result{
		Status:     statusFromProto(wire.Status),
		Message:    wire.Message,
		ObservedAt: timeFromProto(wire.ObservedAt),
		Metrics:    eachFromProto(wire.Metrics, metricFromProto),
		Counters:   wire.Counters,
	}
	everyFieldSet(t, "Result", reflect.ValueOf(result))
	if back := resultToProto(result, time.Time{}); !proto.Equal(wire, back) {
		t.Errorf("round trip:\n got %v\nwant %v", back, wire)
	}
}

func TestEveryKindOfValueMakesTheRoundTrip(t *testing.T) {
	for _, m := range []Metric{
		Number("a", 0, Healthy), Text("a", "", Warning), Flag("a", false, Critical), Unmeasured("a", "why"),
		Number("a", 1, Healthy).WithThreshold(0),
	} {
		if back := metricFromProto(metricToProto(m)); !reflect.DeepEqual(m, back) {
			t.Errorf("round trip of %+v: %+v", m, back)
		}
	}
}

func TestDescriptionsDiagnosticsAndProposalsCarryEveryField(t *testing.T) {
	info := Info{
		Name: "disk", Version: "1.2.3", CheckName: "disk_space", Interval: 2 * time.Second, Timeout: time.Second,
		Metrics: []MetricInfo{{Name: "free", Unit: "MB", Help: "h", Load: true}},
		Actions: []ActionInfo{{Name: "clean", Description: "d"}},
	}
	d := describeToProto(info)
	if d.Name != "disk" || d.Version != "1.2.3" || d.CheckName != "disk_space" || d.DefaultInterval.AsDuration() != 2*time.Second ||
		d.DefaultTimeout.AsDuration() != time.Second {
		t.Errorf("description %v", d)
	}
	if m := d.Metrics[0]; m.Name != "free" || m.Unit != "MB" || m.Help != "h" || !m.Load {
		t.Errorf("metric descriptor %v", m)
	}
	if a := d.Actions[0]; a.Name != "clean" || a.Description != "d" {
		t.Errorf("action descriptor %v", a)
	}
	if empty := describeToProto(Info{}); empty.DefaultInterval != nil || empty.DefaultTimeout != nil {
		t.Errorf("no interval and no timeout travel as %v and %v, want unset", empty.DefaultInterval, empty.DefaultTimeout)
	}
	got := diagnosticToProto(Diagnostic{Path: "p", Summary: "s", Detail: "d", Warning: true})
	want := &pluginv1.Diagnostic{Path: "p", Summary: "s", Detail: "d", Severity: pluginv1.Severity_SEVERITY_WARNING}
	if !proto.Equal(got, want) {
		t.Errorf("diagnostic %v, want %v", got, want)
	}
	if s := diagnosticToProto(Diagnostic{}).Severity; s != pluginv1.Severity_SEVERITY_ERROR {
		t.Errorf("a plain diagnostic has severity %v, want an error", s)
	}
	p := proposalToProto(Proposal{Action: "a", Reason: "b", Rule: "c"})
	if !proto.Equal(p, &pluginv1.DecideResponse{Action: "a", Reason: "b", Rule: "c"}) {
		t.Errorf("proposal %v", p)
	}
}

func TestNothingAndWordsOfANewerAPITranslateToTheSafeValue(t *testing.T) {
	if got := requestFromProto(nil); !reflect.DeepEqual(got, Request{}) {
		t.Errorf("no request gives %+v, want the zero one", got)
	}
	if got := situationFromProto(nil); !reflect.DeepEqual(got, Situation{}) {
		t.Errorf("no situation gives %+v, want the zero one", got)
	}
	if got := metricFromProto(nil); !reflect.DeepEqual(got, Metric{}) {
		t.Errorf("no metric gives %+v, want the zero one", got)
	}
	if got := executionFromProto(nil); got != (Execution{}) {
		t.Errorf("no execution gives %+v, want the zero one", got)
	}
	for _, n := range []int32{-1, 4, 99, math.MaxInt32} {
		if got := statusFromProto(pluginv1.Status(n)); got != Unknown {
			t.Errorf("status %d reads %v, want unknown, never healthy", n, got)
		}
	}
	for _, n := range []int32{-1, 6, 99} {
		if got := outcomeFromProto(pluginv1.Outcome(n)); got != OutcomeUnknown {
			t.Errorf("outcome %d reads %v, want unknown", n, got)
		}
	}
	if got := statusToProto(Status(17)); got != pluginv1.Status_STATUS_UNSPECIFIED {
		t.Errorf("status 17 travels as %v, want unspecified", got)
	}
	if got := timeFromProto(&timestamppb.Timestamp{Seconds: math.MaxInt64}); !got.IsZero() {
		t.Errorf("an impossible time reads %v, want none", got)
	}
}

func TestAResultWithoutATimeIsObservedWhenItReturns(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	if got := resultToProto(Result{}, now).ObservedAt.AsTime(); !got.Equal(now) {
		t.Errorf("observed at %v, want %v", got, now)
	}
}

func TestTextThatIsNoUTF8IsRepairedAndNotLost(t *testing.T) {
	bad := "a\xffb"
	result := Result{
		Message:  bad,
		Metrics:  []Metric{Text(bad, bad, Healthy).WithLabel(bad, bad).WithUnit(bad).WithMessage(bad)},
		Counters: map[string]float64{bad: 1},
	}
	wire := resultToProto(result, time.Now())
	if _, err := proto.Marshal(wire); err != nil {
		t.Fatalf("the answer cannot travel: %v", err)
	}
	if want := "a\uFFFDb"; wire.Message != want || wire.Metrics[0].Labels[want] != want || wire.Counters[want] != 1 {
		t.Errorf("repaired to %v, want %q everywhere", wire, want)
	}
}

func TestOutcomesAreNamed(t *testing.T) {
	for n := range pluginv1.Outcome_name {
		name := outcomeFromProto(pluginv1.Outcome(n)).String()
		if (name == "unknown") != (n == 0) {
			t.Errorf("outcome %v is called %q", pluginv1.Outcome(n), name)
		}
	}
}

// The other halves of the translations, which only a host needs.

func requestToProto(r Request) *pluginv1.CheckRequest {
	return &pluginv1.CheckRequest{
		CheckId: r.CheckID, Now: timeToProto(r.Now), Statistics: statisticsToProto(r.Statistics),
		Target: &pluginv1.Target{
			HostPid: int64(r.Target.HostPID), HubPid: int64(r.Target.HubPID), HubGeneration: r.Target.HubGeneration,
			Host: r.Target.Host, Port: int32(r.Target.Port), Addresses: r.Target.Addresses, Path: r.Target.Path,
			Tls: r.Target.TLS, ProbeSecret: r.Target.ProbeSecret,
		},
		Samples: eachFromProto(r.Samples, func(s Sample) *pluginv1.Sample {
			return &pluginv1.Sample{TakenAt: timeToProto(s.TakenAt), Generation: s.Generation, Counters: s.Counters}
		}),
	}
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

func situationToProto(s Situation) *pluginv1.DecideRequest {
	return &pluginv1.DecideRequest{
		Now: timeToProto(s.Now), Report: reportToProto(s.Report), History: eachFromProto(s.History, reportToProto),
		Incident: &pluginv1.Incident{
			Id: s.Incident.ID, OpenedAt: timeToProto(s.Incident.OpenedAt), Causes: s.Incident.Causes,
			WarningLoggedAt: timeToProto(s.Incident.WarningLoggedAt),
			Attempts: eachFromProto(s.Incident.Attempts, func(a Attempt) *pluginv1.Attempt {
				return &pluginv1.Attempt{Id: a.ID, Action: string(a.Action), StartedAt: timeToProto(a.StartedAt),
					EndedAt: timeToProto(a.EndedAt), Outcome: pluginv1.Outcome(a.Outcome), Error: a.Error}
			}),
		},
		Transitions: eachFromProto(s.Transitions, func(c Transition) *pluginv1.Transition {
			return &pluginv1.Transition{Time: timeToProto(c.Time), From: statusToProto(c.From), To: statusToProto(c.To)}
		}),
		Actions: eachFromProto(s.Actions, func(a ActionState) *pluginv1.ActionState {
			return &pluginv1.ActionState{Action: string(a.Action), Applicable: a.Applicable, Reason: a.Reason}
		}),
		Effects: eachFromProto(s.Effects, func(e Effect) *pluginv1.Effect {
			return &pluginv1.Effect{Cause: e.Cause, Action: string(e.Action), Cured: e.Cured, NotCured: e.NotCured, Last: timeToProto(e.Last),
				CuredWeight: e.CuredWeight, NotCuredWeight: e.NotCuredWeight}
		}),
		Statistics: statisticsToProto(s.Statistics),
		Suspects: eachFromProto(s.Suspects, func(s Suspect) *pluginv1.Suspect {
			return &pluginv1.Suspect{Kind: s.Kind, Id: s.ID, Measure: s.Measure, Share: s.Share, Rate: s.Rate, Clients: s.Clients}
		}),
	}
}

func reportToProto(r Report) *pluginv1.Report {
	return &pluginv1.Report{
		Sequence: r.Sequence, Time: timeToProto(r.Time), Status: statusToProto(r.Status), StatusWithoutLoad: statusToProto(r.StatusWithoutLoad),
		Results: eachFromProto(r.Checks, func(c CheckResult) *pluginv1.Result {
			return &pluginv1.Result{
				Check: c.Check, Status: statusToProto(c.Status), Message: c.Message, ObservedAt: timeToProto(c.ObservedAt),
				DurationMs: float64(c.Duration) / float64(time.Millisecond), Metrics: eachFromProto(c.Metrics, metricToProto),
				Errors: c.Errors, Generation: c.Generation,
			}
		}),
	}
}
