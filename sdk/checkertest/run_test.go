package checkertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	"go.uber.org/goleak"

	"github.com/upkeephub/upkeep/sdk"
)

// recorder is a testing.TB that keeps what it is told.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

type settings struct {
	Limit  float64 `json:"limit" jsonschema:"exclusiveMinimum=0"`
	Nested struct {
		Word string `json:"word"`
	} `json:"nested"`
}

// mutant is a good checker until one thing about it is changed.
type mutant struct {
	*sdk.Config[settings]
	check func(context.Context, sdk.Request) (sdk.Result, error)
}

func (m mutant) Check(ctx context.Context, r sdk.Request) (sdk.Result, error) { return m.check(ctx, r) }

func good(context.Context, sdk.Request) (sdk.Result, error) {
	return sdk.Result{
		Metrics: []sdk.Metric{
			sdk.Limited("disk_used_ratio", 0.5, 0.9),
			sdk.Flag("disk_writable", true, sdk.Healthy).WithLabel("mount", "a"),
			sdk.Flag("disk_writable", true, sdk.Healthy).WithLabel("mount", "b"),
			sdk.Unmeasured("disk_errors", "no access to the kernel log").WithUnit("errors").AsLoad(),
		},
		Counters: map[string]float64{"reads": 5},
	}, nil
}

func returning(metrics ...sdk.Metric) func(context.Context, sdk.Request) (sdk.Result, error) {
	return func(context.Context, sdk.Request) (sdk.Result, error) {
		return sdk.Result{Status: sdk.Healthy, Metrics: metrics}, nil
	}
}

func info() sdk.Info {
	return sdk.Info{Name: "disk", Version: "1.0.0", Metrics: []sdk.MetricInfo{
		{Name: "disk_used_ratio", Help: "h"}, {Name: "disk_writable", Help: "h"}, {Name: "disk_errors", Unit: "errors", Help: "h", Load: true},
	}}
}

func TestAGoodCheckerPasses(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	Run(t, mutant{sdk.NewConfig(settings{Limit: 1}), good}, Info(info()), Settings(map[string]any{"limit": 2}))
	Run(t, plain{}) // without configuration, and without Info
	goleak.VerifyNone(t, ignore)
}

func TestACheckerThatCannotLookPasses(t *testing.T) {
	Run(t, mutant{sdk.NewConfig(settings{Limit: 1}), func(context.Context, sdk.Request) (sdk.Result, error) {
		return sdk.Result{}, errors.New("no such disk")
	}})
}

type plain struct{}

func (plain) Check(ctx context.Context, r sdk.Request) (sdk.Result, error) { return good(ctx, r) }

func TestEachBreachOfTheContractIsFound(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var turn atomic.Int64
	var busy atomic.Bool
	many := make([]sdk.Metric, maxMetrics+1)
	for n := range many {
		many[n] = sdk.Number(fmt.Sprint("m", n), 1, sdk.Healthy)
	}
	nan := sdk.Number("x", 1, sdk.Healthy)
	for why, c := range map[string]struct {
		check func(context.Context, sdk.Request) (sdk.Result, error)
		info  func(*sdk.Info)
		want  string
	}{
		"a name in capitals":            {check: returning(sdk.Number("CPU", 1, sdk.Healthy)), want: `metric "CPU": want lower case`},
		"an empty name":                 {check: returning(sdk.Number("", 1, sdk.Healthy)), want: `metric "": want lower case`},
		"a label in capitals":           {check: returning(sdk.Number("a", 1, sdk.Healthy).WithLabel("Disk", "x")), want: "label names in lower case"},
		"two metrics of one name":       {check: returning(nan, nan), want: "is there twice"},
		"two metrics of one label":      {check: returning(nan.WithLabel("a", "b"), nan.WithLabel("a", "b")), want: `x{a="b"} is there twice`},
		"too many metrics":              {check: returning(many...), want: "the host takes 256"},
		"no value and no reason":        {check: returning(sdk.Metric{Name: "x"}), want: "has no value"},
		"no value but healthy":          {check: returning(sdk.Metric{Name: "x", Status: sdk.Healthy, Message: "m"}), want: "has no value"},
		"a result that says nothing":    {check: func(context.Context, sdk.Request) (sdk.Result, error) { return sdk.Result{}, nil }, want: "neither status nor metrics"},
		"a panic":                       {check: func(context.Context, sdk.Request) (sdk.Result, error) { panic("ouch") }, want: "panic in Check: ouch"},
		"a metric nobody documented":    {check: returning(nan), info: func(i *sdk.Info) { *i = info() }, want: "x is not in Info.Metrics"},
		"a unit that is not documented": {check: returning(sdk.Number("disk_used_ratio", 1, sdk.Healthy).WithUnit("MB")), info: func(i *sdk.Info) { *i = info() }, want: `has unit "MB"`},
		"a metric without help":         {check: good, info: func(i *sdk.Info) { i.Metrics = []sdk.MetricInfo{{Name: "x"}} }, want: `metric "x" has no Help`},
		"a name that is none":           {check: good, info: func(i *sdk.Info) { i.Name = "Disk!" }, want: "cannot be served"},
		"a counter that is no number": {check: func(context.Context, sdk.Request) (sdk.Result, error) {
			return sdk.Result{Status: sdk.Healthy, Counters: map[string]float64{"reads": math.NaN()}}, nil
		}, want: `counter "reads" is NaN`},
		"a check that ignores its context": {check: func(_ context.Context, r sdk.Request) (sdk.Result, error) {
			if r.CheckID == "trial" && len(r.Samples) == 0 && turn.Add(1) <= 2 { // only where the context is short
				<-release
			}
			return sdk.Result{Status: sdk.Healthy}, nil
		}, want: "is still running"},
		"metrics that come and go": {check: func() func(context.Context, sdk.Request) (sdk.Result, error) {
			var n atomic.Int64
			return func(context.Context, sdk.Request) (sdk.Result, error) {
				return sdk.Result{Status: sdk.Healthy, Metrics: many[:1+n.Add(1)%2]}, nil
			}
		}(), want: "of the same target gives"},
		"goroutines left behind": {check: func(context.Context, sdk.Request) (sdk.Result, error) {
			go func() { <-release }()
			return sdk.Result{Status: sdk.Healthy}, nil
		}, want: "goroutines behind"},
		"an error side by side": {check: func(context.Context, sdk.Request) (sdk.Result, error) {
			if !busy.CompareAndSwap(false, true) {
				return sdk.Result{}, errors.New("busy")
			}
			defer busy.Store(false)
			<-time.After(20 * time.Millisecond) // long enough for the others to come
			return sdk.Result{Status: sdk.Healthy}, nil
		}, want: "side by side a check gives"},
	} {
		t.Run(why, func(t *testing.T) {
			i := sdk.Info{Name: "disk", Version: "1.0.0"}
			if c.info != nil {
				c.info(&i)
			}
			found := &recorder{TB: t}
			Run(found, mutant{sdk.NewConfig(settings{Limit: 1}), c.check}, Info(i))
			if !strings.Contains(strings.Join(found.failed, "\n"), c.want) {
				t.Errorf("found %q, want %q", found.failed, c.want)
			}
		})
	}
}

func TestABadConfigurationIsFound(t *testing.T) {
	type ill struct {
		Limit float64 `json:"limit" jsonschema:"minimum=1"`
	}
	type unmarshalable struct {
		Wait time.Duration `json:"wait"`
	}
	for why, c := range map[string]struct {
		checker  sdk.Checker
		settings map[string]any
		want     string
	}{
		"defaults out of their own range":    {configured[ill]{sdk.NewConfig(ill{})}, nil, "the defaults break"},
		"a type that is no JSON":             {configured[unmarshalable]{sdk.NewConfig(unmarshalable{})}, nil, "use sdk.Seconds"},
		"defaults that do not validate":      {configured[fussy]{sdk.NewConfig(fussy{})}, nil, "want every key to have a default"},
		"a Validate that panics":             {configured[panicky]{sdk.NewConfig(panicky{})}, nil, "panic in Configure"},
		"settings of the test's own":         {mutant{sdk.NewConfig(settings{Limit: 1}), good}, map[string]any{"limit": -1}, "are refused"},
		"a configuration that takes any key": {configured[anything]{sdk.NewConfig(anything{})}, nil, `want a diagnostic with the path "no_such_key"`},
	} {
		t.Run(why, func(t *testing.T) {
			found := &recorder{TB: t}
			Run(found, c.checker, Settings(c.settings))
			if !strings.Contains(strings.Join(found.failed, "\n"), c.want) {
				t.Errorf("found %q, want %q", found.failed, c.want)
			}
		})
	}
}

type configured[T any] struct{ *sdk.Config[T] }

func (configured[T]) Check(ctx context.Context, r sdk.Request) (sdk.Result, error) {
	return good(ctx, r)
}

type fussy struct {
	Name string `json:"name"`
}

func (f fussy) Validate() error {
	if f.Name == "" {
		return sdk.Diagnostic{Path: "name", Summary: "is empty"}
	}
	return nil
}

type panicky struct {
	Name string `json:"name"`
}

func (panicky) Validate() error { panic("no") }

// anything describes itself as an object without known keys.
type anything struct{}

func (anything) JSONSchema() *jsonschema.Schema { return &jsonschema.Schema{Type: "object"} }
