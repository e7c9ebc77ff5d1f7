package answer

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/problem"
)

func TestAHostHeaderIsOursOrForeign(t *testing.T) {
	for header, want := range map[string]bool{
		"localhost": true, "LOCALHOST:8765": true, "localhost.:8765": true, "127.0.0.1:8765": true, "127.3.2.1": true, "[::1]:8765": true, "[::1]": true,
		"hub.example.org": true, "HUB.example.org:443": true, "192.0.2.7:8765": true,
		"": false, ":8765": false, "evil.example.org": false, "localhost.evil.org": false, "127.0.0.1.evil.org": false, "192.0.2.8": false, "0.0.0.0": false, "[::]": false,
	} {
		if got := OurHost(header, []string{"hub.example.org", "192.0.2.7", ""}); got != want {
			t.Errorf("%q is ours: %v, want %v", header, got, want)
		}
	}
}

func TestAPanicIsAnAnswerAndALineInTheLog(t *testing.T) {
	var log bytes.Buffer
	a := Writer{Log: hclog.New(&hclog.LoggerOptions{Output: &log})}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil)
	a.Guard(w, r, func() { panic("boom") })
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"error_code": "internal_error"`) || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "answering a request panicked") || !strings.Contains(log.String(), "boom") {
		t.Errorf("the log has %s", &log)
	}
	if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != problem.ContentType {
		t.Errorf("the headers are %v", h)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("a handler that gives up is not given up")
		}
	}()
	a.Guard(httptest.NewRecorder(), r, func() { panic(http.ErrAbortHandler) })
}

func TestADocumentThatIsNoJSONIsABug(t *testing.T) {
	a := Writer{Log: hclog.NewNullLogger()}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil)
	a.Guard(w, r, func() { a.JSON(w, r, http.StatusOK, func() {}) })
	if w.Code != http.StatusInternalServerError {
		t.Errorf("it is answered with %d", w.Code)
	}
}

func TestAProblemIsStampedAndLosesOnlyTheContextThatIsNoJSON(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := Writer{Log: hclog.NewNullLogger(), Now: func() time.Time { return at }}
	for name, context := range map[string]map[string]any{"fit": {"port": 1}, "unfit": {"f": func() {}}} {
		w := httptest.NewRecorder()
		given := &problem.Error{Code: problem.NotFound, What: "nothing", Context: context}
		a.Problem(w, httptest.NewRequest(http.MethodGet, "/x", nil), http.StatusNotFound, given)
		var got struct {
			Code, Timestamp string
			Status          int
			Error           string `json:"error_code"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Status != 404 || got.Error != problem.NotFound || !strings.HasPrefix(got.Timestamp, "2026-03-01T12:00:00") {
			t.Errorf("%s: %v, %+v\n%s", name, err, got, w.Body)
		}
		if !given.At.IsZero() {
			t.Errorf("%s: the problem of the caller was changed", name)
		}
	}
}

func TestHeadHasTheLengthAndNoBody(t *testing.T) {
	a := Writer{Log: hclog.NewNullLogger()}
	w := httptest.NewRecorder()
	a.JSON(w, httptest.NewRequest(http.MethodHead, "/x", nil), http.StatusOK, map[string]int{"a": 1})
	if w.Body.Len() > 0 || w.Header().Get("Content-Length") == "0" || w.Header().Get("Content-Length") == "" {
		t.Errorf("body %q, headers %v", w.Body, w.Header())
	}
}

// gone is a reader that went away.
type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAReaderThatWentAwayIsNoTrouble(t *testing.T) {
	var log bytes.Buffer
	a := Writer{Log: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug})}
	a.Bytes(gone{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/x", nil), http.StatusOK, "text/plain", []byte("x"))
	if !strings.Contains(log.String(), "did not reach its reader") || strings.Contains(log.String(), "ERROR") {
		t.Errorf("the log has %s", &log)
	}
}
