package main

import (
	"testing"

	"github.com/upkeephub/upkeep/sdk"
	"github.com/upkeephub/upkeep/sdk/checkertest"
)

func TestCheckerKeepsTheContract(t *testing.T) {
	checkertest.Run(t, newChecker(), checkertest.Info(info))
}

func TestAPluginIsCalledAsItsFile(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/plugins/check_load/check_load": "check_load", "exec-checker": "exec-checker", "/dev/fd/7": "exec-checker",
		"/tmp/Main": "exec-checker", "check.exe": "check",
	} {
		if got := nameOf(path); got != want {
			t.Errorf("%s is called %s, want %s", path, got, want)
		}
	}
}

func TestValuesAreReadWithTheirUnitsAndRanges(t *testing.T) {
	text, values := split("DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968 'a ''b'''=1,5s;~:2;@1:3 broken =1 x=U\nlong text\n/boot 68 MB | /boot=68%;;90 t=12c y=-.5e1rpm;-10:\n")
	if text != "DISK OK - free space: / 3326 MB (56%);" {
		t.Errorf("the text is %q", text)
	}
	type metric struct {
		name, label string
		number      float64
		threshold   float64 // 0: none
		status      sdk.Status
	}
	var found []metric
	for _, v := range values {
		m := v.metric(sdk.Critical)
		n, _ := m.Value.Number()
		f := metric{m.Name, m.Labels["name"], n, 0, m.Status}
		if m.Threshold != nil {
			f.threshold = *m.Threshold
		}
		found = append(found, f)
	}
	want := []metric{
		{"exec_bytes", "/", 2643 << 20, 5948 << 20, sdk.Healthy},
		{"exec_seconds", "a 'b'", 1.5, 2, sdk.Critical},
		{"exec_percent", "/boot", 68, 0, sdk.Healthy},
		{"exec_counter", "t", 12, 0, sdk.Healthy},
		{"exec_value", "y", -5, 0, sdk.Healthy},
	}
	if len(found) != len(want) {
		t.Fatalf("found %v", found)
	}
	for i := range want {
		if found[i] != want[i] {
			t.Errorf("value %d is %+v, want %+v", i, found[i], want[i])
		}
	}
	if unit := values[4].metric(sdk.Healthy).Labels["unit"]; unit != "rpm" {
		t.Errorf("a unit that nobody knows is the label %q", unit)
	}
}

func TestRangesAlarmAsTheirRulesSay(t *testing.T) {
	for _, try := range []struct {
		text      string
		quiet     []float64
		alarms    []float64
		isNothing bool
	}{
		{"10", []float64{0, 5, 10}, []float64{-1, 11}, false},
		{"10:", []float64{10, 99}, []float64{9}, false},
		{"~:10", []float64{-99, 10}, []float64{11}, false},
		{"10:20", []float64{10, 20}, []float64{9, 21}, false},
		{"@10:20", []float64{9, 21}, []float64{10, 15, 20}, false},
		{"", nil, nil, true},
		{"many", nil, nil, true},
		{"1:many", nil, nil, true},
	} {
		s := parseSpan(try.text)
		if (s == nil) != try.isNothing {
			t.Errorf("%q is %+v", try.text, s)
			continue
		}
		for _, n := range try.quiet {
			if s.alarms(n) {
				t.Errorf("%q alarms at %v", try.text, n)
			}
		}
		for _, n := range try.alarms {
			if !s.alarms(n) {
				t.Errorf("%q does not alarm at %v", try.text, n)
			}
		}
	}
}

func TestAValueIsNeverWorseThanTheWhole(t *testing.T) {
	_, values := split("OK | a=99;10;20")
	for _, whole := range []sdk.Status{sdk.Healthy, sdk.Warning, sdk.Critical} {
		if got := values[0].metric(whole).Status; got != whole {
			t.Errorf("the program said %s, the value says %s", whole, got)
		}
	}
}

func FuzzOutputIsReadWhateverItIs(f *testing.F) {
	f.Add("OK | 'a b'=1ms;2;@3:4;; c=5")
	f.Add("|=|=|'")
	f.Fuzz(func(t *testing.T, output string) {
		_, values := split(output)
		for _, v := range values {
			m := v.metric(sdk.Critical)
			if n, ok := m.Value.Number(); ok && n-n != 0 || len(m.Labels["name"]) > 256 {
				t.Errorf("%q gives %+v", output, m)
			}
		}
	})
}
