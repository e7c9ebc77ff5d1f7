package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"
)

func conflict() *Error {
	return &Error{
		Code: DaemonConflict, What: "another host runs on /state", Why: "it holds the lock\nits process is 42",
		Steps: []string{"look at it:\nps -p 42", "stop it: kill -TERM 42"}, Context: map[string]any{"existing_pid": 42}, Err: fs.ErrExist,
		At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestTextHasWhatWhyAndNumberedSteps(t *testing.T) {
	want := `another host runs on /state
  it holds the lock
  its process is 42

RESOLUTION STEPS
   1. look at it:
      ps -p 42
   2. stop it: kill -TERM 42
More: host explain daemon_conflict
`
	if got := conflict().Text(); got != want {
		t.Errorf("text\n%swant\n%s", got, want)
	}
}

func TestTextFitsAScreenWhateverIsInIt(t *testing.T) {
	many := func(n int, word string) []string {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = fmt.Sprintf("%s %d", word, i+1)
		}
		return lines
	}
	for _, tc := range []struct {
		why            string
		reasons, steps int
		want           []string
	}{
		{"many reasons are counted", 90, 2, []string{"reason 1\n", "more lines", " 1. step 1", " 2. step 2"}},
		{"many steps are counted, and a reason stays", 3, 90, []string{"reason 1\n", " 1. step 1", "more steps"}},
		{"both", 90, 90, []string{"... and", " 1. step 1"}},
		{"exactly what fits is shown", 25, 2, []string{"reason 25\n", " 2. step 2"}},
	} {
		e := &Error{What: "it\nfailed", Why: strings.Join(many(tc.reasons, "reason"), "\n"), Steps: many(tc.steps, "step")}
		text := e.Text()
		if n := strings.Count(text, "\n"); n > 30 {
			t.Errorf("%s: %d lines, want at most 30\n%s", tc.why, n, text)
		}
		for _, want := range tc.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s", tc.why, want, text)
			}
		}
		if tc.reasons == 25 && strings.Contains(text, "more") {
			t.Errorf("%s: but something was cut:\n%s", tc.why, text)
		}
	}
}

func TestTextOfABareErrorIsItsMessage(t *testing.T) {
	if got := (&Error{What: "it failed"}).Text(); got != "it failed\n" {
		t.Errorf("text is %q", got)
	}
}

func TestErrorIsOneLine(t *testing.T) {
	for _, tc := range []struct {
		why  string
		err  *Error
		want string
	}{
		{"reasons are joined", conflict(), "another host runs on /state: it holds the lock; its process is 42"},
		{"the cause is the reason where none is given", &Error{What: "it failed", Err: errors.New("no luck")}, "it failed: no luck"},
		{"nothing more is known", &Error{What: "it failed"}, "it failed"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.why, got, tc.want)
		}
	}
}

func TestTheHintIsTheFirstStep(t *testing.T) {
	if got := conflict().Hint(); got != "look at it:\nps -p 42" {
		t.Errorf("hint is %q", got)
	}
	if got := (&Error{}).Hint(); got != "" {
		t.Errorf("hint of an error without steps is %q", got)
	}
}

func TestCodeAndCauseAreFoundThroughWrapping(t *testing.T) {
	err := fmt.Errorf("start: %w", conflict())
	if Code(err) != DaemonConflict || !errors.Is(err, fs.ErrExist) {
		t.Errorf("code is %q, is fs.ErrExist: %v", Code(err), errors.Is(err, fs.ErrExist))
	}
	if Code(errors.New("other")) != "" || Code(nil) != "" {
		t.Error("an error without code has one")
	}
}

func TestJSONHasCodeMessageStepsAndContext(t *testing.T) {
	for _, tc := range []struct {
		why, want string
		err       *Error
	}{
		{
			"a full one", `{"error_type": "DaemonConflictError", "timestamp": "2026-01-02T03:04:05.000000Z", "error_code": "daemon_conflict", "message": "another host runs on /state",
			"why": "it holds the lock\nits process is 42", "steps": ["look at it:\nps -p 42", "stop it: kill -TERM 42"],
			"context": {"existing_pid": 42, "resolution_steps": ["look at it:\nps -p 42", "stop it: kill -TERM 42"]}}`, conflict(),
		},
		{"lists are lists also when empty", `{"error_type": "XError", "timestamp": "2026-01-02T03:04:05.000000Z", "error_code": "x", "message": "m", "steps": [], "context": {"resolution_steps": []}}`,
			&Error{Code: "x", What: "m", At: conflict().At}},
	} {
		data, err := json.Marshal(tc.err)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := errors.Join(json.Unmarshal(data, &got), json.Unmarshal([]byte(tc.want), &want)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s\nwant %s", tc.why, data, tc.want)
		}
	}
	e := conflict()
	if _, err := json.Marshal(e); err != nil || len(e.Context) != 1 {
		t.Errorf("marshalling changed the error's context: %v, %v", e.Context, err)
	}
}
