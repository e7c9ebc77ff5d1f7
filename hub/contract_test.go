package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAClientIsGreetedWithAckAndStatus(t *testing.T) {
	r := start(t, Options{HostStartedAt: time.Now().Add(-time.Minute)})
	p := r.dial(t, nil)
	p.send(`40{"claude_mpm_version":"0.7.0-dev","client_id":"x"}`)
	go p.read()

	ack := p.next("connection_ack").object(t)
	if ack["server_version"] != "1.2.3" || ack["server_id"] != "test-server" {
		t.Errorf("connection_ack names %v %v", ack["server_id"], ack["server_version"])
	}
	if got := ack["compatibility"].(map[string]any); got["compatible"] != true || got["client_version"] != "0.7.0-dev" {
		t.Errorf("compatibility is %v, want a compatible 0.7.0-dev", got)
	}
	if at, err := time.Parse(time.RFC3339, ack["timestamp"].(string)); err != nil || !strings.HasSuffix(ack["timestamp"].(string), "Z") {
		t.Errorf("timestamp %v is not RFC 3339 in UTC: %v %v", ack["timestamp"], at, err)
	}
	status := p.next("server_status").object(t)
	if status["clients_connected"] != 1.0 || status["events_processed"] != 0.0 {
		t.Errorf("server_status counts %v clients, %v events, want 1 and 0", status["clients_connected"], status["events_processed"])
	}
	if up := status["uptime"].(float64); up < 59 || up > 120 {
		t.Errorf("uptime is %v, want the host's, about 60", up)
	}
	p.send(`42["ping"]`)
	p.next("pong") // and no compatibility_warning before it
}

func TestAnOldClientIsWarned(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, `{"claude_mpm_version":"0.6.9"}`)
	warning := p.next("compatibility_warning").object(t)
	if warning["compatible"] != false || warning["client_version"] != "0.6.9" {
		t.Errorf("compatibility_warning is %v", warning)
	}
}

func TestAnEventReachesAllOthersWithItsFieldsAndOurs(t *testing.T) {
	r := start(t, Options{})
	sender, one, two := r.connect(t, ""), r.connect(t, ""), r.connect(t, "")
	sender.send(`427["claude_event",{"type":"hook","n":12345678901234567890,"f":1.0,"nested":{"a":[1,null,"<é>"]},"server_id":"mine","received_at":"never"}]`)
	sender.nextAck("7[]")
	for _, p := range []*peer{one, two} {
		raw := string(p.next("claude_event").args[0])
		for _, want := range []string{`"type":"hook"`, `"n":12345678901234567890`, `"f":1.0`, `"server_id":"test-server"`} {
			if !strings.Contains(raw, want) {
				t.Errorf("%s is missing in %s", want, raw)
			}
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(raw), &got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got["nested"]) != "map[a:[1 <nil> <é>]]" {
			t.Errorf("nested is %v", got["nested"])
		}
		if _, err := time.Parse(time.RFC3339, got["received_at"].(string)); err != nil {
			t.Errorf("received_at is not ours: %v", err)
		}
	}
	sender.send(`42["ping"]`)
	sender.next("pong") // the sender did not get its own event
}

func TestEventsKeepTheirOrder(t *testing.T) {
	r := start(t, Options{})
	sender, receiver := r.connect(t, ""), r.connect(t, "")
	const n = 1000
	for i := range n {
		sender.send(fmt.Sprintf(`42["claude_event",{"type":"t","i":%d}]`, i))
	}
	for i := range n {
		if got := receiver.next("claude_event").object(t)["i"]; got != float64(i) {
			t.Fatalf("event %v came as number %d", got, i)
		}
	}
}

func TestEveryKindOfHistoryRequestIsAnswered(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, "")
	const kept = 105
	for i := range kept {
		p.send(fmt.Sprintf(`42["claude_event",{"type":"t%d","i":%d}]`, i%5, i))
	}
	tests := []struct {
		argument        string
		returned, first int
		total           int
		why             string
	}{
		{``, 100, 5, kept, "no argument: the newest 100"},
		{`,{"limit":3}`, 3, 102, kept, "the newest three, oldest first"},
		{`,{"limit":3,"event_types":[]}`, 3, 102, kept, "no types: all of them"},
		{`,{"limit":1000}`, kept, 0, kept, "no more than there are"},
		{`,{"limit":0}`, 0, 0, kept, "zero gives none"},
		{`,{"limit":-5}`, 0, 0, kept, "less than zero gives none"},
		{`,{"limit":2.9}`, 2, 103, kept, "fractions are cut"},
		{`,{"limit":1e400}`, kept, 0, kept, "infinity is all"},
		{`,{"limit":"5"}`, 100, 5, kept, "text is no limit"},
		{`,{"limit":null}`, 100, 5, kept, "null is no limit"},
		{`,{"limit":{}}`, 100, 5, kept, "an object is no limit"},
		{`,{}`, 100, 5, kept, "nothing given"},
		{`,7`, 7, 98, kept, "a bare number is a limit"},
		{`,"x"`, 100, 5, kept, "text is no argument"},
		{`,null`, 100, 5, kept, "null is no argument"},
		{`,[1]`, 100, 5, kept, "a list is no argument"},
		{`,true`, 100, 5, kept, "a boolean is no argument"},
		{`,{"limit":2,"event_types":["t4"]}`, 2, 99, 21, "only the type that was asked for"},
		{`,{"event_types":["absent"]}`, 0, 0, 0, "a type that nothing has"},
		{`,{"event_types":"t4","limit":1}`, 1, 104, kept, "types that are no list do not count"},
	}
	for _, test := range tests {
		p.send(`42["get_history"` + test.argument + `]`)
		reply := p.next("event_history").object(t)
		events := reply["events"].([]any)
		if reply["returned"] != float64(test.returned) || len(events) != test.returned || reply["total_available"] != float64(test.total) {
			t.Errorf("get_history %s: returned %v (%d), total %v; want %d of %d: %s", test.argument,
				reply["returned"], len(events), reply["total_available"], test.returned, test.total, test.why)
			continue
		}
		if len(events) > 0 && events[0].(map[string]any)["i"] != float64(test.first) {
			t.Errorf("get_history %s begins with %v, want %d: %s", test.argument, events[0], test.first, test.why)
		}
	}
}

func TestTheOtherQuestionsAreAnswered(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, "")
	for _, argument := range []string{"", ",null", `,{"x":1}`} {
		p.send(`42["ping"` + argument + `]`)
		if pong := p.next("pong").object(t); pong["server_id"] != "test-server" || pong["timestamp"] == nil {
			t.Errorf("pong is %v", pong)
		}
		p.send(`42["get_version"` + argument + `]`)
		info := p.next("version_info").object(t)
		if info["server_version"] != "1.2.3" || info["socketio_version"] == nil {
			t.Errorf("version_info is %v", info)
		}
		if _, ok := info["compatibility_matrix"].(map[string]any)["1.2.3"]; !ok {
			t.Errorf("the server's version is no key of the matrix: %v", info["compatibility_matrix"])
		}
		p.send(`42["request.status"` + argument + `]`)
		p.next("server_status")
	}
	p.send(`423["ping"]`)
	p.next("pong")
	p.nextAck("3[]")
	if got := r.Statistics(); got.EventsProcessed != 10 || got.Errors != 0 {
		t.Errorf("%d events processed, %d errors, want 10 and 0", got.EventsProcessed, got.Errors)
	}
}

func TestStatisticsFollowTheClients(t *testing.T) {
	r := start(t, Options{Generation: 3, MaxConnections: 77})
	if at := r.Statistics().LastActivity; !at.IsZero() {
		t.Errorf("last activity is %v before the first client", at)
	}
	one, two := r.connect(t, `{"claude_mpm_version":"0.8.1"}`), r.connect(t, "")
	one.send(`42["claude_event",{"type":"a"}]`)
	two.next("claude_event")
	one.roundTrip()
	got := r.Statistics()
	if got.ConnectedClients != 2 || got.ClientsServed != 2 || got.EventsProcessed != 2 || got.HistorySize != 1 ||
		got.ClientDescriptors != 2 || got.Generation != 3 || got.MaxConnections != 77 || got.LastActivity.IsZero() {
		t.Errorf("statistics are %+v", got)
	}
	versions := map[string]int{}
	for _, version := range got.ClientVersions {
		versions[version]++
	}
	if len(got.ClientVersions) != 2 || versions["0.8.1"] != 1 || versions["unknown"] != 1 {
		t.Errorf("client versions are %v", got.ClientVersions)
	}
	one.conn.Close()
	eventually(t, "the client that left is not counted", func() bool {
		s := r.Statistics()
		return s.ConnectedClients == 1 && s.ClientsServed == 2 && s.ClientDescriptors == 1 && len(s.ClientVersions) == 1
	})
}

func TestTotalsContinueThoseOfFormerHubs(t *testing.T) {
	last := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	r := start(t, Options{}, func(h *Hub) {
		h.SetBase(Statistics{ClientsServed: 10, EventsProcessed: 20, EventsFailed: 3, Errors: 4, LastActivity: last, ConnectedClients: 99, HistorySize: 99})
	})
	got := r.Statistics()
	if got.ClientsServed != 10 || got.EventsProcessed != 20 || got.EventsFailed != 3 || got.Errors != 4 || !got.LastActivity.Equal(last) {
		t.Errorf("totals are %+v, want the base", got)
	}
	if got.ConnectedClients != 0 || got.HistorySize != 0 {
		t.Errorf("%d clients and %d events of a former hub are counted as present", got.ConnectedClients, got.HistorySize)
	}
	r.connect(t, "").roundTrip()
	if got := r.Statistics(); got.ClientsServed != 11 || got.EventsProcessed != 21 {
		t.Errorf("totals are %d and %d, want 11 and 21", got.ClientsServed, got.EventsProcessed)
	}
}

func TestTheProbeLeavesNoTrace(t *testing.T) {
	r := start(t, Options{MaxConnections: 1})
	witness := r.connect(t, "") // takes the only place
	witness.roundTrip()
	before := r.Statistics()

	probe := r.dial(t, map[string][]string{probeHeader: {testSecret}})
	probe.join(fmt.Sprintf(`{"%s":%q}`, probeAuthKey, testSecret))
	probe.roundTrip()
	probe.send(`421["claude_event",{"type":"probe"}]`)
	probe.nextAck("1[]")
	probe.send(`42["claude_event","malformed"]`)
	probe.send(`42["connect"]`)
	witness.send(`42["claude_event",{"type":"real"}]`)
	probe.roundTrip() // and no claude_event before the pong

	witness.send(`42["get_history"]`)
	history := witness.next("event_history").object(t)
	if history["returned"] != 1.0 {
		t.Errorf("%v events are kept, want the real one alone", history["returned"])
	}
	after := r.Statistics()
	if after.ConnectedClients != 1 || after.ClientsServed != 1 || after.Errors != 0 ||
		after.EventsProcessed != before.EventsProcessed+2 || len(after.ClientVersions) != 1 {
		t.Errorf("the probe was counted: before %+v, after %+v", before, after)
	}
	probe.conn.Close()
}

func TestAWrongSecretMakesAnOrdinaryClient(t *testing.T) {
	r := start(t, Options{})
	p := r.dial(t, map[string][]string{probeHeader: {"guess"}})
	p.join(fmt.Sprintf(`{"%s":"guess"}`, probeAuthKey))
	if got := r.Statistics().ConnectedClients; got != 1 {
		t.Errorf("%d clients are counted, want 1", got)
	}
}
