package health

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// damp plays results, a letter each (h, w, c, u), and gives what counts of each;
// an f after it says that the check flaps.
func damp(cfg DampConfig, results string) string {
	var d Damper
	var out []string
	letters := map[rune]Status{'h': Healthy, 'w': Warning, 'c': Critical, 'u': Unknown}
	for _, l := range results {
		r := d.Add(cfg, Result{Check: "a", Status: letters[l]})
		letter := r.Status.String()[:1]
		if r.Flapping {
			letter += "f"
		}
		out = append(out, letter)
	}
	return strings.Join(out, "")
}

func TestRiseAndFallCountResultsInARow(t *testing.T) {
	for _, c := range []struct {
		rise, fall    int
		results, want string
		why           string
	}{
		{1, 1, "hchw", "hchw", "every result at its word"},
		{0, 0, "hch", "hch", "below 1 is 1"},
		{1, 3, "hcchccch", "hhhhhhch", "two are not enough to fall, and a healthy one in between begins anew"},
		{3, 1, "hchhchhhc", "hcccccchc", "two healthy ones are not enough to rise"},
		{3, 1, "hcwh", "hcww", "between warning and critical nothing waits"},
		{1, 2, "cc", "cc", "the first result counts as it is"},
		{1, 2, "huuch", "huuhh", "a look that failed is unknown at once, and no fall"},
		{2, 1, "cuhuh", "cucuh", "nor does it break a rise"},
	} {
		if got := damp(DampConfig{Rise: c.rise, Fall: c.fall}, c.results); got != c.want {
			t.Errorf("rise %d, fall %d: %s counts as %s, want %s: %s", c.rise, c.fall, c.results, got, c.want, c.why)
		}
	}
}

func TestFlappingCountsAsTroubleUntilItIsOver(t *testing.T) {
	cfg := DampConfig{Flap: FlapConfig{Results: 10, Bad: 4, High: 50, Low: 25}}
	for _, c := range []struct{ results, want, why string }{
		{"hchchchh", "hchchcfwfwf", "five changes of nine are over 50 %"},
		{"cccccccchhhhhhhhhh", "cccccccchhhhhhhhhh", "one illness and its cure are no flapping"},
		{"cccchcc" + "hhhhhhhh", "cccchcfcf" + "wfwfwfwfwfwfhh", "two stretches with four of ten, until they leave the window"},
		{"hhhhhhhhchhhhhhhhch", "hhhhhhhhchhhhhhhhch", "now and then is not often"},
	} {
		got := damp(cfg, c.results)
		if got != c.want {
			t.Errorf("%s counts as %s, want %s: %s", c.results, got, c.want, c.why)
		}
	}
	if got := damp(DampConfig{}, strings.Repeat("hc", 30)); got != strings.Repeat("hc", 30) {
		t.Errorf("switched off, it damps: %s", got)
	}
}

func TestADamperBeginsAnewWithAnotherGeneration(t *testing.T) {
	var d Damper
	cfg := DampConfig{Rise: 5, Fall: 5}
	d.Add(cfg, Result{Status: Critical, Generation: 1})
	if r := d.Add(cfg, Result{Status: Healthy, Generation: 1}); r.Status != Critical || r.Observed != Healthy {
		t.Errorf("the same hub: %+v", r)
	}
	if r := d.Add(cfg, Result{Status: Healthy, Generation: 2}); r.Status != Healthy {
		t.Errorf("the illness of the old hub is held against the new one: %+v", r)
	}
}

func TestWhatIsCarriedIsNotCounted(t *testing.T) {
	var d Damper
	cfg := DampConfig{Rise: 3, Fall: 1}
	d.Add(cfg, Result{Status: Critical})
	for range 10 {
		if r := d.Add(cfg, Result{Status: Healthy, Carried: true}); r.Status != Critical {
			t.Fatalf("carried results make it %s", r.Status)
		}
	}
}

func TestLoadThatComesAndGoesNeverCountsAsMoreThanLoad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Damper
		cfg := DampConfig{Rise: rapid.IntRange(1, 5).Draw(t, "rise"), Fall: rapid.IntRange(1, 5).Draw(t, "fall"), Flap: FlapConfig{Results: 6, Bad: 2, High: 30, Low: 10}}
		for range rapid.IntRange(1, 60).Draw(t, "results") {
			s := rapid.SampledFrom([]Status{Healthy, Warning, Critical}).Draw(t, "load")
			r := d.Add(cfg, Result{Status: s, Metrics: []Metric{{Name: "cpu", Status: s, Load: true}}})
			if r.WithoutLoad() != Healthy {
				t.Fatalf("mere load is %s without load", r.WithoutLoad())
			}
		}
	})
}

func TestDampingNeverInventsASeverityThatNobodySaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Damper
		cfg := DampConfig{Rise: rapid.IntRange(1, 4).Draw(t, "rise"), Fall: rapid.IntRange(1, 4).Draw(t, "fall")}
		if rapid.Bool().Draw(t, "flap") {
			cfg.Flap = FlapConfig{Results: 5, Bad: 2, High: 40, Low: 20}
		}
		worst, run := Healthy, 0
		for range rapid.IntRange(1, 60).Draw(t, "results") {
			s := rapid.SampledFrom([]Status{Unknown, Healthy, Healthy, Warning, Critical}).Draw(t, "result")
			r := d.Add(cfg, Result{Status: s})
			if s == Unknown {
				if r.Status != Unknown {
					t.Fatalf("a failed look counts as %s", r.Status)
				}
				continue
			}
			if s == Healthy {
				run = 0
			} else if run++; run >= cfg.Fall && r.Status == Healthy {
				t.Fatalf("after %d that are not healthy in a row it counts as healthy", run)
			}
			if worst = Worse(worst, s); r.Status.Severity() > worst.Severity() {
				t.Fatalf("%s counts, and the worst was %s", r.Status, worst)
			}
		}
	})
}

func TestASymptomIsToldFromItsCause(t *testing.T) {
	deps := map[string][]string{"latency": {"process"}, "users": {"latency"}, "a": {"b"}, "b": {"a"}, "self": {"self"}}
	for _, c := range []struct {
		statuses map[string]Status
		want     string
		why      string
	}{
		{map[string]Status{"latency": Critical, "process": Warning}, "latency<process", "its cause is ill"},
		{map[string]Status{"latency": Critical, "process": Healthy}, "", "its cause is well"},
		{map[string]Status{"latency": Critical, "process": Unknown}, "", "nobody knows of its cause"},
		{map[string]Status{"users": Critical, "process": Critical, "latency": Healthy}, "users<process", "by way of one that is well"},
		{map[string]Status{"a": Critical, "b": Critical}, "", "each depends on the other"},
		{map[string]Status{"self": Critical}, "", "on itself"},
		{map[string]Status{"latency": Unknown, "process": Critical}, "", "a look that failed is nobody's symptom"},
	} {
		var results []Result
		for _, check := range []string{"a", "b", "latency", "process", "self", "users"} {
			if s, is := c.statuses[check]; is {
				results = append(results, Result{Check: check, Status: s})
			}
		}
		var got []string
		report := Report{Results: Symptoms(results, deps)}
		for _, r := range report.Results {
			if r.SymptomOf != "" {
				got = append(got, r.Check+"<"+r.SymptomOf)
				for _, cause := range report.Causes() {
					if cause == r.Check {
						t.Errorf("%s: a symptom is among the causes", c.why)
					}
				}
			}
		}
		if fmt.Sprint(strings.Join(got, " ")) != c.want {
			t.Errorf("symptoms %v, want %q: %s", got, c.want, c.why)
		}
	}
}

func TestWhatWasObservedIsShownBesideWhatCounts(t *testing.T) {
	var d Damper
	cfg := DampConfig{Fall: 2}
	d.Add(cfg, Result{Status: Healthy})
	text, err := json.Marshal(d.Add(cfg, Result{Status: Critical}))
	if err != nil || !strings.Contains(string(text), `"overall_status":"healthy"`) || !strings.Contains(string(text), `"observed_status":"critical"`) {
		t.Errorf("%s, %v", text, err)
	}
	d = Damper{}
	d.Add(cfg, Result{Status: Healthy})
	if v := d.Add(cfg, Result{Status: Critical, Metrics: []Metric{{Status: Critical}}}).Verdict(false); Join(Ratio, []Verdict{v}) != Healthy {
		t.Errorf("the metrics of a result that does not count do: %+v", v)
	}
}
