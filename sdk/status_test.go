package sdk

import (
	"math"
	"testing"
)

func TestOverJudgesByThreshold(t *testing.T) {
	for _, c := range []struct {
		value, threshold float64
		want             Status
		why              string
	}{
		{0, 80, Healthy, "far below"},
		{80, 80, Healthy, "equal to the threshold is healthy"},
		{80.01, 80, Warning, "just above the threshold"},
		{95.99, 80, Warning, "just below 1.2 times the threshold"},
		{96, 80, Critical, "1.2 times the threshold"},
		{600, 500, Critical, "1.2 times the threshold of another size"},
		{1200, 1000, Critical, "1.2 times a round threshold"},
		{0.12, 0.1, Critical, "1.2 times a fraction"},
		{0, 0, Healthy, "a threshold of 0 is not exceeded by 0"},
		{1, 0, Critical, "anything is more than 1.2 times 0"},
		{-1, 0, Healthy, "below"},
		{math.Inf(1), 80, Critical, "infinitely much is too much"},
		{math.NaN(), 80, Unknown, "what is no number cannot be judged"},
		{1, math.NaN(), Unknown, "nor against what is no number"},
	} {
		if got := Over(c.value, c.threshold); got != c.want {
			t.Errorf("Over(%v, %v) = %v, want %v: %s", c.value, c.threshold, got, c.want, c.why)
		}
	}
}

func TestWorstStatusOrdersUnknownBetweenWarningAndCritical(t *testing.T) {
	for _, c := range []struct {
		statuses []Status
		want     Status
		why      string
	}{
		{nil, Unknown, "nothing said is unknown"},
		{[]Status{Healthy, Healthy}, Healthy, "all healthy"},
		{[]Status{Healthy, Warning}, Warning, "a warning wins over healthy"},
		{[]Status{Warning, Unknown, Healthy}, Unknown, "not knowing is worse than a warning"},
		{[]Status{Unknown, Critical, Warning}, Critical, "certain illness is worst"},
		{[]Status{Healthy, Status(9)}, Status(9), "a word nobody knows counts as unknown"},
	} {
		if got := Worst(c.statuses...); got != c.want {
			t.Errorf("Worst(%v) = %v, want %v: %s", c.statuses, got, c.want, c.why)
		}
	}
}

func TestAResultWithoutAStatusTakesItsWorstMetrics(t *testing.T) {
	for _, c := range []struct {
		result Result
		want   Status
		why    string
	}{
		{Result{}, Unknown, "no status and no metric: nobody knows"},
		{Result{Metrics: []Metric{Number("a", 1, Healthy), Number("b", 1, Critical)}}, Critical, "the worst metric counts"},
		{Result{Metrics: []Metric{Number("a", 1, Warning), Unmeasured("b", "no access")}}, Unknown, "unknown is worse than a warning"},
		{Result{Status: Warning, Metrics: []Metric{Number("a", 1, Critical)}}, Warning, "the author's word stands"},
		{Result{Status: Healthy, Metrics: []Metric{Unmeasured("a", "optional")}}, Healthy, "the author's word stands"},
	} {
		if got := c.result.overall(); got != c.want {
			t.Errorf("%+v: status %v, want %v: %s", c.result, got, c.want, c.why)
		}
	}
}

func TestMetricsAreCopiedByTheirWithMethods(t *testing.T) {
	base := Number("cpu", 1, Healthy).WithLabel("process", "hub")
	changed := base.WithLabel("process", "host").WithUnit("%").WithThreshold(80).WithMessage("m").AsLoad()
	if base.Labels["process"] != "hub" || base.Unit != "" || base.Threshold != nil || base.Load {
		t.Errorf("the original changed: %+v", base)
	}
	if changed.Labels["process"] != "host" || changed.Unit != "%" || *changed.Threshold != 80 || changed.Message != "m" || !changed.Load {
		t.Errorf("the copy lacks something: %+v", changed)
	}
}

func TestANumberThatIsNoneHasNoValueAndUnknownStatus(t *testing.T) {
	for _, n := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, m := range []Metric{Number("x", n, Healthy), Limited("x", n, 10)} {
			if !m.Value.Empty() || m.Status != Unknown || m.Message == "" {
				t.Errorf("metric of %v: %+v, want an empty value, status unknown and a message", n, m)
			}
		}
	}
	if m := Number("x", 1, Healthy).WithThreshold(math.NaN()); m.Threshold != nil {
		t.Error("a threshold that is no number was kept")
	}
}

func TestValuesShowWhatTheyAre(t *testing.T) {
	for _, c := range []struct {
		value Value
		want  string
	}{
		{Number("a", 1.5, Healthy).Value, "1.5"},
		{Text("a", "running", Healthy).Value, "running"},
		{Flag("a", true, Healthy).Value, "true"},
		{Value{}, ""},
	} {
		if got := c.value.String(); got != c.want {
			t.Errorf("%#v shows %q, want %q", c.value, got, c.want)
		}
	}
	if _, ok := Text("a", "1", Healthy).Value.Number(); ok {
		t.Error("a text passes for a number")
	}
	if v, ok := Flag("a", true, Healthy).Value.Flag(); !ok || !v {
		t.Error("a flag does not read back")
	}
	if v, ok := Text("a", "x", Healthy).Value.Text(); !ok || v != "x" {
		t.Error("a text does not read back")
	}
}

func TestAResultWithoutAMessageNamesItsWorstMetrics(t *testing.T) {
	ill := Limited("memory_usage_mb", 612.5, 500).WithUnit("MB").WithLabel("process", "host").WithLabel("a", "b")
	for _, c := range []struct {
		result Result
		want   string
		why    string
	}{
		{Result{Metrics: []Metric{Number("a", 1, Healthy)}}, "", "all is well"},
		{Result{Message: "mine", Metrics: []Metric{ill}}, "mine", "the author's words stand"},
		{Result{Metrics: []Metric{Number("a", 1, Warning), ill}}, `memory_usage_mb{a="b",process="host"} is 612.5 MB (threshold 500)`, "only the worst"},
		{Result{Metrics: []Metric{Flag("up", false, Critical).WithMessage("no answer")}}, "up is false: no answer", "its message tells more"},
		{Result{Metrics: []Metric{Unmeasured("fds", "no access").WithUnit("n")}}, "fds is unknown: no access", "not measured"},
		{Result{Metrics: []Metric{Text("a", "x", Warning), Text("b", "x", Warning), Text("c", "x", Warning), Text("d", "x", Warning)}}, "a is x; b is x; c is x; …", "at most three"},
		{Result{Status: Critical}, "", "there is nothing to tell"},
	} {
		if got := c.result.message(); got != c.want {
			t.Errorf("message %q, want %q: %s", got, c.want, c.why)
		}
	}
}
