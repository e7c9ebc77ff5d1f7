package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

func (a *actedHost) Approvals() adminapi.Approvals { return a.approvals }

func (a *actedHost) AnswerApproval(_ context.Context, id string, yes bool, _ string) (adminapi.Decision, error) {
	if id != "apr-7" {
		return adminapi.Decision{}, &problem.Error{Code: problem.AlreadyAnswered, What: id + " is denied by ada already"}
	}
	d := a.decision
	if !yes {
		d.Verdict, d.Rule = "suppressed", "denied"
	}
	return d, nil
}

func TestWhatWaitsForAYesIsShownAndAnswered(t *testing.T) {
	h := act(t, true)
	now := time.Now()
	done := now
	h.approvals = adminapi.Approvals{Approvals: []adminapi.Approval{
		{ID: "apr-7", Incident: "inc-1", Action: "restart_service", Reason: "critical\x1b[31m", Until: now.Add(90 * time.Second), Default: "denied", Answer: "waiting"},
		{ID: "apr-6", Incident: "inc-1", Action: "clear_connections", Default: "denied", Answer: "denied", Answered: &done, By: "uid 7"},
	}}
	var p page
	approvalsPage(&p, h.approvals, now)
	want := `ID     ACTION             ANSWER   BY     LEFT    ELSE    INCIDENT  BECAUSE
apr-7  restart_service    waiting  -      1m 30s  denied  inc-1     critical [31m
apr-6  clear_connections  denied   uid 7  -       denied  inc-1     -
`
	if p.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", p.String(), want)
	}
	for _, c := range []struct {
		why, verdict string
		args         []string
		code         int
		out          string
	}{
		{"yes, and it is done", "run", []string{"approve", "apr-7"}, exitOK, "restart_service is taken"},
		{"yes, and the guard says no", "suppressed", []string{"approve", "apr-7"}, exitRefused, "restart_service is not taken: somebody has paused (paused)"},
		{"no", "run", []string{"deny", "apr-7"}, exitOK, "restart_service is denied"},
		{"answered before", "run", []string{"approve", "apr-6"}, exitFailure, ""},
	} {
		h.decision = adminapi.Decision{Action: "restart_service", Verdict: c.verdict, Rule: "paused", Reason: "somebody has paused"}
		got := verb(t, nil, append(c.args, "--state-dir", h.dir)...)
		if got.code != c.code || !strings.Contains(got.out, c.out) {
			t.Errorf("%s: exit code %d, %v, %q", c.why, got.code, got.err, got.out)
		}
	}
}

func TestStatusShowsAPauseAndWhatWaitsForAYes(t *testing.T) {
	now := time.Now()
	rows := steerRows(adminapi.Status{Timestamp: now, Recovery: adminapi.Recovery{
		Pause:    &adminapi.Pause{By: "uid 7", Reason: "load test", Until: now.Add(time.Minute)},
		Approval: &adminapi.Approval{ID: "apr-7", Action: "restart_service", Default: "denied", Until: now.Add(time.Minute)},
	}})
	if len(rows) != 2 || rows[0][2] != "more, by uid 7: load test" || rows[1][1] != "apr-7" || !strings.Contains(rows[1][2], "host approve apr-7") {
		t.Errorf("rows %q", rows)
	}
	if rows := steerRows(adminapi.Status{}); len(rows) != 0 {
		t.Errorf("rows %q of a host that nobody steers", rows)
	}
}
