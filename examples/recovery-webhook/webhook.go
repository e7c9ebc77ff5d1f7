package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

const (
	// tries is how often the webhook is called when it cannot be reached or
	// says that it is busy; pause lies between two of them, and doubles.
	tries = 3
	pause = 200 * time.Millisecond
	// mostTime is how long an action may take that was given no deadline.
	mostTime = 30 * time.Second
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 4 << 10
)

// incident is what is posted.
type incident struct {
	Action         string `json:"action"`
	Incident       string `json:"incident"`
	IdempotencyKey string `json:"idempotency_key"`
	// Deadline after which nobody waits for the answer; absent: none.
	Deadline *time.Time `json:"deadline,omitempty"`
}

// Execute calls the webhook. The sdk calls it once for each idempotency key
// while this process lives. The key is sent along, so that the receiver can tell
// a call that it had, from another process or because its answer was lost.
// An error means that nobody is known to have been told.
func (st strategy) Execute(ctx context.Context, e sdk.Execution) (string, error) {
	s := st.Current()
	if s.URL == "" {
		return "", errors.New("no webhook is configured: set url")
	}
	if e.IdempotencyKey == "" {
		return "", errors.New("the order has no idempotency key")
	}
	ctx, cancel := context.WithTimeout(ctx, mostTime)
	defer cancel()
	what := incident{Action: string(e.Action), Incident: e.IncidentID, IdempotencyKey: e.IdempotencyKey}
	if !e.Deadline.IsZero() {
		what.Deadline = &e.Deadline
	}
	body, err := json.Marshal(what)
	if err != nil {
		return "", err
	}
	for n, wait := 1, pause; ; n, wait = n+1, 2*wait {
		var again bool
		var answer string
		answer, again, err = post(ctx, s, e.IdempotencyKey, body)
		if err == nil {
			return "the webhook answered " + answer, nil
		}
		if !again || n == tries || ctx.Err() != nil {
			return "", fmt.Errorf("call the webhook, %d times: %w", n, err)
		}
		sdk.Logger().Warn("the webhook does not answer well, trying again", "error", err)
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("call the webhook, %d times: %w", n, err)
		case <-time.After(wait):
		}
	}
}

// client follows no redirect: that would turn the POST into a GET, or carry the
// token elsewhere.
var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// post calls once. again says that another call may do better.
func post(ctx context.Context, s settings, key string, body []byte) (answer string, again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return "", false, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	if s.Token != "" {
		request.Header.Set("Authorization", "Bearer "+s.Token)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", true, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer) // so that the connection can be used again
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return response.Status, false, nil
	default:
		return "", code >= 500 || code == http.StatusTooManyRequests, fmt.Errorf("it answered %s", response.Status)
	}
}
