package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

func TestTheWebhookIsProposedOnceAndOnlyForWhatStaysCritical(t *testing.T) {
	critical := sdk.Report{Status: sdk.Critical, StatusWithoutLoad: sdk.Critical}
	busy := sdk.Report{Status: sdk.Critical, StatusWithoutLoad: sdk.Healthy}
	everything := []sdk.ActionState{{Action: sdk.LogWarning, Applicable: true}, {Action: callWebhook, Applicable: true}, {Action: sdk.RestartService, Applicable: true}}
	twice := []sdk.Report{critical, critical}
	told := sdk.Incident{Attempts: []sdk.Attempt{{Action: callWebhook, Outcome: sdk.OutcomeNotCured}}}
	warned := sdk.Incident{WarningLoggedAt: time.Unix(1, 0)}
	for _, try := range []struct {
		why, url string
		s        sdk.Situation
		want     sdk.Action
	}{
		{"healthy", "http://x", sdk.Situation{Report: sdk.Report{Status: sdk.Healthy}, Actions: everything}, ""},
		{"critical once", "http://x", sdk.Situation{Report: critical, History: []sdk.Report{critical}, Actions: everything}, sdk.LogWarning},
		{"critical twice", "http://x", sdk.Situation{Report: critical, History: twice, Actions: everything}, callWebhook},
		{"busy", "http://x", sdk.Situation{Report: busy, History: []sdk.Report{busy, busy}, Actions: everything, Incident: warned}, ""},
		{"told already", "http://x", sdk.Situation{Report: critical, History: twice, Incident: told, Actions: everything}, ""},
		{"nothing can run", "http://x", sdk.Situation{Report: critical, History: twice}, ""},
		{"nowhere to post to", "", sdk.Situation{Report: critical, History: twice, Actions: everything}, sdk.LogWarning},
	} {
		st := strategy{sdk.NewConfig(settings{URL: try.url, CriticalReports: 2})}
		proposal, err := st.Decide(t.Context(), try.s)
		if err != nil || proposal.Action != try.want || proposal.Reason == "" || proposal.Rule == "" {
			t.Errorf("%s: %+v, %v, want %q", try.why, proposal, err, try.want)
		}
	}
}

// receiver answers with codes, one after the other and then the last again, and
// keeps what it got.
type receiver struct {
	mu    sync.Mutex
	codes []int
	got   []*http.Request
	body  string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.body = append(r.got, request), string(body)
	w.WriteHeader(r.codes[min(len(r.got), len(r.codes))-1])
}

func calling(t *testing.T, codes ...int) (strategy, *receiver) {
	t.Helper()
	r := &receiver{codes: codes}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return strategy{sdk.NewConfig(settings{URL: server.URL + "/hook", Token: "secret", CriticalReports: 2})}, r
}

var order = sdk.Execution{Action: callWebhook, IdempotencyKey: "inc-1-1", IncidentID: "inc-1", Deadline: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}

func TestTheWebhookGetsTheIncidentWithItsKeyAndToken(t *testing.T) {
	st, r := calling(t, http.StatusAccepted)
	message, err := st.Execute(t.Context(), order)
	if err != nil || message != "the webhook answered 202 Accepted" {
		t.Fatalf("%q, %v", message, err)
	}
	var got incident
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Action != "call_webhook" || got.Incident != "inc-1" || got.IdempotencyKey != "inc-1-1" || !got.Deadline.Equal(order.Deadline) {
		t.Errorf("it got %+v", got)
	}
	if h := r.got[0].Header; h.Get("Idempotency-Key") != "inc-1-1" || h.Get("Authorization") != "Bearer secret" || r.got[0].URL.Path != "/hook" {
		t.Errorf("it got %v", h)
	}
}

func TestWhatIsBusyIsCalledAgainWithTheSameKeyAndWhatRefusesIsNot(t *testing.T) {
	for _, try := range []struct {
		codes []int
		calls int
		fails string
	}{
		{[]int{503, 429, 200}, 3, ""},
		{[]int{500}, tries, "500"},
		{[]int{401, 200}, 1, "401"},
		{[]int{302, 200}, 1, "302"},
	} {
		st, r := calling(t, try.codes...)
		_, err := st.Execute(t.Context(), order)
		if len(r.got) != try.calls || (err == nil) != (try.fails == "") || err != nil && !strings.Contains(err.Error(), try.fails) {
			t.Errorf("%v: %d calls, %v", try.codes, len(r.got), err)
		}
		for _, request := range r.got {
			if key := request.Header.Get("Idempotency-Key"); key != "inc-1-1" {
				t.Errorf("%v: a call has the key %q", try.codes, key)
			}
		}
	}
}

func TestAWebhookThatHangsCostsItsDeadline(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	st := strategy{sdk.NewConfig(settings{URL: server.URL})}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := st.Execute(ctx, order); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a webhook that hangs gives %v", err)
	}
}

func TestAnOrderThatCannotBeCarriedOutIsAnError(t *testing.T) {
	if _, err := newStrategy().Execute(t.Context(), order); err == nil || !strings.Contains(err.Error(), "set url") {
		t.Errorf("without a URL: %v", err)
	}
	st, r := calling(t, http.StatusOK)
	if _, err := st.Execute(t.Context(), sdk.Execution{Action: callWebhook}); err == nil || len(r.got) != 0 {
		t.Errorf("without a key: %v, %d calls", err, len(r.got))
	}
}

func TestAURLThatIsNoneIsRefused(t *testing.T) {
	for text, good := range map[string]bool{
		"": true, "https://example.org/hook?a=b": true, "http://127.0.0.1:1": true,
		"example.org": false, "ftp://example.org": false, "http://": false, "http://a b": false,
	} {
		if err := (settings{URL: text}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := (settings{URL: "http://x", Token: "a\nb"}).Validate(); err == nil {
		t.Error("a token of two lines is accepted")
	}
}
