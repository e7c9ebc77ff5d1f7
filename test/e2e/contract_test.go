package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// The compatibility object and the others that clients of the reference read.
var (
	compatibilityShape = shape{
		"compatible": "bool", "server_version": "string", "client_version": "string", "warnings": "strings",
		"supported_features": "strings", "requirements": shape{"min_python": "string", "socketio_min": "string"},
	}
	ackShape = shape{
		"server_version": "string", "server_id": "string", "compatibility": compatibilityShape, "timestamp": "time",
	}
	statusShape = shape{
		"server_version": "string", "server_id": "string", "uptime": "number", "clients_connected": "number",
		"events_processed": "number", "timestamp": "time",
	}
	pongShape        = shape{"timestamp": "time", "server_id": "string"}
	versionInfoShape = shape{
		"server_version": "string", "server_id": "string", "socketio_version": "string", "compatibility_matrix": "object",
	}
	historyShape = shape{"events": "array", "total_available": "number", "returned": "number"}
)

// features of the reference, which clients count to choose a server.
var features = []string{
	"persistent_server", "version_compatibility", "process_isolation", "health_monitoring", "advanced_health_monitoring",
	"automatic_recovery", "circuit_breaker", "resource_monitoring", "event_namespacing", "comprehensive_diagnostics", "metrics_export",
}

func TestStockClientsGetTheWholeContractOverEachTransport(t *testing.T) {
	h := serve(t, rig.Options{})
	d := node(t)
	for _, transport := range []string{"websocket", "polling", "upgrade"} {
		t.Run(transport, func(t *testing.T) { wholeContract(t, h, d, transport) })
	}
}

func wholeContract(t *testing.T, h *rig.Host, d *rig.Driver, transport string) {
	ctx := within(t, 60*time.Second)
	a, b := transport+"-a", transport+"-b"
	from := d.Mark()
	connected := open(t, d, rig.Open{Client: a, URL: h.Base(), Transport: transport, Auth: map[string]any{"claude_mpm_version": "0.7.0-dev", "client_id": "e2e"}})
	open(t, d, rig.Open{Client: b, URL: h.Base(), Transport: transport})
	if transport == "upgrade" {
		await(t, d, from, 5*time.Second, a, "upgrade")
	} else if connected.Transport != transport {
		t.Errorf("the client is connected by %s, want %s", connected.Transport, transport)
	}

	// The greeting: connection_ack, then server_status.
	checkShape(t, "connection_ack", awaitEvent(t, d, from, a, "connection_ack"), ackShape)
	checkShape(t, "server_status", awaitEvent(t, d, from, a, "server_status"), statusShape)
	var greeting []string
	for _, n := range d.Notes(from) {
		if n.Client == a && n.What == "event" {
			greeting = append(greeting, n.Name)
		}
	}
	if want := []string{"connection_ack", "server_status"}; !slices.Equal(greeting, want) {
		t.Errorf("the client is greeted with %v, want %v", greeting, want)
	}
	ack := awaitEvent(t, d, from, a, "connection_ack")
	if at(ack, "compatibility", "compatible") != true || at(ack, "compatibility", "client_version") != "0.7.0-dev" {
		t.Errorf("a pre-release of the first compatible version is: %v", at(ack, "compatibility"))
	}
	if w, _ := at(awaitEvent(t, d, from, b, "connection_ack"), "compatibility", "warnings").([]any); len(w) != 0 {
		t.Errorf("a client without auth is warned: %v", w)
	}

	// An event goes to all others, with two fields that the server sets.
	mark := d.Mark()
	event := map[string]any{
		"type": "tool.use", "timestamp": "2025-01-02T03:04:05.678Z", "data": map[string]any{"päth": "a/b", "n": 1.5, "deep": []any{nil, true}},
		"client_version": "3.4.0", "server_id": "forged", "received_at": "forged",
	}
	args, err := d.Ack(ctx, a, "claude_event", event)
	if err != nil || len(args) != 0 {
		t.Errorf("claude_event is acknowledged with %s (%v), want an acknowledgement without arguments", args, err)
	}
	relayed := awaitEvent(t, d, mark, b, "claude_event")
	checkShape(t, "claude_event", relayed, shape{"server_id": "=" + ack["server_id"].(string), "received_at": "time"})
	for _, k := range []string{"type", "timestamp", "data", "client_version"} {
		if fmt.Sprint(relayed[k]) != fmt.Sprint(event[k]) {
			t.Errorf("claude_event.%s is %v, want %v", k, relayed[k], event[k])
		}
	}
	if len(relayed) != len(event) {
		t.Errorf("claude_event has the fields %v", relayed)
	}

	// History: oldest first, the newest `limit`; every odd question is answered.
	if err := d.Emit(ctx, a, "claude_event", map[string]any{"type": "second"}); err != nil {
		t.Fatal(err)
	}
	awaitEventOf(t, d, mark, b, "second")
	history := ask(t, d, a, "get_history", "event_history", map[string]any{"limit": 2, "event_types": []any{}})
	checkShape(t, "event_history", history, historyShape)
	if got := eventTypes(history); !slices.Equal(got, []string{"tool.use", "second"}) || number(history, "returned") != 2 || number(history, "total_available") < 2 {
		t.Errorf("the history is %v with returned %v of %v", got, history["returned"], history["total_available"])
	}
	if got := eventTypes(ask(t, d, a, "get_history", "event_history", map[string]any{"limit": 1})); !slices.Equal(got, []string{"second"}) {
		t.Errorf("the newest one of the history is %v", got)
	}
	for _, limit := range []any{0, -3} {
		if got := ask(t, d, a, "get_history", "event_history", map[string]any{"limit": limit}); len(got["events"].([]any)) != 0 || number(got, "returned") != 0 {
			t.Errorf("the history with limit %v is %v", limit, got)
		}
	}
	for _, odd := range [][]any{{}, {nil}, {"x"}, {5}, {[]any{}}, {map[string]any{"limit": "many"}}, {map[string]any{"limit": 1e30}}, {map[string]any{"limit": nil}}} {
		checkShape(t, fmt.Sprintf("event_history for %v", odd), ask(t, d, a, "get_history", "event_history", odd...), historyShape)
	}

	checkShape(t, "pong", ask(t, d, a, "ping", "pong"), pongShape)
	checkShape(t, "version_info", ask(t, d, a, "get_version", "version_info"), versionInfoShape)
	checkShape(t, "version_info", ask(t, d, a, "get_version", "version_info", map[string]any{}), versionInfoShape)
	checkShape(t, "server_status", ask(t, d, a, "request.status", "server_status"), statusShape)

	for _, n := range d.Notes(from) {
		if n.Client == a && n.What == "event" && n.Name == "claude_event" {
			t.Errorf("the sender got its own event: %s", n)
		}
		// Only a client that can use it gets an offset behind the argument, and only
		// where it is told where it stands: a has said that it is of the reference.
		if limit := map[bool]int{true: 1, false: 2}[n.Client == a || (n.Name != "connection_ack" && n.Name != "claude_event")]; n.What == "event" && (len(n.Args) < 1 || len(n.Args) > limit) {
			t.Errorf("an event with %d arguments: handlers take one: %s", len(n.Args), n)
		}
	}
	for _, c := range []string{a, b} {
		if err := d.CloseClient(ctx, c); err != nil {
			t.Error(err)
		}
	}
}

// ask emits an event and waits for the event that answers it.
func ask(t testing.TB, d *rig.Driver, client, event, answer string, args ...any) map[string]any {
	t.Helper()
	mark := d.Mark()
	if err := d.Emit(within(t, 5*time.Second), client, event, args...); err != nil {
		t.Fatal(err)
	}
	return awaitEvent(t, d, mark, client, answer)
}

// awaitEventOf waits for the claude_event of that type.
func awaitEventOf(t testing.TB, d *rig.Driver, from int, client, kind string) rig.Note {
	t.Helper()
	n, err := d.WaitNote(within(t, 5*time.Second), from, func(n rig.Note) bool {
		o, err := n.Object()
		return n.Client == client && n.Name == "claude_event" && err == nil && o["type"] == kind
	})
	if err != nil {
		t.Fatalf("client %s: no claude_event %s: %v", client, kind, err)
	}
	return n
}

func checkShape(t testing.TB, name string, value any, want any) {
	t.Helper()
	for _, m := range misfits(name, value, want) {
		t.Error(m)
	}
}

func eventTypes(history map[string]any) []string {
	var types []string
	events, _ := history["events"].([]any)
	for _, e := range events {
		o, _ := e.(map[string]any)
		types = append(types, fmt.Sprint(o["type"]))
	}
	return types
}

func TestClientsAreToldWhetherTheirVersionFits(t *testing.T) {
	h := serve(t, rig.Options{})
	d := node(t)
	for i, c := range []struct {
		version    any
		compatible bool
		warned     bool
		why        string
	}{
		{"0.6.9", false, true, "older than the first compatible version"},
		{"0.7.0", true, false, "the first compatible version"},
		{"0.7.0-dev", true, false, "its pre-release, which an uninstalled client calls itself"},
		{"0.7.0.dev3", true, false, "the same as Python writes it"},
		{"0.10.0", true, false, "newer than 0.7.0, though not as a text"},
		{"3.4.0", true, false, "a later version"},
		{"rubbish", true, true, "cannot be read: unknown"},
		{nil, true, false, "absent: unknown, and nothing to warn of"},
	} {
		t.Run(fmt.Sprint(c.version), func(t *testing.T) {
			var auth map[string]any
			if c.version != nil {
				auth = map[string]any{"claude_mpm_version": c.version}
			}
			client, from := fmt.Sprint("v", i), d.Mark()
			open(t, d, rig.Open{Client: client, URL: h.Base(), Transport: "websocket", Auth: auth})
			compatibility := at(awaitEvent(t, d, from, client, "connection_ack"), "compatibility")
			got, _ := compatibility.(map[string]any)
			warnings, _ := got["warnings"].([]any)
			if got["compatible"] != c.compatible || (len(warnings) > 0) != c.warned {
				t.Errorf("%v is %v: %s", c.version, got, c.why)
			}
			awaitEvent(t, d, from, client, "server_status")
			if !c.compatible {
				checkShape(t, "compatibility_warning", awaitEvent(t, d, from, client, "compatibility_warning"), compatibilityShape)
			}
			body := []byte("{}")
			if c.version != nil {
				body, _ = json.Marshal(map[string]any{"client_version": c.version})
			}
			r, err := rig.Do(within(t, 5*time.Second), "POST", h.URL("/compatibility"), map[string]string{"Content-Type": "text/plain"}, body)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := r.JSON()
			if err != nil || r.Status != 200 || answer["compatible"] != c.compatible {
				t.Errorf("POST /compatibility for %v: %s", c.version, r)
			}
			checkShape(t, "POST /compatibility", answer, compatibilityShape)
		})
	}
}

func TestPythonClientsWorkBeforeAndAfterARestartOfTheHub(t *testing.T) {
	h := serve(t, rig.Options{})
	d := python(t)
	ctx := within(t, 90*time.Second)
	var names []string
	for _, transport := range []string{"websocket", "polling", "upgrade"} {
		for _, asynchronous := range []bool{false, true} {
			for _, auth := range []map[string]any{nil, {"claude_mpm_version": "3.4.0", "client_id": "e2e"}} {
				name := fmt.Sprintf("%s-asynchronous=%v-auth=%v", transport, asynchronous, auth != nil)
				names = append(names, name)
				open(t, d, rig.Open{Client: name, URL: h.Base(), Transport: transport, Asynchronous: asynchronous, Auth: auth})
			}
		}
	}
	talk := func(from int, when string) {
		t.Helper()
		for _, name := range names {
			checkShape(t, "connection_ack", awaitEvent(t, d, from, name, "connection_ack"), ackShape)
			checkShape(t, "server_status", awaitEvent(t, d, from, name, "server_status"), statusShape)
		}
		for _, name := range names {
			kind := when + " " + name
			mark := d.Mark()
			if args, err := d.Ack(ctx, name, "claude_event", map[string]any{"type": kind}); err != nil || len(args) != 0 {
				t.Errorf("%s: %s: claude_event is acknowledged with %s, %v", when, name, args, err)
			}
			for _, other := range names {
				if other != name {
					awaitEventOf(t, d, mark, other, kind)
				}
			}
			checkShape(t, "pong", ask(t, d, name, "ping", "pong"), pongShape)
			checkShape(t, "version_info", ask(t, d, name, "get_version", "version_info"), versionInfoShape)
			history := ask(t, d, name, "get_history", "event_history", map[string]any{"limit": 1})
			if got := eventTypes(history); !slices.Equal(got, []string{kind}) {
				t.Errorf("%s: %s: the newest of the history is %v, want %q", when, name, got, kind)
			}
		}
	}
	talk(0, "before")
	mark := d.Mark()
	old := hubOf(t, h)
	killed := signal(t, old, syscall.SIGKILL)
	for _, name := range names {
		await(t, d, mark, 10*time.Second, name, "connect")
	}
	measured(t, "python_clients_back", time.Since(killed))
	talk(mark, "after")
	for _, n := range d.Notes(0) {
		if n.What == "error" {
			t.Errorf("a handler failed: %s", n)
		}
	}
}

func TestEngineIsAnnouncedAsClientsOfTheReferenceExpect(t *testing.T) {
	h := serve(t, rig.Options{})
	want := map[string]float64{"pingInterval": 25000, "pingTimeout": 60000, "maxPayload": 1000000}
	check := func(name string, open map[string]any) {
		for k, v := range want {
			if open[k] != v {
				t.Errorf("%s: %s is %v, want %v", name, k, open[k], v)
			}
		}
	}
	r, err := rig.DialEngine(within(t, 5*time.Second), h.Port)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	check("websocket", r.Open)
	if up, _ := r.Open["upgrades"].([]any); len(up) != 0 {
		t.Errorf("a WebSocket is offered upgrades: %v", up)
	}
	hosts := []string{"127.0.0.1", "localhost"}
	if rig.HasIPv6() {
		hosts = append(hosts, "[::1]")
	}
	for _, host := range hosts {
		resp, err := rig.Get(within(t, 5*time.Second), fmt.Sprintf("http://%s:%d/socket.io/?EIO=4&transport=polling", host, h.Port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		packet, found := strings.CutPrefix(string(resp.Body), "0")
		var open map[string]any
		if err := json.Unmarshal([]byte(packet), &open); !found || err != nil {
			t.Errorf("%s: polling handshake is %s", host, resp)
			continue
		}
		check(host, open)
		if fmt.Sprint(open["upgrades"]) != "[websocket]" {
			t.Errorf("%s: polling is offered the upgrades %v", host, open["upgrades"])
		}
	}
}

// Known clients look for a server on each of several ports before they
// connect, and give up soon.
func TestProbesOfKnownClientsAreAnsweredInTime(t *testing.T) {
	h := serve(t, rig.Options{})
	for _, p := range []struct {
		method, path, body string
		limit              time.Duration
	}{
		{"GET", "/version", "", 2 * time.Second},
		{"POST", "/compatibility", `{"client_version":"3.4.0"}`, 5 * time.Second},
		{"GET", "/health", "", 2 * time.Second},
	} {
		for _, host := range []string{"localhost", "127.0.0.1"} {
			began := time.Now()
			r, err := rig.Do(within(t, p.limit), p.method, fmt.Sprintf("http://%s:%d%s", host, h.Port, p.path), nil, []byte(p.body))
			if err != nil || r.Status != 200 {
				t.Errorf("%s %s on %s: %s, %v", p.method, p.path, host, r, err)
			}
			if took := time.Since(began); took > p.limit {
				t.Errorf("%s %s took %s, want at most %s", p.method, p.path, took, p.limit)
			}
		}
	}
	version := object(t, h, "/version")
	key, _ := version["server_version"].(string)
	if at(version, "compatibility_matrix", key) == nil {
		t.Errorf("server_version %q is no key of the matrix %v", key, version["compatibility_matrix"])
	}
	var major, minor, patch int
	if n, err := fmt.Sscanf(key, "%d.%d.%d", &major, &minor, &patch); n != 3 || err != nil || fmt.Sprintf("%d.%d.%d", major, minor, patch) != key {
		t.Errorf("server_version %q is not x.y.z", key)
	}
	for _, f := range features {
		list, _ := version["features"].([]any)
		if !slices.Contains(list, any(f)) {
			t.Errorf("features lack %s: clients count them to choose a server", f)
		}
	}
}
