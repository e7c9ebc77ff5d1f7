package adminapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func do(f *fakeHost, method, path, body string) int {
	return exchange{method: method, path: Prefix + path, body: body}.send(Handler(f, Options{Token: testToken})).Code
}

func TestWhatIsAskedForIsDone(t *testing.T) {
	f := newFakeHost()
	if code := do(f, "POST", "/plugins/process/release", ""); code != 200 || !slices.Equal(f.released, []string{"process"}) {
		t.Errorf("release: %d, released %v", code, f.released)
	}
	for _, path := range []string{"/plugins/process/reload", "/plugins/reload"} {
		f.released = nil
		if code := do(f, "POST", path, ""); code != 200 || !slices.Equal(f.released, []string{"reload process"}) {
			t.Errorf("%s: %d, done %v", path, code, f.released)
		}
	}
	if code := do(f, "PUT", "/log-level", `{"level":"trace"}`); code != 200 || f.level != "trace" {
		t.Errorf("log level: %d, level %q", code, f.level)
	}
	if code := do(f, "PUT", "/monitoring", `{"enabled":false}`); code != 200 || f.watching == nil || *f.watching {
		t.Errorf("monitoring: %d, set to %v", code, f.watching)
	}
	if code := do(f, "PUT", "/recovery", `{"enabled":true}`); code != 200 || f.recovered == nil || !*f.recovered {
		t.Errorf("recovery: %d, set to %v", code, f.recovered)
	}
	if code := do(f, "POST", "/stop", `{"reason":"by\nhand \u0007"}`); code != 202 || len(f.stopped) != 1 || strings.ContainsAny(f.stopped[0], "\n") {
		t.Errorf("stop: %d, reasons %q", code, f.stopped)
	}
}

func TestWhatIsRefusedHasNoEffect(t *testing.T) {
	for _, e := range exchanges() {
		if e.want < 400 || e.want == 409 || e.want >= 500 {
			continue
		}
		f := newFakeHost()
		if e.set != nil {
			e.set(f)
		}
		e.send(Handler(f, Options{Token: testToken}))
		if len(f.stopped)+len(f.released) > 0 || f.level != "" || f.recovered != nil || f.watching != nil {
			t.Errorf("%s: %s %s: it was done", e.why, e.method, e.path)
		}
	}
}

func TestWithoutATokenOfItsOwnTheHandlerRefusesEverybody(t *testing.T) {
	for _, authorization := range []string{"", "Bearer ", "Bearer"} {
		e := exchange{method: "GET", path: Prefix + "/status", header: http.Header{"Authorization": {authorization}}}
		if w := e.send(Handler(newFakeHost(), Options{})); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d, want 401 with a challenge", authorization, w.Code)
		}
	}
}

func TestTheOwnerNeedsNoTokenButNoWebPageIsTheOwner(t *testing.T) {
	h := Handler(newFakeHost(), Options{Owner: true})
	if w := (exchange{method: "GET", path: Prefix + "/status", header: http.Header{"Authorization": nil, "Host": {"anything"}}}).send(h); w.Code != 200 {
		t.Errorf("the owner got %d", w.Code)
	}
	if w := (exchange{method: "GET", path: Prefix + "/status", header: http.Header{"Origin": {"http://evil.example"}}}).send(h); w.Code != 403 {
		t.Errorf("a page got %d", w.Code)
	}
}

func TestAPageOfHostItselfMayAsk(t *testing.T) {
	h := Handler(newFakeHost(), Options{Token: testToken, Hosts: []string{"hub.internal"}})
	for _, host := range []string{"localhost:18765", "127.0.0.1:18765", "[::1]:18765", "HUB.internal:18765"} {
		e := exchange{method: "GET", path: Prefix + "/status", header: http.Header{"Host": {host}, "Origin": {"http://" + host}, "Sec-Fetch-Site": {"same-origin"}}}
		if w := e.send(h); w.Code != 200 {
			t.Errorf("%s: %d: %s", host, w.Code, w.Body)
		}
	}
	for _, host := range []string{"", "localhost.evil.example", "127.0.0.1.evil.example:18765", "10.0.0.1:18765"} {
		e := exchange{method: "GET", path: Prefix + "/status", header: http.Header{"Host": {host}}}
		if w := e.send(h); w.Code != http.StatusMisdirectedRequest {
			t.Errorf("host %q: %d, want 421", host, w.Code)
		}
	}
}

func TestHeadIsAGetWithoutBody(t *testing.T) {
	w := exchange{method: "HEAD", path: Prefix + "/status"}.send(Handler(newFakeHost(), Options{Token: testToken}))
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("%d with %d bytes, Content-Length %s", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
}

func TestAnswersAreNeitherKeptNorGuessedAt(t *testing.T) {
	w := exchange{method: "GET", path: Prefix + "/status"}.send(Handler(newFakeHost(), Options{Token: testToken}))
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers: %v", w.Header())
	}
}

func TestAMethodThatIsNotThereNamesThoseThatAre(t *testing.T) {
	w := exchange{method: "DELETE", path: Prefix + "/status"}.send(Handler(newFakeHost(), Options{Token: testToken}))
	if got := w.Header().Get("Allow"); got != "GET, HEAD" {
		t.Errorf("Allow: %q", got)
	}
}
