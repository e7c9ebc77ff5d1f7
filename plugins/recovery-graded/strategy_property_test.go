package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upkeephub/upkeep/sdk"
)

var (
	anyStatus  = rapid.SampledFrom([]sdk.Status{sdk.Unknown, sdk.Healthy, sdk.Warning, sdk.Critical, sdk.Status(9)})
	anyOutcome = rapid.SampledFrom([]sdk.Outcome{sdk.OutcomeUnknown, sdk.OutcomePending, sdk.OutcomeCured, sdk.OutcomeNotCured, sdk.OutcomeFailed, sdk.OutcomeTimedOut})
	anyAction  = rapid.SampledFrom([]sdk.Action{sdk.None, sdk.LogWarning, sdk.QuarantineOffender, sdk.ClearConnections, sdk.RestartService, sdk.EmergencyStop, "page_somebody"})
	anyTime    = rapid.Map(rapid.IntRange(-400, 400), func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) })
)

var anyCheck = rapid.Custom(func(t *rapid.T) sdk.CheckResult {
	c := sdk.CheckResult{Check: "c", Status: anyStatus.Draw(t, "check")}
	for range rapid.IntRange(0, 3).Draw(t, "metrics") {
		c.Metrics = append(c.Metrics, sdk.Metric{Name: "m", Status: anyStatus.Draw(t, "metric"), Load: rapid.Bool().Draw(t, "load")})
	}
	return c
})

var anyReport = rapid.Custom(func(t *rapid.T) sdk.Report {
	r := report(anyTime.Draw(t, "time"), rapid.SliceOfN(anyCheck, 0, 4).Draw(t, "checks")...)
	if rapid.Bool().Draw(t, "host sees it otherwise") {
		r.Status, r.StatusWithoutLoad = anyStatus.Draw(t, "status"), anyStatus.Draw(t, "without load")
	}
	return r
})

var anySituation = rapid.Custom(func(t *rapid.T) sdk.Situation {
	s := sdk.Situation{Now: start, Report: anyReport.Draw(t, "report"), History: rapid.SliceOfN(anyReport, 0, 20).Draw(t, "history")}
	s.History = slices.Insert(s.History, 0, s.Report)
	for range rapid.IntRange(0, 4).Draw(t, "attempts") {
		s.Incident.Attempts = append(s.Incident.Attempts, sdk.Attempt{Action: anyAction.Draw(t, "attempt"), Outcome: anyOutcome.Draw(t, "outcome")})
	}
	if rapid.Bool().Draw(t, "logged") {
		s.Incident.WarningLoggedAt = anyTime.Draw(t, "logged at")
	}
	for range rapid.IntRange(0, 6).Draw(t, "actions") {
		s.Actions = append(s.Actions, sdk.ActionState{Action: anyAction.Draw(t, "action"), Applicable: rapid.Bool().Draw(t, "applicable")})
	}
	s.Incident.Causes = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "causes")
	for range rapid.IntRange(0, 4).Draw(t, "effects") {
		s.Effects = append(s.Effects, sdk.Effect{Cause: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "cause"), Action: anyAction.Draw(t, "effect of"),
			CuredWeight: rapid.Float64Range(0, 3).Draw(t, "cured"), NotCuredWeight: rapid.Float64Range(0, 3).Draw(t, "not cured")})
	}
	return s
})

var anyLimits = rapid.Custom(func(t *rapid.T) settings {
	return settings{rapid.IntRange(1, 5).Draw(t, "warning"), rapid.IntRange(1, 5).Draw(t, "critical"), sdk.Seconds(rapid.IntRange(1, 600).Draw(t, "window"))}
})

func destructive(a sdk.Action) bool { return slices.Contains(ladder, a) }

// always checks a property of the answer to any situation.
func always(t *testing.T, property func(t *rapid.T, s sdk.Situation, p sdk.Proposal)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		limits, s := anyLimits.Draw(t, "limits"), anySituation.Draw(t, "situation")
		property(t, s, decide(limits, s))
	})
}

func TestAllUnknownNeverLeadsToADestructiveAction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySituation.Draw(t, "situation")
		blind := func(r *sdk.Report) {
			r.Checks = slices.Repeat([]sdk.CheckResult{unknown}, rapid.IntRange(1, 4).Draw(t, "checkers"))
		}
		blind(&s.Report)
		for i := range s.History {
			blind(&s.History[i])
		}
		if p := decide(anyLimits.Draw(t, "limits"), s); destructive(p.Action) {
			t.Fatalf("nobody could look, and the answer is %+v", p)
		}
	})
}

func TestOnlyACriticalReportStopsTheService(t *testing.T) {
	always(t, func(t *rapid.T, s sdk.Situation, p sdk.Proposal) {
		if s.Report.StatusWithoutLoad != sdk.Critical && (p.Action == sdk.EmergencyStop || p.Action == sdk.RestartService) {
			t.Fatalf("without load the report is %v, and the answer is %+v", s.Report.StatusWithoutLoad, p)
		}
	})
}

func TestLoadAloneLeadsToALogLineAtMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySituation.Draw(t, "situation")
		loaded := func(r *sdk.Report) {
			*r = report(r.Time, busy(rapid.SampledFrom([]sdk.Status{sdk.Warning, sdk.Critical}).Draw(t, "load")), well)
		}
		loaded(&s.Report)
		for i := range s.History {
			loaded(&s.History[i])
		}
		if p := decide(anyLimits.Draw(t, "limits"), s); destructive(p.Action) {
			t.Fatalf("the hub is busy, and the answer is %+v", p)
		}
	})
}

func TestTheLadderIsClimbedAndNeverDescended(t *testing.T) {
	always(t, func(t *rapid.T, s sdk.Situation, p sdk.Proposal) {
		for _, a := range s.Incident.Attempts {
			if destructive(p.Action) && slices.Index(ladder, p.Action) <= slices.Index(ladder, a.Action) {
				t.Fatalf("%s was attempted, and the answer is %+v", a.Action, p)
			}
		}
	})
}

func TestOnlyWhatCanRunIsProposed(t *testing.T) {
	always(t, func(t *rapid.T, s sdk.Situation, p sdk.Proposal) {
		if p.Action != sdk.None && !applicable(s, p.Action) {
			t.Fatalf("%s cannot run, and the answer is %+v", p.Action, p)
		}
		if p.Action == "page_somebody" {
			t.Fatalf("an action that is no rung is proposed: %+v", p)
		}
	})
}

func TestHealthAndPendingAttemptsLeadToNothing(t *testing.T) {
	always(t, func(t *rapid.T, s sdk.Situation, p sdk.Proposal) {
		pending := slices.ContainsFunc(s.Incident.Attempts, func(a sdk.Attempt) bool { return a.Outcome == sdk.OutcomePending })
		if (s.Report.Status == sdk.Healthy || pending) && p.Action != sdk.None {
			t.Fatalf("the answer is %+v", p)
		}
	})
}

func TestTheSameSituationGivesTheSameAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits, s := anyLimits.Draw(t, "limits"), anySituation.Draw(t, "situation")
		first := decide(limits, s)
		if again := decide(limits, s); again != first {
			t.Fatalf("first %+v, then %+v", first, again)
		}
	})
}

func TestAWorseCurrentReportNeverLeadsToLess(t *testing.T) {
	rank := func(a sdk.Action) int {
		return slices.Index([]sdk.Action{sdk.None, sdk.LogWarning, sdk.QuarantineOffender, sdk.ClearConnections, sdk.RestartService, sdk.EmergencyStop}, a)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := anySituation.Draw(t, "situation")
		s.Report = report(s.Now, warned)
		s.History[0] = s.Report
		limits := settings{rapid.IntRange(1, 3).Draw(t, "warning"), 1, 300}
		mild := decide(limits, s)
		s.Report = report(s.Now, ill)
		s.History[0] = s.Report
		if severe := decide(limits, s); rank(severe.Action) < rank(mild.Action) && severe.Rule != ruleLadderExhausted {
			t.Fatalf("a warning gives %+v, a critical report %+v", mild, severe)
		}
	})
}

func TestMemoryNeverLeadsToTheEmergencyStopNorToNothing(t *testing.T) {
	always(t, func(t *rapid.T, s sdk.Situation, p sdk.Proposal) {
		limits := settings{1, 1, 300}
		with := decide(limits, s)
		s.Effects = nil
		without := decide(limits, s)
		if with.Action == sdk.EmergencyStop && without.Action != sdk.EmergencyStop {
			t.Fatalf("without memory %+v, with it %+v", without, with)
		}
		if known(s.Report) == sdk.Critical && with.Action == sdk.None && without.Action != sdk.None {
			t.Fatalf("critical: without memory %+v, with it %+v", without, with)
		}
	})
}
