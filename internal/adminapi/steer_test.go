package adminapi

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/core/recovery"
)

func (f *fakeHost) Approvals() Approvals {
	return Approvals{SchemaVersion: SchemaVersion, Approvals: []Approval{ApprovalOf(recovery.Approval{
		ID: "apr-1", Incident: "inc-1", Proposal: recovery.Proposal{Action: recovery.RestartService}, Asked: moment, Until: moment, Default: true,
		Answer: recovery.Approved, Answered: moment, By: "uid 1000",
	})}}
}

func (f *fakeHost) AnswerApproval(_ context.Context, id string, yes bool, by string) (Decision, error) {
	defer f.lock()()
	switch {
	case f.unwell:
		return Decision{}, &problem.Error{Code: problem.AlreadyAnswered, What: "apr-1 is denied by uid 1000 already"}
	case id != "apr-1":
		return Decision{}, &problem.Error{Code: problem.NotFound, What: "there is no such question"}
	}
	f.released = append(f.released, strconv.FormatBool(yes)+" "+id+" by "+by)
	return DecisionOf(recovery.Decision{ID: "dec-1", Proposal: recovery.Proposal{Action: recovery.RestartService}, Verdict: recovery.Run, Rule: "next_rung"}), nil
}

func (f *fakeHost) ended() error {
	if f.unwell {
		return &problem.Error{Code: problem.NotRunning, What: "host stops"}
	}
	return nil
}

func (f *fakeHost) PauseRecovery(_ context.Context, d time.Duration, by, reason string) (Pause, error) {
	return PauseOf(recovery.Pause{By: by, Reason: reason, Since: moment, Until: moment.Add(d)}), f.ended()
}

func (f *fakeHost) ResumeRecovery(context.Context, string) (Resumed, error) {
	return Resumed{Paused: true}, f.ended()
}

func (f *fakeHost) SetBreaker(_ context.Context, open bool, by, reason string) (Breaker, error) {
	b := recovery.NewBreaker(recovery.BreakerConfig{FailureThreshold: 5}, moment)
	if open {
		b.OpenByHand(recovery.Hand{By: by, Reason: reason, At: moment})
	} else {
		b.CloseByHand(recovery.Hand{By: by, Reason: reason, At: moment})
	}
	return BreakerOf(b, moment), f.ended()
}

func TestWhoSteersIsWhoTheKernelNamesOrWhoeverHasTheToken(t *testing.T) {
	f := newFakeHost()
	dir, err := os.MkdirTemp("", "steer") // a short path, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := ListenUnix(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: Handler(f, Options{Owner: true}), ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	want := peerPrefix + strconv.Itoa(os.Geteuid())
	if _, known, _ := peerUID(nil); !known { // this system does not say
		want = "the owner"
	}
	c := Dial(dir)
	p, err := c.PauseRecovery(t.Context(), time.Hour, "a  test")
	if err != nil || p.By != want || p.Reason != "a test" || !p.Until.Equal(moment.Add(time.Hour)) {
		t.Errorf("pause %+v, %v: want it by %s for an hour", p, err, want)
	}
	if b, err := c.SetBreaker(t.Context(), true, "known"); err != nil || b.State != "open" || b.By != want || b.Reason != "known" {
		t.Errorf("breaker %+v, %v", b, err)
	}
	if b, err := c.SetBreaker(t.Context(), false, "over"); err != nil || b.State != "closed" || b.By != want {
		t.Errorf("breaker %+v, %v", b, err)
	}
	if d, err := c.AnswerApproval(t.Context(), "apr-1", true); err != nil || d.Verdict != "run" || d.Action != "restart_service" {
		t.Errorf("decision %+v, %v", d, err)
	}
	if len(f.released) != 1 || f.released[0] != "true apr-1 by "+want {
		t.Errorf("answered %q, want a yes by %s", f.released, want)
	}
	e := exchange{method: http.MethodPost, path: Prefix + "/recovery/approvals/apr-1/deny"}
	if w := e.send(Handler(f, Options{Token: testToken})); w.Code != http.StatusOK || f.released[1] != "false apr-1 by the admin token" {
		t.Errorf("%d, answered %q", w.Code, f.released)
	}
}

func (f *fakeHost) Recover(_ context.Context, order RecoverRequest, by string) (Recovered, error) {
	defer f.lock()()
	f.released = append(f.released, order.Action+" by "+by+": "+order.Reason)
	d := recovery.Decision{Proposal: recovery.Proposal{Action: recovery.Action(order.Action)}, Verdict: recovery.Run, Rule: "by_hand"}
	return Recovered{Preview: order.Preview, Decision: DecisionOf(d), Clients: 3}, f.ended()
}
