package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// suspect waits for a suspect of a kind and measure, and returns it.
func (r *running) suspect(t *testing.T, kind, measure string) Suspect {
	t.Helper()
	var found Suspect
	eventually(t, "a "+kind+" is suspected of "+measure, func() bool {
		for _, s := range r.Statistics().Suspects {
			if s.Kind == kind && s.Measure == measure {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

func TestWhoCausesRefusalsIsASuspect(t *testing.T) {
	h := start(t, Options{})
	good, bad := h.connect(t, ""), h.connect(t, "")
	for range 30 {
		bad.send(`42["claude_event",5]`)
	}
	bad.roundTrip()
	good.roundTrip()
	s := h.suspect(t, "client", "refusals")
	if s.Share < 0.99 || s.Clients != 1 || s.Address != "127.0.0.1" || s.AddressClients != 2 {
		t.Errorf("suspect %+v, want one client of the two at 127.0.0.1, with all of it", s)
	}
	if s := h.suspect(t, "event", "refusals"); s.ID != "claude_event" {
		t.Errorf("the event is %+v", s)
	}
}

func TestWhoFloodsIsASuspect(t *testing.T) {
	h := start(t, Options{})
	good, bad := h.connect(t, ""), h.connect(t, "")
	for range 200 {
		bad.send(`42["claude_event",{"type":"x"}]`)
		good.next("claude_event")
	}
	for _, measure := range []string{"events", "bytes"} {
		if s := h.suspect(t, "client", measure); s.Share < 0.9 || s.Clients != 1 {
			t.Errorf("of %s %+v is suspected", measure, s)
		}
	}
	if s := h.suspect(t, "event", "events"); s.ID != "claude_event" {
		t.Errorf("the event is %+v", s)
	}
}

func TestEventsThatFailAreTheirSendersUnlessOthersFailToo(t *testing.T) {
	h := start(t, Options{}, func(h *Hub) {
		h.handlers["ping"] = func(c *client, args []any) (*answer, error) {
			if len(args) > 0 {
				panic("the handler cannot bear it")
			}
			return nil, nil
		}
	})
	good, bad := h.connect(t, ""), h.connect(t, "")
	for range 20 {
		good.send(`42["request.status"]`)
		good.next("server_status")
		bad.send(`42["ping",1]`)
	}
	if s := h.suspect(t, "client", "failures"); s.Share < 0.99 {
		t.Errorf("suspect %+v", s)
	}
	if s := h.suspect(t, "event", "failures"); s.ID != "ping" {
		t.Errorf("the event is %+v", s)
	}
}

func TestAQuarantinedClientIsToldToStayAwayAndNobodyElseNotices(t *testing.T) {
	h := start(t, Options{})
	good, bad := h.connect(t, ""), h.connect(t, "")
	for range 30 {
		bad.send(`42["claude_event",5]`)
	}
	s := h.suspect(t, "client", "refusals")
	if n := h.SetQuarantine(1, []Quarantined{{Kind: s.Kind, ID: s.ID, Address: s.Address, Until: time.Now().Add(time.Minute)}}); n != 1 {
		t.Errorf("%d are disconnected, want 1", n)
	}
	if code := bad.closeCode(); code != 1008 {
		t.Errorf("it is closed with %d, want 1008", code)
	}
	if !bad.disconnected() {
		t.Error("it was not told that the server has disconnected it, so a stock client would come back")
	}
	good.roundTrip()
	// Its address is not kept out: others are there too. But as soon as a newcomer does
	// the same, it goes.
	again, other := h.connect(t, ""), h.connect(t, "")
	for range probation + 10 {
		if again.trySend(`42["claude_event",5]`) != nil {
			break
		}
	}
	if code := again.closeCode(); code != 1008 {
		t.Errorf("the same one under a new id is closed with %d, want 1008", code)
	}
	other.roundTrip()
	good.roundTrip()
	if h.SetQuarantine(2, nil) != 0 {
		t.Error("letting everybody in has disconnected somebody")
	}
	free := h.connect(t, "")
	for range probation + 10 {
		free.send(`42["claude_event",5]`)
	}
	free.roundTrip()
}

func TestAQuarantinedAddressIsRefusedUntilItsTimeIsOver(t *testing.T) {
	h := start(t, Options{})
	bad := h.connect(t, "")
	until := time.Now().Add(time.Hour)
	if n := h.SetQuarantine(1, []Quarantined{{Kind: "address", ID: "127.0.0.1", Until: until}}); n != 1 {
		t.Errorf("%d are disconnected, want 1", n)
	}
	bad.closeCode()
	status, body, header := h.request(t, "GET", DefaultPath+"?EIO=4&transport=polling", "", nil)
	if status != 403 || body["error_code"] != "quarantined" || header.Get("Retry-After") == "" {
		t.Errorf("a handshake is answered with %d %v %v", status, body, header)
	}
	if status, _, _ := h.request(t, "GET", "/version", "", nil); status != 200 {
		t.Errorf("/version is answered with %d: only clients are kept out", status)
	}
	// The probe comes from there as well.
	probe := h.dial(t, map[string][]string{probeHeader: {testSecret}})
	probe.join("")
	probe.roundTrip()
	if h.SetQuarantine(0, nil); h.quarantine.list.Load() == nil {
		t.Error("a list that was overtaken is taken over")
	}
	h.SetQuarantine(2, []Quarantined{{Kind: "address", ID: "127.0.0.1", Until: time.Now().Add(-time.Second)}})
	h.connect(t, "").roundTrip()
}

func TestAQuarantinedTokenMayNotJoin(t *testing.T) {
	tokens := TokenPolicy{Fixed: []Token{{Name: "tom", Value: "0123456789abcdef", Roles: Roles()}, {Name: "eve", Value: "fedcba9876543210", Roles: Roles()}}}
	h := start(t, Options{Tokens: tokens})
	tom, eve := h.connect(t, `{"token":"0123456789abcdef"}`), h.connect(t, `{"token":"fedcba9876543210"}`)
	if n := h.SetQuarantine(1, []Quarantined{{Kind: "token", ID: "eve", Until: time.Now().Add(time.Hour)}}); n != 1 {
		t.Errorf("%d are disconnected, want 1", n)
	}
	eve.closeCode()
	tom.roundTrip()
	for _, namespace := range []string{"", "/other,"} {
		h.server.Of("/other", nil)
		again := h.dial(t, nil)
		again.send("40" + namespace + `{"token":"fedcba9876543210"}`)
		go again.read()
		if refusal := receive(again, again.refused, "a refusal"); !strings.Contains(refusal, `"code":"quarantined"`) {
			t.Errorf("in %q it is told %s", namespace, refusal)
		}
	}
}

func TestTheQuarantineIsBounded(t *testing.T) {
	h := start(t, Options{})
	var list []Quarantined
	for i := range MaxQuarantined + 10 {
		list = append(list, Quarantined{Kind: "client", ID: fmt.Sprint(i), Until: time.Now().Add(time.Hour)})
	}
	h.SetQuarantine(1, list)
	if n := len(*h.quarantine.list.Load()); n != MaxQuarantined {
		t.Errorf("%d are kept out, want %d", n, MaxQuarantined)
	}
}

// With one that does what it must not among a thousand, the others never notice,
// neither its doing nor its leaving.
func TestOneOfAThousandIsQuarantinedAndTheOthersNeverNotice(t *testing.T) {
	h := start(t, Options{})
	crowd := make([]*peer, 999)
	for i := range crowd {
		crowd[i] = h.connect(t, "")
	}
	bad := h.connect(t, "")
	speaker := crowd[0]
	for i := range 100 {
		bad.send(`42["claude_event",5]`)
		bad.send(`42["claude_event",{}]`)
		speaker.send(fmt.Sprintf(`42["claude_event",{"type":"n","n":%d}]`, i))
		if i == 50 {
			s := h.suspect(t, "client", "refusals")
			h.SetQuarantine(1, []Quarantined{{Kind: "client", ID: s.ID, Until: time.Now().Add(time.Minute)}})
			break
		}
	}
	bad.closeCode()
	for i := 51; i < 100; i++ {
		speaker.send(fmt.Sprintf(`42["claude_event",{"type":"n","n":%d}]`, i))
	}
	for at, p := range crowd[1:] {
		for want := 0; want < 100; {
			e := p.next("claude_event").object(t)
			if e["type"] == "n" {
				if e["n"] != float64(want) {
					t.Fatalf("client %d got event %v, want %d: nothing may be lost or doubled", at, e["n"], want)
				}
				want++
			}
		}
		select {
		case <-p.closed:
			t.Fatalf("client %d lost its connection: %v", at, p.err)
		default:
		}
	}
	if n := h.Statistics().ConnectedClients; n != 999 {
		t.Errorf("%d clients are connected, want 999", n)
	}
	if _, err := h.Heartbeat(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAnAddressOfTheNextProtocolIsItsNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"10.1.2.3:80": "10.1.2.3", "[::ffff:10.1.2.3]:80": "10.1.2.3", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64",
		"[::1]:80": "::1", "[fe80::1%eth0]:80": "fe80::/64", "@": "", "": "",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("%s is known by %q, want %q", remote, got, want)
		}
	}
}
