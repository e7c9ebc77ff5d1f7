//go:build unix

package conformance

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/internal/child"
)

// spec starts the test binary as a plugin.
func spec(t testing.TB, mode string) child.Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return child.Spec{
		Name: "mutant", Path: self, Args: []string{"be-plugin=" + mode}, Dir: t.TempDir(),
		Env: []string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"},
	}
}

func test(t testing.TB, o Options) Report {
	t.Helper()
	report, err := Test(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAPluginThatKeepsEveryRulePasses(t *testing.T) {
	var told []string
	report := test(t, Options{Spec: spec(t, ""), Found: func(f Finding) { told = append(told, f.Rule) }})
	for _, f := range report.Findings {
		if f.Outcome != Pass {
			t.Errorf("%s: %s %s", f.Rule, f.Outcome, f.Found)
		}
	}
	if !report.OK || report.Version != "1.2.3" || !slices.Equal(report.Kinds, []string{"checker", "recovery"}) {
		t.Errorf("the report says %+v", report)
	}
	if !slices.Equal(told, Rules()) {
		t.Errorf("told of %v, want each of %v as it comes", told, Rules())
	}
}

func TestForEachRuleThereIsAPluginThatBreaksItAndNoOther(t *testing.T) {
	for _, broken := range Rules() {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			report := test(t, Options{Spec: spec(t, broken)})
			if report.OK {
				t.Errorf("a plugin that breaks the rule %s passes", broken)
			}
			for _, f := range report.Findings {
				switch {
				case f.Rule == broken && (f.Outcome != Fail || f.Found == "" || f.Change == ""):
					t.Errorf("%s: %s %q, change %q: want it to fail, with what was found and what to change", f.Rule, f.Outcome, f.Found, f.Change)
				case f.Rule != broken && f.Outcome == Fail:
					t.Errorf("%s fails too: %s", f.Rule, f.Found)
				case f.Rule == broken:
					t.Logf("%s → %s", f.Found, f.Change)
				}
			}
		})
	}
}

func TestWhatCannotBeTriedIsSkippedAndSaysWhy(t *testing.T) {
	s := spec(t, "")
	s.Path, s.Args = "/bin/sh", []string{"-c", "echo sorry >&2; exit 3"}
	report := test(t, Options{Spec: s})
	if report.OK || report.Count(Fail) != 1 || report.Count(Skip) != len(Rules())-1 {
		t.Fatalf("a plugin that does not start: %+v", report)
	}
	if f := report.Findings[0]; f.Found != "its process ended: exit status 3 after "+after(f.Found)+"; last words: sorry" {
		t.Errorf("found %q, want how it ended and its last words", f.Found)
	}
	for _, f := range report.Findings[1:] {
		if f.Found != "it does not start" {
			t.Errorf("%s was skipped because %q", f.Rule, f.Found)
		}
	}
	s.Path = "/nowhere"
	if report := test(t, Options{Spec: s}); report.OK || report.Findings[0].Outcome != Fail {
		t.Errorf("a file that is not there: %+v", report.Findings[0])
	}
}

// after cuts the time out of a sentence on an exit.
func after(found string) string {
	_, rest, _ := strings.Cut(found, " after ")
	took, _, _ := strings.Cut(rest, ";")
	return took
}

func TestAConfigurationThatIsRefusedIsTheAuthorsToMend(t *testing.T) {
	report := test(t, Options{Spec: spec(t, ""), Config: map[string]any{"share": "all"}})
	for _, f := range report.Findings {
		if f.Rule == "configuration" && f.Outcome != Fail || f.Rule != "configuration" && f.Outcome == Fail {
			t.Errorf("%s: %s %s", f.Rule, f.Outcome, f.Found)
		}
	}
}

func TestATestThatIsGivenUpEndsAndAccusesNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	report, err := Test(ctx, Options{Spec: spec(t, ""), Found: func(f Finding) {
		if f.Rule == "describe" {
			cancel()
		}
	}})
	if err != nil || report.Count(Fail) != 0 || report.Count(Skip) != len(Rules())-5 {
		t.Errorf("given up after five rules: %d passed, %d failed, %d skipped, %v", report.Count(Pass), report.Count(Fail), report.Count(Skip), err)
	}
}
