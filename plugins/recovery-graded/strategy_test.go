package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

var start = time.Unix(1_700_000_000, 0)

// episode plays the host's part over a run of reports, one a second: it counts,
// does what is proposed, and judges every attempt as not cured.
type episode struct {
	limits   settings
	now      time.Time
	history  []sdk.Report // newest first
	incident sdk.Incident
	cannot   []sdk.Action
	effects  []sdk.Effect
	stands   bool // an offender stands out
}

func newEpisode() *episode {
	return &episode{limits: newStrategy().Current(), now: start, incident: sdk.Incident{ID: "inc-1", OpenedAt: start, Causes: []string{"network_connectivity"}}}
}

// next reports and returns the proposal.
func (e *episode) next(checks ...sdk.CheckResult) sdk.Proposal {
	e.now = e.now.Add(time.Second)
	e.history = slices.Insert(e.history, 0, report(e.now, checks...))
	s := sdk.Situation{Now: e.now, Report: e.history[0], Incident: e.incident, History: e.history, Effects: e.effects}
	for _, a := range []sdk.Action{sdk.LogWarning, sdk.ClearConnections, sdk.RestartService, sdk.EmergencyStop} {
		s.Actions = append(s.Actions, sdk.ActionState{Action: a, Applicable: !slices.Contains(e.cannot, a)})
	}
	s.Actions = append(s.Actions, sdk.ActionState{Action: sdk.QuarantineOffender, Applicable: e.stands})
	p := decide(e.limits, s)
	switch p.Action {
	case sdk.None:
	case sdk.LogWarning:
		e.incident.WarningLoggedAt = e.now
	default:
		e.incident.Attempts = append(e.incident.Attempts, sdk.Attempt{Action: p.Action, StartedAt: e.now, Outcome: sdk.OutcomeNotCured})
		e.history = nil // counting begins anew
	}
	return p
}

// report joins checks as the host does: any critical, else any unknown or
// warning makes a warning.
func report(at time.Time, checks ...sdk.CheckResult) sdk.Report {
	r := sdk.Report{Time: at, Status: sdk.Healthy, StatusWithoutLoad: sdk.Healthy, Checks: checks}
	for _, c := range checks {
		r.Status = sdk.Worst(r.Status, atLeastWarning(c.Status))
		r.StatusWithoutLoad = sdk.Worst(r.StatusWithoutLoad, atLeastWarning(withoutLoad(c)))
	}
	return r
}

func atLeastWarning(s sdk.Status) sdk.Status {
	if s == sdk.Unknown {
		return sdk.Warning
	}
	return s
}

func is(s sdk.Status) sdk.CheckResult {
	return sdk.CheckResult{Check: "network_connectivity", Status: s, Metrics: []sdk.Metric{sdk.Number("x", 1, s)}}
}

func busy(s sdk.Status) sdk.CheckResult {
	return sdk.CheckResult{Check: "process_resources", Status: s, Metrics: []sdk.Metric{
		sdk.Number("cpu_usage_percent", 99, s).AsLoad(), sdk.Number("memory_usage_mb", 1, sdk.Healthy),
	}}
}

var (
	well     = is(sdk.Healthy)
	warned   = is(sdk.Warning)
	ill      = is(sdk.Critical)
	unknown  = is(sdk.Unknown)
	overload = busy(sdk.Critical)
)

// run plays one report after the other and joins the proposed actions.
func (e *episode) run(reports ...sdk.CheckResult) string {
	var actions []string
	for _, r := range reports {
		actions = append(actions, string(e.next(r).Action))
	}
	return strings.Join(actions, " ")
}

func TestTheStrategyIsCalledRecoveryGradedAndKeepsItsThresholds(t *testing.T) {
	if info.Name != "recovery-graded" {
		t.Errorf("its name is %q", info.Name)
	}
	if got, want := newStrategy().Current(), (settings{2, 1, 300}); got != want {
		t.Errorf("defaults are %+v, want %+v", got, want)
	}
}

func TestTheFirstCriticalReportLeadsToAnActionAtOnce(t *testing.T) {
	if got := newEpisode().next(ill); got.Action != sdk.ClearConnections || got.Rule != ruleCritical {
		t.Errorf("proposal %+v, want clear_connections", got)
	}
}

func TestTheFirstWarningDoesNothingAndTheSecondIsLogged(t *testing.T) {
	if got, want := newEpisode().run(warned, warned), "none log_warning"; got != want {
		t.Errorf("two warnings give %q, want %q", got, want)
	}
}

func TestThreeCriticalReportsClearThenRestartThenStop(t *testing.T) {
	if got, want := newEpisode().run(ill, ill, ill, ill), "clear_connections restart_service emergency_stop none"; got != want {
		t.Errorf("critical reports give %q, want %q", got, want)
	}
}

func TestWarningsEscalateToClearedConnectionsAndNoFurther(t *testing.T) {
	got := newEpisode().run(warned, warned, warned, warned, warned, warned, warned)
	if want := "none log_warning clear_connections none none none none"; got != want {
		t.Errorf("warnings give %q, want %q", got, want)
	}
}

func TestTheCriticalThresholdIsHonoured(t *testing.T) {
	e := newEpisode()
	e.limits.CriticalThreshold = 3
	e.cannot = []sdk.Action{sdk.ClearConnections}
	if got, want := e.run(ill, ill, ill), "none log_warning restart_service"; got != want {
		t.Errorf("with a threshold of 3 critical reports give %q, want %q", got, want)
	}
	if p := e.next(ill); p.Action != sdk.None || e.next(ill).Action != sdk.None || e.next(ill).Action != sdk.EmergencyStop {
		t.Error("the next rung needs three critical reports of its own")
	}
}

func TestALadderGoesOnWhereItIsWhateverComesBetween(t *testing.T) {
	for _, c := range []struct {
		reports []sdk.CheckResult
		want    string
		why     string
	}{
		{[]sdk.CheckResult{warned, warned, warned, ill, ill}, "none log_warning clear_connections restart_service emergency_stop", "what warnings tried is not tried again"},
		{[]sdk.CheckResult{ill, warned, warned, warned, ill}, "clear_connections none log_warning none restart_service", "after a critical rung warnings are logged and do no more"},
		{[]sdk.CheckResult{ill, well, ill}, "clear_connections none restart_service", "a healthy report in between closes nothing by itself"},
		{[]sdk.CheckResult{well, well}, "none none", "healthy"},
		{[]sdk.CheckResult{warned, well, warned, well, warned}, "none none log_warning none clear_connections", "flapping is trouble too"},
		{[]sdk.CheckResult{unknown, unknown, unknown, unknown}, "none log_warning none none", "nobody knows: a log line and no more"},
		{[]sdk.CheckResult{overload, overload, overload, overload}, "none log_warning none none", "busy is not ill"},
		{[]sdk.CheckResult{overload, overload, warned, warned}, "none log_warning none clear_connections", "one real warning after load is too few, two are enough"},
		{[]sdk.CheckResult{unknown, unknown, warned, warned}, "none log_warning none clear_connections", "nor does not knowing count as a warning"},
		{[]sdk.CheckResult{warned, warned, overload}, "none log_warning none", "warnings that have turned into mere load"},
		{[]sdk.CheckResult{warned, warned, unknown}, "none log_warning none", "warnings of which nobody knows whether they go on"},
		{[]sdk.CheckResult{unknown, ill}, "none clear_connections", "critical is critical"},
	} {
		if got := newEpisode().run(c.reports...); got != c.want {
			t.Errorf("actions %q, want %q: %s", got, c.want, c.why)
		}
	}
}

func TestARungThatCannotRunIsSkipped(t *testing.T) {
	for _, c := range []struct {
		cannot []sdk.Action
		report sdk.CheckResult
		want   string
		why    string
	}{
		{[]sdk.Action{sdk.ClearConnections}, ill, "restart_service emergency_stop none none", "a dead hub has no connections"},
		{[]sdk.Action{sdk.RestartService}, ill, "clear_connections emergency_stop none none", "restarting is switched off"},
		{[]sdk.Action{sdk.EmergencyStop}, ill, "clear_connections restart_service none none", "stopping is switched off"},
		{ladder, ill, "none none none none", "nothing can run"},
		{[]sdk.Action{sdk.ClearConnections}, warned, "none log_warning none none", "warnings have no other rung"},
		{[]sdk.Action{sdk.LogWarning}, warned, "none none clear_connections none", "without the log there is one report more all the same"},
	} {
		e := newEpisode()
		e.cannot = c.cannot
		if got := e.run(c.report, c.report, c.report, c.report); got != c.want {
			t.Errorf("without %v: %q, want %q: %s", c.cannot, got, c.want, c.why)
		}
	}
	// A rung below the highest one tried is not climbed down to.
	e := newEpisode()
	e.cannot = []sdk.Action{sdk.ClearConnections}
	e.next(ill)
	e.cannot = nil
	if got := e.next(ill).Action; got != sdk.EmergencyStop {
		t.Errorf("after restart_service comes %s, want emergency_stop", got)
	}
	if got := decide(e.limits, sdk.Situation{Now: start, Report: report(start, ill)}); got.Action != sdk.None {
		t.Errorf("an action that the host does not list is proposed: %+v", got)
	}
}

func TestNothingIsProposedWhileAnAttemptIsPending(t *testing.T) {
	e := newEpisode()
	e.next(ill)
	e.incident.Attempts[0].Outcome = sdk.OutcomePending
	if got := e.next(ill); got.Action != sdk.None || got.Rule != rulePending {
		t.Errorf("proposal %+v, want none", got)
	}
	for _, o := range []sdk.Outcome{sdk.OutcomeCured, sdk.OutcomeNotCured, sdk.OutcomeFailed, sdk.OutcomeTimedOut, sdk.OutcomeUnknown} {
		e := newEpisode()
		e.next(ill)
		e.incident.Attempts[0].Outcome = o
		if got := e.next(ill); got.Action != sdk.RestartService {
			t.Errorf("after an attempt that was %v comes %s, want restart_service: a rung is tried once in an incident", o, got.Action)
		}
	}
}

func TestReportsOutsideTheWindowDoNotCount(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		want sdk.Action
		why  string
	}{
		{300 * time.Second, sdk.LogWarning, "300 s are within the window"},
		{301 * time.Second, sdk.None, "an old warning is over"},
	} {
		s := sdk.Situation{
			Now: start, Report: report(start, warned), History: []sdk.Report{report(start, warned), report(start.Add(-c.age), warned)},
			Actions: []sdk.ActionState{{Action: sdk.LogWarning, Applicable: true}},
		}
		if got := decide(newStrategy().Current(), s); got.Action != c.want {
			t.Errorf("with a warning %v ago: %+v, want %s: %s", c.age, got, c.want, c.why)
		}
	}
}

func TestTheWarningIsLoggedOnceAndTheSameReportDoesNotEscalate(t *testing.T) {
	e := newEpisode()
	e.run(warned, warned)
	again := sdk.Situation{Now: e.now, Report: e.history[0], Incident: e.incident, History: e.history,
		Actions: []sdk.ActionState{{Action: sdk.LogWarning, Applicable: true}, {Action: sdk.ClearConnections, Applicable: true}}}
	if got := decide(e.limits, again); got.Action != sdk.None || got.Rule != ruleJustLogged {
		t.Errorf("asked again with the report that was logged: %+v, want none", got)
	}
}

func TestWhatIsKnownLeavesLoadAndGuessesOut(t *testing.T) {
	explained := sdk.CheckResult{Status: sdk.Critical, Metrics: []sdk.Metric{
		sdk.Number("cpu_usage_percent", 99, sdk.Critical).AsLoad(), sdk.Number("memory_usage_mb", 501, sdk.Warning),
	}}
	judged := sdk.CheckResult{Status: sdk.Critical, Metrics: []sdk.Metric{sdk.Number("cpu_usage_percent", 81, sdk.Warning).AsLoad()}}
	for _, c := range []struct {
		report sdk.Report
		want   sdk.Status
		why    string
	}{
		{report(start, ill, well), sdk.Critical, "a critical check"},
		{report(start, explained), sdk.Warning, "the load is critical, the rest a warning"},
		{report(start, judged), sdk.Critical, "the load does not explain it: the checker itself says so"},
		{report(start, overload, unknown), sdk.Unknown, "load and a guess are no evidence"},
		{report(start, overload, unknown, warned), sdk.Warning, "a warning is"},
		{report(start, unknown, well), sdk.Unknown, "one check could not look"},
		{sdk.Report{Status: sdk.Critical, StatusWithoutLoad: sdk.Critical, Checks: []sdk.CheckResult{unknown, unknown}}, sdk.Unknown, "nobody could look"},
		{sdk.Report{Status: sdk.Critical, StatusWithoutLoad: sdk.Critical, Checks: []sdk.CheckResult{well}}, sdk.Critical, "the host has counted how long it was critical"},
		{sdk.Report{Status: sdk.Critical, StatusWithoutLoad: sdk.Critical}, sdk.Critical, "no check is spelled out: the host's word counts"},
		{sdk.Report{Status: sdk.Critical}, sdk.Unknown, "the host does not say how it is without load"},
	} {
		if got := known(c.report); got != c.want {
			t.Errorf("%+v is known as %v, want %v: %s", c.report, got, c.want, c.why)
		}
	}
}

func TestEveryAnswerHasAReasonWithNumbersAndARule(t *testing.T) {
	e := newEpisode()
	for n, r := range []sdk.CheckResult{well, warned, warned, warned, warned, ill, ill, ill, overload, unknown} {
		p := e.next(r)
		if !strings.HasSuffix(p.Reason, ".") || p.Rule == "" || strings.Contains(p.Reason, "%!") {
			t.Errorf("answer %d is %+v, want a sentence and a rule", n, p)
		}
		if p.Action != sdk.None && !strings.ContainsAny(p.Reason, "0123456789") {
			t.Errorf("answer %d is %+v, want numbers in the reason", n, p)
		}
	}
}

func TestDecideUsesTheConfigurationInForce(t *testing.T) {
	s := strategy{sdk.NewConfig(settings{WarningThreshold: 1, CriticalThreshold: 1, FailureWindow: 300})}
	situation := sdk.Situation{Now: start, Report: report(start, warned), Actions: []sdk.ActionState{{Action: sdk.LogWarning, Applicable: true}}}
	if p, err := s.Decide(t.Context(), situation); err != nil || p.Action != sdk.LogWarning {
		t.Errorf("with a threshold of 1 the first warning gives %+v, %v, want log_warning", p, err)
	}
}

func TestAFaultThatOnlyAHigherRungCuredIsMetWithItAtOnceTheNextTime(t *testing.T) {
	failed := func(a sdk.Action, weight float64) sdk.Effect {
		return sdk.Effect{Cause: "network_connectivity", Action: a, NotCured: 1, NotCuredWeight: weight}
	}
	cured := func(a sdk.Action, weight float64) sdk.Effect {
		return sdk.Effect{Cause: "network_connectivity", Action: a, Cured: 1, CuredWeight: weight}
	}
	other := failed(sdk.ClearConnections, 1)
	other.Cause = "process_resources"
	for _, c := range []struct {
		effects []sdk.Effect
		report  sdk.CheckResult
		want    string
		why     string
	}{
		{[]sdk.Effect{failed(sdk.ClearConnections, 1), cured(sdk.RestartService, 1)}, ill, "restart_service emergency_stop none", "what did not help is passed over, and nobody climbs down"},
		{[]sdk.Effect{failed(sdk.ClearConnections, 0.49), cured(sdk.RestartService, 0.49)}, ill, "clear_connections restart_service emergency_stop", "an old memory has faded: it climbs again"},
		{[]sdk.Effect{other}, ill, "clear_connections restart_service emergency_stop", "what is remembered of another cause means nothing here"},
		{[]sdk.Effect{failed(sdk.ClearConnections, 1), failed(sdk.RestartService, 1)}, ill, "clear_connections restart_service emergency_stop", "nothing helped: it climbs, and does not jump to the emergency stop"},
		{[]sdk.Effect{{Cause: "network_connectivity", Action: sdk.ClearConnections, CuredWeight: 2, NotCuredWeight: 2.4}}, ill, "clear_connections restart_service emergency_stop", "it helped about as often as not"},
		{[]sdk.Effect{failed(sdk.ClearConnections, 1)}, warned, "none log_warning none", "warnings justify no more than clear_connections"},
	} {
		e := newEpisode()
		e.effects = c.effects
		if got := e.run(c.report, c.report, c.report); got != c.want {
			t.Errorf("%q, want %q: %s", got, c.want, c.why)
		}
	}
	e := newEpisode()
	e.effects = []sdk.Effect{failed(sdk.ClearConnections, 1)}
	if p := e.next(ill); p.Rule != ruleRemembered || !strings.Contains(p.Reason, "clear_connections") {
		t.Errorf("it does not say what was passed over: %+v", p)
	}
}

func TestAnOffenderGoesBeforeEverybodyIsDisturbed(t *testing.T) {
	for _, c := range []struct {
		reports []sdk.CheckResult
		want    string
		why     string
	}{
		{[]sdk.CheckResult{ill, ill, ill, ill, ill}, "quarantine_offender clear_connections restart_service emergency_stop none", "it comes first, and once"},
		{[]sdk.CheckResult{warned, warned, warned, warned, warned, warned, warned}, "none log_warning quarantine_offender none clear_connections none none", "warnings lead to it as well, and no further than to clear_connections"},
		{[]sdk.CheckResult{overload, overload, overload, overload}, "none log_warning none none", "busy is not ill, whoever keeps it busy"},
		{[]sdk.CheckResult{unknown, unknown, unknown, unknown}, "none log_warning none none", "nobody knows whether it is ill"},
	} {
		e := newEpisode()
		e.stands = true
		if got := e.run(c.reports...); got != c.want {
			t.Errorf("actions %q, want %q: %s", got, c.want, c.why)
		}
	}
	// Who stands out only once connections were cleared has had the milder chance.
	e := newEpisode()
	e.next(ill)
	e.stands = true
	if got := e.next(ill).Action; got != sdk.RestartService {
		t.Errorf("after clear_connections comes %s: nobody climbs down", got)
	}
}
