package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// still is a host about which nothing is known but what the test sets.
func still(s Snapshot, opts Options) http.Handler {
	return Handler(SourceFunc(func() Snapshot { return s }), opts)
}

func TestWhatIsNotThereIsAnsweredWithWhatIs(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	rec := ask(still(Snapshot{}, Options{Now: now}), http.MethodGet, "/healthz")
	if got := rec.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type is %q", got)
	}
	body := decode(t, rec)
	var paths []string
	for _, p := range body["context"].(map[string]any)["endpoints"].([]any) {
		paths = append(paths, p.(string))
	}
	if want := []string{"/health", "/livez", "/readyz", "/status", "/diagnostics", "/metrics"}; !slices.Equal(paths, want) {
		t.Errorf("endpoints are %v, want %v", paths, want)
	}
	golden(t, "not_found.json", rec, 404)
}

func TestNothingCanBeChangedHere(t *testing.T) {
	h := still(Snapshot{}, Options{})
	for _, path := range h.(*api).paths() {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			rec := ask(h, method, path)
			if rec.Code != 405 || rec.Header().Get("Allow") != "GET, HEAD" || decode(t, rec)["error_code"] != "method_not_allowed" {
				t.Errorf("%s %s: %d, Allow %q\n%s", method, path, rec.Code, rec.Header().Get("Allow"), rec.Body)
			}
			if cors := rec.Header().Get("Access-Control-Allow-Origin"); cors != "" {
				t.Errorf("%s %s allows origin %q", method, path, cors)
			}
		}
	}
}

func TestHeadIsGetWithoutItsBody(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		h := w.handler()
		for _, path := range []string{"/health", "/livez", "/readyz", "/status", "/diagnostics", "/nothing"} {
			get, head := ask(h, http.MethodGet, path), ask(h, http.MethodHead, path)
			if head.Body.Len() != 0 || head.Code != get.Code || head.Header().Get("Content-Length") != strconv.Itoa(get.Body.Len()) ||
				head.Header().Get("Content-Type") != get.Header().Get("Content-Type") {
				t.Errorf("%s: HEAD gives %d, %v and %d bytes; GET gives %d and %d bytes", path, head.Code, head.Header(), head.Body.Len(), get.Code, get.Body.Len())
			}
		}
	})
	srv := httptest.NewServer(still(Snapshot{Phase: Running}, Options{}))
	defer srv.Close()
	res, err := srv.Client().Head(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err != nil || len(body) != 0 || res.StatusCode != 200 {
		t.Errorf("HEAD /metrics gives %d and %d bytes (%v)", res.StatusCode, len(body), err)
	}
}

func TestAForeignHostNameIsRefused(t *testing.T) {
	for _, tc := range []struct {
		host  string
		named []string
		ours  bool
	}{
		{host: "localhost:18765", ours: true},
		{host: "LOCALHOST", ours: true},
		{host: "localhost.:18765", ours: true},
		{host: "127.0.0.1:18765", ours: true},
		{host: "127.8.9.10", ours: true},
		{host: "[::1]:18765", ours: true},
		{host: "[::1]", ours: true},
		{host: "", ours: true},
		{host: "evil.example:18765"},
		{host: "localhost.evil.example"},
		{host: "127.0.0.1.evil.example"},
		{host: "192.0.2.1:18765"},
		{host: "192.0.2.1:18765", named: []string{"192.0.2.1"}, ours: true},
		{host: "Hub.example:18765", named: []string{"hub.example"}, ours: true},
	} {
		h := still(Snapshot{Phase: Running, Hub: Hub{Accepting: true}}, Options{CheckHost: true, Hosts: tc.named})
		for _, path := range append(h.(*api).paths(), "/nothing") {
			req := httptest.NewRequest(http.MethodGet, path, nil)
			req.Host = tc.host
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			open := path == "/health" || path == "/livez" || path == "/readyz"
			if refused := rec.Code == http.StatusMisdirectedRequest; refused != (!tc.ours && !open) {
				t.Errorf("host %q (named %v) on %s: code %d", tc.host, tc.named, path, rec.Code)
			} else if refused && decode(t, rec)["error_code"] != "foreign_host" {
				t.Errorf("host %q on %s: %s", tc.host, path, rec.Body)
			}
		}
	}
	req := httptest.NewRequest(http.MethodGet, "/status", nil)
	req.Host = "upkeep"
	rec := httptest.NewRecorder()
	still(Snapshot{}, Options{}).ServeHTTP(rec, req)
	if rec.Code != 200 {
		t.Errorf("without CheckHost any name is answered, but the code is %d", rec.Code)
	}
}

func TestAPanicEndsOneRequestAndIsLogged(t *testing.T) {
	var log bytes.Buffer
	h := Handler(SourceFunc(func() Snapshot { panic("secret detail") }), Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	for _, path := range h.(*api).paths() {
		log.Reset()
		rec := ask(h, http.MethodGet, path)
		if rec.Code != 500 || decode(t, rec)["error_code"] != "internal_error" || strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("%s: %d\n%s", path, rec.Code, rec.Body)
		}
		if !strings.Contains(log.String(), "secret detail") || !strings.Contains(log.String(), path) {
			t.Errorf("%s: the log does not say what happened:\n%s", path, log.String())
		}
	}
}

func TestNoPathLeadsElsewhere(t *testing.T) {
	for _, path := range []string{"/../health", "/health/../../etc/passwd", "/%2e%2e/health", "//health", "/health/", "/HEALTH", "/debug/pprof/", "/"} {
		if rec := ask(still(Snapshot{}, Options{}), http.MethodGet, path); rec.Code != 404 {
			t.Errorf("%s: code %d, want 404", path, rec.Code)
		}
	}
}
