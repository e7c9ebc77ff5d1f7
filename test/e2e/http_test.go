package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

func TestEndpointsHaveTheDocumentedShapes(t *testing.T) {
	h := serve(t, rig.Options{})
	d := node(t)
	open(t, d, rig.Open{Client: "a", URL: h.Base(), Transport: "websocket", Auth: map[string]any{"claude_mpm_version": "3.4.0"}})
	if _, err := d.Ack(within(t, 5*time.Second), "a", "claude_event", map[string]any{"type": "x"}); err != nil {
		t.Fatal(err)
	}
	checks := shape{"process_resources": "string", "network_connectivity": "string", "service_health": "string"}
	health := shape{
		"status": "string", "timestamp": "time", "uptime_seconds": "number", "version": "string", "pid": "number", "checks": checks,
		"metrics":        shape{"cpu_percent": "number", "memory_mb": "number", "clients_connected": "number", "events_processed": "number"},
		"server_version": "string", "server_id": "string", "host": "=localhost", "port": "number", "start_time": "time",
		"clients_connected": "number", "client_versions": "object",
		"health_stats": shape{"events_processed": "number", "clients_served": "number", "errors": "number", "last_activity": "any"},
		"dependencies": shape{"socketio_version": "string"},
	}
	shapes := map[string]shape{
		"/version": {
			"server_version": "string", "server_id": "string", "socketio_version": "string", "compatibility_matrix": "object",
			"supported_client_versions": "any", "features": "strings",
		},
		"/health": health,
		"/diagnostics": {
			"server_info": shape{
				"version": "string", "pid": "number", "start_time": "any", "uptime_seconds": "number", "host": "=localhost", "port": "number",
			},
			"health_monitor": shape{
				"enabled": "bool", "last_check": "any", "overall_status": "string", "checks_performed": "number", "checks_failed": "number",
			},
			"recovery_manager": shape{
				"enabled": "bool", "circuit_breaker_state": "=closed", "total_recoveries": "number", "successful_recoveries": "number", "failed_recoveries": "number",
			},
			"process_info": shape{"cpu_percent": "number", "memory_mb": "number", "file_descriptors": "number", "thread_count": "number"},
		},
		"/status": {
			"status": "=running", "version": "string", "uptime": "number", "clients": "number", "health": "any",
			"server_version": "string", "server_id": "string", "pid": "number", "health_stats": "object",
		},
		"/stats": {
			"server_info": shape{"version": "string", "id": "string", "uptime": "number"},
			"connections": shape{"current_clients": "number", "total_served": "number", "client_versions": "object"},
			"events":      shape{"total_processed": "number", "history_size": "number", "last_activity": "any"}, "errors": "number",
		},
	}
	for path, want := range shapes {
		r := get(t, h, path)
		if r.Status != 200 {
			t.Errorf("GET %s: %s", path, r)
		}
		if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
			t.Errorf("GET %s: the content type is %q", path, ct)
		}
		o, err := r.JSON()
		if err != nil {
			t.Errorf("GET %s: %v", path, err)
			continue
		}
		checkShape(t, path, o, want)
	}
	eventually(t, 3*time.Second, "the hub's numbers reach host with its next heartbeat", func() error {
		if n := number(object(t, h, "/health"), "health_stats", "events_processed"); n < 1 {
			return fmt.Errorf("%v events", n)
		}
		return nil
	})
	live := object(t, h, "/health")
	if live["pid"] != float64(h.PID()) || live["port"] != float64(h.Port) {
		t.Errorf("/health has pid %v and port %v, want the host's: %d, %d", live["pid"], live["port"], h.PID(), h.Port)
	}
	if number(live, "clients_connected") != 1 || number(live, "health_stats", "events_processed") < 1 {
		t.Errorf("/health counts %v clients and %v events, want 1 and at least 1", live["clients_connected"], at(live, "health_stats", "events_processed"))
	}
	if versions, _ := live["client_versions"].(map[string]any); len(versions) != 1 {
		t.Errorf("/health knows the client versions %v, want one", versions)
	}
	stats := object(t, h, "/stats")
	if number(stats, "connections", "current_clients") != 1 || number(stats, "events", "history_size") != 1 {
		t.Errorf("/stats counts %v, want one client and one event: nobody counts our own probe", stats)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if r := get(t, h, path); r.Status != 200 {
			t.Errorf("GET %s: %s", path, r)
		}
		if r := get(t, h, path+"?verbose"); !strings.Contains(string(r.Body), "[+]") {
			t.Errorf("GET %s?verbose: %s", path, r)
		}
	}
}

func TestMetricsPassPromtool(t *testing.T) {
	h := serve(t, rig.Options{})
	r := get(t, h, "/metrics")
	for _, m := range []string{"socketio_uptime_seconds", "socketio_clients_connected", "socketio_events_processed_total", "socketio_health_status"} {
		if !strings.Contains(string(r.Body), "\n"+m+" ") {
			t.Errorf("/metrics lacks %s", m)
		}
	}
	if !strings.Contains(string(r.Body), "\nsocketio_health_status 1\n") {
		t.Errorf("/metrics does not say that a healthy host is healthy (1)")
	}
	promtool := exec.CommandContext(within(t, 10*time.Second), "promtool", "check", "metrics")
	promtool.Stdin = bytes.NewReader(r.Body)
	if out, err := promtool.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestReadOnlyEndpointsAnswerOnTheAdminPortToo(t *testing.T) {
	h := serve(t, rig.Options{})
	for path, want := range map[string]int{"/health": 200, "/livez": 200, "/readyz": 200, "/status": 200, "/diagnostics": 200, "/metrics": 200, "/version": 404, "/compatibility": 404, "/socket.io/": 404} {
		r, err := rig.Get(within(t, 5*time.Second), h.AdminURL(path))
		if err != nil || r.Status != want {
			t.Errorf("GET %s on the admin port: %s (%v), want %d", path, r, err, want)
		}
	}
}

func TestOddRequestsGetAnAnswerThatHelps(t *testing.T) {
	h := serve(t, rig.Options{})
	do := func(method, path string, header map[string]string, body string) rig.Response {
		t.Helper()
		r, err := rig.Do(within(t, 5*time.Second), method, h.URL(path), header, []byte(body))
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return r
	}
	for _, c := range []struct {
		method, path string
		header       map[string]string
		body         string
		status       int
		why          string
	}{
		{"POST", "/health", nil, "", 405, "nothing is changed here"},
		{"DELETE", "/diagnostics", nil, "", 405, "nothing is changed here"},
		{"GET", "/compatibility", nil, "", 405, "it wants a body"},
		{"GET", "/nowhere", nil, "", 404, "there is no such page"},
		{"GET", "/../../etc/passwd", nil, "", 404, "there is no file behind any path"},
		{"GET", "/%2e%2e/%2e%2e/etc/passwd", nil, "", 404, "the same, encoded"},
		{"POST", "/compatibility", nil, "{", 400, "no JSON"},
		{"POST", "/compatibility", nil, "{}", 200, "nothing said is unknown, which is compatible"},
		{"GET", "/diagnostics", map[string]string{"Host": "evil.example"}, "", 421, "a foreign name that was made to point here"},
		{"GET", "/stats", map[string]string{"Host": "evil.example:80"}, "", 421, "the same on what the hub answers"},
		{"GET", "/health", map[string]string{"Host": "evil.example"}, "", 200, "load balancers ask by any name"},
		{"GET", "/socket.io/?EIO=4&transport=polling", map[string]string{"Origin": "http://evil.example"}, "", 403, "a foreign page in a browser"},
		{"GET", "/socket.io/?EIO=4&transport=polling&sid=nobody", nil, "", 400, "no such session"},
		{"GET", "/socket.io/?EIO=4&transport=pigeon", nil, "", 400, "no such transport"},
		{"GET", "/debug/pprof/", nil, "", 404, "profiles are nobody's business"},
	} {
		if r := do(c.method, c.path, c.header, c.body); r.Status != c.status {
			t.Errorf("%s %s is answered with %s, want %d: %s", c.method, c.path, r, c.status, c.why)
		} else if cors := r.Header.Get("Access-Control-Allow-Origin"); cors != "" && c.header["Origin"] != "" {
			t.Errorf("%s %s from a foreign page is allowed: %s", c.method, c.path, cors)
		}
	}
	if r := do("POST", "/health", nil, ""); !strings.Contains(r.Header.Get("Allow"), "GET") {
		t.Errorf("a wrong method is not told the right ones: Allow is %q", r.Header.Get("Allow"))
	}
	if r := do("GET", "/nowhere", nil, ""); !strings.Contains(string(r.Body), "/health") {
		t.Errorf("who is lost is not told what there is: %s", r)
	}
}

// The age of what /health shows is real, and what is overdue is never healthy.
func TestHealthTellsTheAgeOfWhatItShowsAndNeverCallsOldNewsHealthy(t *testing.T) {
	h := serve(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 1, "check_timeout": 1},
	})}})
	age := func() float64 {
		return number(object(t, h, "/health"), "check_details", "network_connectivity", "age_seconds")
	}
	first := age()
	if first < 0 || first > 3 {
		t.Fatalf("the network check is said to be %v s old, with a check each second", first)
	}
	eventually(t, 3*time.Second, "the age grows until the next check and falls back", func() error {
		if now := age(); now >= first {
			first = now
			return fmt.Errorf("still growing: %v", now)
		}
		return nil
	})
	checker := pluginOf(t, h, "network")
	signal(t, checker, syscall.SIGSTOP)
	took := eventually(t, 5*time.Second, "a check whose plugin is frozen is unknown", func() error {
		health := object(t, h, "/health")
		if word := at(health, "checks", "network_connectivity"); word != "unknown" {
			return fmt.Errorf("network_connectivity is %v", word)
		}
		if health["status"] == "healthy" {
			return fmt.Errorf("the whole is healthy")
		}
		for _, other := range []string{"process_resources", "service_health"} {
			if word := at(health, "checks", other); word != "healthy" {
				return fmt.Errorf("%s is %v: one frozen checker stops nobody", other, word)
			}
		}
		return nil
	})
	measured(t, "frozen_checker_unknown", took)
	eventually(t, 20*time.Second, "the plugin is replaced and the check healthy again", func() error {
		if word := at(object(t, h, "/health"), "checks", "network_connectivity"); word != "healthy" {
			return fmt.Errorf("network_connectivity is %v", word)
		}
		return nil
	})
	if checker.Alive() {
		t.Errorf("the frozen plugin %d was not replaced", checker.PID)
	}
}

// While host is frozen the hub answers in its place, in time, and says so.
func TestHubSaysThatItsHostIsSilent(t *testing.T) {
	h := serve(t, rig.Options{})
	if err := h.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := get(t, h, "/health")
	measured(t, "health_while_host_is_frozen", time.Since(began))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("/health took %s while host is frozen, want about 1 s", took)
	}
	o, _ := r.JSON()
	if r.Status != http.StatusServiceUnavailable || o["stale"] != true || o["status"] != "unknown" {
		t.Errorf("while host is frozen /health is %s", r)
	}
	if err := h.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "host speaks for itself again", func() error {
		if r := get(t, h, "/health"); r.Status != 200 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
}

func TestLoopbackIsServedOverBothFamiliesAndNothingElse(t *testing.T) {
	h := serve(t, rig.Options{})
	hosts := []string{"127.0.0.1"}
	if rig.HasIPv6() {
		hosts = append(hosts, "::1")
	}
	for _, host := range hosts {
		r, err := rig.Get(within(t, 5*time.Second), "http://"+net.JoinHostPort(host, strconv.Itoa(h.Port))+"/version")
		if err != nil || r.Status != 200 {
			t.Errorf("GET /version on %s: %s, %v", host, r, err)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.IsLinkLocalUnicast() {
			continue
		}
		c, err := net.DialTimeout("tcp", net.JoinHostPort(ip.IP.String(), strconv.Itoa(h.Port)), time.Second)
		if err == nil {
			c.Close()
			t.Errorf("the hub can be reached at %s: it must be bound to loopback only", ip.IP)
		}
	}
}
