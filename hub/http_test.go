package hub

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestVersionAndStatsHaveTheShapeOfTheReference(t *testing.T) {
	r := start(t, Options{})
	r.connect(t, `{"claude_mpm_version":"0.7.1"}`).roundTrip()
	status, version, _ := r.request(t, "GET", "/version", "", nil)
	if status != 200 || version["server_version"] != "1.2.3" || version["server_id"] != "test-server" || version["socketio_version"] == "" {
		t.Errorf("/version: %d %v", status, version)
	}
	if got := fmt.Sprint(version["supported_client_versions"]); got != "[>=0.7.0]" {
		t.Errorf("supported_client_versions is %s", got)
	}
	entry := version["compatibility_matrix"].(map[string]any)["1.2.3"].(map[string]any)
	if entry["min_python"] != "3.8" || entry["socketio_min"] != "5.11.0" || len(entry["features"].([]any)) != len(version["features"].([]any)) {
		t.Errorf("the matrix says %v", entry)
	}
	status, stats, _ := r.request(t, "GET", "/stats", "", nil)
	connections, events := stats["connections"].(map[string]any), stats["events"].(map[string]any)
	if status != 200 || connections["current_clients"] != 1.0 || connections["total_served"] != 1.0 || events["total_processed"] != 1.0 ||
		events["history_size"] != 0.0 || stats["errors"] != 0.0 || stats["server_info"].(map[string]any)["id"] != "test-server" {
		t.Errorf("/stats: %d %v", status, stats)
	}
	if at, err := time.Parse(time.RFC3339, events["last_activity"].(string)); err != nil || time.Since(at) > time.Minute {
		t.Errorf("last_activity is %v", events["last_activity"])
	}
}

func TestCompatibilityIsJudgedWhateverTheContentType(t *testing.T) {
	r := start(t, Options{})
	tests := []struct {
		body       string
		status     int
		compatible any
		version    any
	}{
		{`{"client_version":"0.7.0"}`, 200, true, "0.7.0"},
		{`{"client_version":"0.6.0"}`, 200, false, "0.6.0"},
		{`{}`, 200, true, "unknown"},
		{`{"client_version":7}`, 200, true, "unknown"},
		{``, 400, nil, nil},
		{`{`, 400, nil, nil},
		{`[]`, 400, nil, nil},
		{`null`, 400, nil, nil},
		{`{"client_version":"0.7.0"} x`, 400, nil, nil},
		{strings.Repeat(" ", compatibilityBytes+1), 413, nil, nil},
	}
	for _, contentType := range []string{"", "application/json", "text/plain", "multipart/form-data"} {
		for _, test := range tests {
			status, got, _ := r.request(t, "POST", "/compatibility", test.body, func(request *http.Request) {
				request.Header.Set("Content-Type", contentType)
			})
			if status != test.status || got["compatible"] != test.compatible || got["client_version"] != test.version {
				t.Errorf("%.40q as %q: %d %v", test.body, contentType, status, got)
			}
			if status != 200 && (got["error"] == nil || got["error_code"] == nil) {
				t.Errorf("%.40q: the refusal explains nothing: %v", test.body, got)
			}
		}
	}
}

func TestUnknownPathsAndMethodsAreExplained(t *testing.T) {
	r := start(t, Options{})
	for _, path := range []string{"/", "/nothing", "/socket.io", "/socket.io/x", "/version/"} {
		status, got, _ := r.request(t, "GET", path, "", nil)
		if status != 404 || !strings.Contains(fmt.Sprint(got["available"]), "GET /health") {
			t.Errorf("%s: %d %v, want 404 and what exists", path, status, got)
		}
	}
	for path, allow := range map[string]string{"/version": "GET, HEAD", "/health": "GET, HEAD", "/compatibility": "POST", DefaultPath: "GET, POST"} {
		status, got, header := r.request(t, "DELETE", path, "", nil)
		want := 405
		if path == DefaultPath {
			want = 400
		}
		if status != want || header.Get("Allow") != allow || got["error_code"] != "method_not_allowed" {
			t.Errorf("DELETE %s: %d, Allow %q, %v; want %d and %q", path, status, header.Get("Allow"), got, want, allow)
		}
	}
	if status, got, _ := r.request(t, "HEAD", "/version", "", nil); status != 200 || got != nil {
		t.Errorf("HEAD /version: %d %v, want 200 without a body", status, got)
	}
}

func TestAForeignHostIsRefusedExceptByTheHealthEndpoints(t *testing.T) {
	r := start(t, Options{})
	foreign := func(request *http.Request) { request.Host = "evil.example:8765" }
	for _, path := range []string{"/version", "/stats", "/status", "/metrics", "/diagnostics", "/nothing", DefaultPath + "?EIO=4&transport=polling"} {
		if status, got, _ := r.request(t, "GET", path, "", foreign); status != 421 || got["error_code"] != "foreign_host" {
			t.Errorf("%s: %d %v, want 421", path, status, got)
		}
	}
	for _, path := range []string{"/health", "/livez", "/readyz"} {
		if status, _, _ := r.request(t, "GET", path, "", foreign); status != 503 { // there is no host here
			t.Errorf("%s: %d, want to be let through", path, status)
		}
	}
	if len(r.sessions()) != 0 {
		t.Error("a foreign host got a session")
	}
}

func TestHostRule(t *testing.T) {
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	everything := []netip.Addr{netip.MustParseAddr("0.0.0.0")}
	tests := []struct {
		header string
		bound  []netip.Addr
		want   bool
		why    string
	}{
		{"", loopback, true, "HTTP/1.0 without a host"},
		{"localhost", loopback, true, "localhost"},
		{"LocalHost:8765", loopback, true, "names have no case, ports do not matter"},
		{"localhost.:8765", loopback, true, "a final dot changes nothing"},
		{"127.0.0.1:8765", loopback, true, "loopback"},
		{"127.9.9.9", loopback, true, "all of 127/8 is loopback"},
		{"[::1]:8765", loopback, true, "loopback in brackets"},
		{"[::1]", loopback, true, "without a port"},
		{"[::ffff:127.0.0.1]:1", loopback, true, "mapped loopback"},
		{"Configured.example:80", loopback, true, "the configured host"},
		{"machine", loopback, false, "the machine's name, but only loopback is bound"},
		{"192.168.1.5:8765", loopback, false, "an address that is not bound"},
		{"evil.example", loopback, false, "a stranger"},
		{"localhost.evil.example", loopback, false, "a stranger in disguise"},
		{"127.0.0.1.evil.example", loopback, false, "a stranger in disguise"},
		{"192.168.1.5", []netip.Addr{netip.MustParseAddr("192.168.1.5")}, true, "the bound address"},
		{"192.168.1.5", everything, true, "any address where all are bound"},
		{"[2001:db8::1]:8765", everything, true, "any address where all are bound"},
		{"machine:8765", everything, true, "the machine's name where all are bound"},
		{"evil.example", everything, false, "a stranger, wherever"},
	}
	for _, test := range tests {
		rule := hostRule{configured: "configured.example", hostname: "machine", bound: test.bound}
		if got := rule.allows(test.header); got != test.want {
			t.Errorf("Host %q, bound %v: %v, want %v: %s", test.header, test.bound, got, test.want, test.why)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	tests := []struct {
		origin []string
		host   string
		want   bool
		why    string
	}{
		{nil, "localhost:8765", true, "programs send none"},
		{[]string{"http://localhost:8765"}, "localhost:8765", true, "the same"},
		{[]string{"http://LOCALHOST:8765"}, "localhost:8765", true, "names have no case"},
		{[]string{"http://localhost"}, "localhost:80", true, "the default port"},
		{[]string{"https://example.org"}, "example.org", true, "behind a proxy that speaks TLS"},
		{[]string{"http://[::1]:8765"}, "[::1]:8765", true, "the same address"},
		{[]string{"http://[::1]"}, "[::1]", true, "the same address, default port"},
		{[]string{"http://localhost:3000"}, "localhost:8765", false, "another port"},
		{[]string{"http://127.0.0.1:8765"}, "localhost:8765", false, "another name"},
		{[]string{"https://localhost"}, "localhost:80", false, "another default port"},
		{[]string{"null"}, "localhost:8765", false, "a sandboxed page"},
		{[]string{""}, "localhost:8765", false, "an empty one"},
		{[]string{"file://"}, "localhost:8765", false, "a file"},
		{[]string{"http://localhost:8765/x"}, "localhost:8765", false, "no origin at all"},
		{[]string{"http://localhost:8765", "http://evil.example"}, "localhost:8765", false, "two of them"},
		{[]string{"http://evil.example"}, "localhost:8765", false, "a stranger"},
	}
	for _, test := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = test.host
		if test.origin != nil {
			r.Header["Origin"] = test.origin
		}
		if got := sameOrigin(r); got != test.want {
			t.Errorf("Origin %q at %q: %v, want %v: %s", test.origin, test.host, got, test.want, test.why)
		}
	}
}

func TestAForeignOriginGetsNoSession(t *testing.T) {
	r := start(t, Options{EnableCORS: true})
	foreign := func(request *http.Request) { request.Header.Set("Origin", "http://evil.example") }
	status, got, header := r.request(t, "GET", DefaultPath+"?EIO=4&transport=polling", "", foreign)
	if status != 403 || got["error_code"] != "foreign_origin" || header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("polling: %d %v %v, want 403 without CORS headers", status, got, header)
	}
	status, _, _ = r.request(t, "GET", DefaultPath+"?EIO=4&transport=websocket", "", func(request *http.Request) {
		foreign(request)
		for key, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
			request.Header.Set(key, value)
		}
	})
	if status != 403 {
		t.Errorf("WebSocket: %d, want 403", status)
	}
	p := r.dial(t, http.Header{"Origin": {"http://" + r.addr}})
	p.join("")
}

func TestCORSHeadersAreOnlyForTheSameOriginAndOnlyWhenEnabled(t *testing.T) {
	for _, enabled := range []bool{false, true} {
		r := start(t, Options{EnableCORS: enabled})
		own := "http://" + r.addr
		for origin, want := range map[string]string{own: own, "http://evil.example": "", "": ""} {
			if !enabled {
				want = ""
			}
			_, _, header := r.request(t, "GET", "/version", "", func(request *http.Request) {
				if origin != "" {
					request.Header.Set("Origin", origin)
				}
			})
			if got := header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("enabled %v, origin %q: allowed %q, want %q", enabled, origin, got, want)
			}
		}
	}
}

func TestPagesOfAllowedSitesMayConnectAndAskBefore(t *testing.T) {
	const app, other = "https://app.example.org", "https://other.example.org"
	for _, c := range []struct {
		allowed []string
		origin  string
		want    bool
		why     string
	}{
		{[]string{app}, app, true, "the site that is named"},
		{[]string{other, app}, "HTTPS://App.example.org", true, "one of two, written differently"},
		{[]string{app}, other, false, "another site"},
		{[]string{app}, app + ":444", false, "another port"},
		{[]string{app}, "null", false, "a page without an origin"},
		{[]string{"*"}, other, true, "every site"},
	} {
		r := start(t, Options{AllowedOrigins: c.allowed})
		from := func(q *http.Request) { q.Header.Set("Origin", c.origin) }
		want, wantStatus, wantAsked := "", http.StatusForbidden, http.StatusBadRequest
		if c.want {
			want, wantStatus, wantAsked = c.origin, http.StatusOK, http.StatusNoContent
		}
		request, err := http.NewRequest("GET", "http://"+r.addr+DefaultPath+"?EIO=4&transport=polling", nil)
		if err != nil {
			t.Fatal(err)
		}
		from(request)
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		status, text := readAnswer(t, response)
		if got := response.Header.Get("Access-Control-Allow-Origin"); status != wantStatus || got != want {
			t.Errorf("%s: %d %s, allowed %q; want %d and %q", c.why, status, text, got, wantStatus, want)
		}
		status, _, header := r.request(t, "OPTIONS", DefaultPath, "", func(q *http.Request) {
			from(q)
			q.Header.Set("Access-Control-Request-Method", "POST")
			q.Header.Set("Access-Control-Request-Headers", "authorization")
		})
		if status != wantAsked || header.Get("Access-Control-Allow-Origin") != want || c.want != strings.Contains(header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("%s, asked before: %d %v, want %d", c.why, status, header, wantAsked)
		}
		conn, _, err := websocket.DefaultDialer.Dial(wsURL(r.addr), http.Header{"Origin": {c.origin}})
		if (err == nil) != c.want {
			t.Errorf("%s: a WebSocket ends with %v", c.why, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	for _, odd := range []string{"app.example.org", "https://app.example.org/", "ftp://app.example.org", "https://", "", "https://*.example.org/x"} {
		if _, err := New(Options{ServerID: "x", ServerVersion: "1.0.0", AllowedOrigins: []string{odd}}); err == nil {
			t.Errorf("the origin %q is accepted", odd)
		}
	}
}

// supervisor stands in for host on its unix socket.
func supervisor(t *testing.T, serve http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "host.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: serve}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-served })
	return path
}

func TestTheHostIsAskedAnewAndToldNothingOfTheClient(t *testing.T) {
	type seen struct {
		method, uri string
		header      http.Header
		length      int64
	}
	requests := make(chan seen, 16)
	socket := supervisor(t, func(w http.ResponseWriter, r *http.Request) {
		requests <- seen{r.Method, r.URL.RequestURI(), r.Header, r.ContentLength}
		w.Header().Set("Content-Type", "text/x-told")
		w.Header().Set("Set-Cookie", "secret=1")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, `{"path":"`+r.URL.Path+`"}`)
	})
	r := start(t, Options{HostSocket: socket})
	for _, path := range []string{"/health", "/livez", "/readyz", "/status", "/diagnostics", "/metrics"} {
		status, got, header := r.request(t, "GET", path+"?verbose&exclude=a&exclude=b&token=stolen", "a body", func(request *http.Request) {
			request.Header.Set("Authorization", "Bearer x")
			request.Header.Set("X-Client", "y")
		})
		if status != http.StatusTeapot || got["path"] != path || header.Get("Content-Type") != "text/x-told" || header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v %v", path, status, got, header)
		}
		asked := <-requests
		if asked.method != "GET" || asked.uri != path+"?exclude=a&exclude=b&verbose=" || asked.length != 0 ||
			asked.header.Get("Authorization") != "" || asked.header.Get("X-Client") != "" {
			t.Errorf("%s: the host was asked %+v", path, asked)
		}
	}
	if status, got, _ := r.request(t, "HEAD", "/health", "", nil); status != http.StatusTeapot || got != nil {
		t.Errorf("HEAD: %d %v", status, got)
	}
}

func TestAHostThatDoesNotAnswerMakesHealthStale(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	sockets := map[string]string{
		"none":    "",
		"missing": filepath.Join(t.TempDir(), "absent.sock"),
		"hung":    supervisor(t, func(http.ResponseWriter, *http.Request) { <-hang }),
		"huge": supervisor(t, func(w http.ResponseWriter, _ *http.Request) {
			chunk := make([]byte, 1<<20)
			for range 9 {
				_, _ = w.Write(chunk)
			}
		}),
	}
	for name, socket := range sockets {
		r := start(t, Options{HostSocket: socket})
		began := time.Now()
		status, got, _ := r.request(t, "GET", "/health", "", nil)
		if status != 503 || got["status"] != "unknown" || got["stale"] != true || got["error"] == nil {
			t.Errorf("%s: %d %v, want 503, unknown and stale", name, status, got)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: took %v, want at most the deadline of 1s", name, took)
		}
		if socket != "" && strings.Contains(fmt.Sprint(got), filepath.Dir(socket)) {
			t.Errorf("%s: a stranger learns a path: %v", name, got)
		}
	}
}

func TestAPanickingHTTPHandlerAnswers500(t *testing.T) {
	r := start(t, Options{}, func(h *Hub) {
		h.routes["/boom"] = route{methods: []string{"GET"}, serve: func(http.ResponseWriter, *http.Request) { panic("a bug") }}
	})
	status, got, _ := r.request(t, "GET", "/boom", "", nil)
	if status != 500 || got["error_code"] != "internal_error" || strings.Contains(fmt.Sprint(got), "a bug") {
		t.Errorf("%d %v, want 500 without the reason", status, got)
	}
	if r.Statistics().Errors != 1 {
		t.Errorf("%d errors are counted, want 1", r.Statistics().Errors)
	}
}

func TestAnOldProgramWithoutHostHeaderIsAnswered(t *testing.T) {
	r := start(t, Options{})
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /version HTTP/1.0\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	var got map[string]any
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || got["server_id"] != "test-server" {
		t.Errorf("answers %v, %v", got, err)
	}
}
