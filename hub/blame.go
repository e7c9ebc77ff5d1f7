package hub

import (
	"net/netip"
	"time"

	"github.com/upkeephub/upkeep/hub/internal/attribution"
)

// Suspect is somebody, or something, that causes much of one thing. What it is
// called may come from a client.
type Suspect struct {
	// Kind is what ID names: client (the id of a socket), address, token (its name),
	// room or event.
	Kind string
	ID   string
	// Measure is what it causes: failures, refusals, slow_writes, bytes or events.
	Measure string
	// Share of all that is caused, 0 to 1, and Rate per second, both over the last
	// minute or so.
	Share float64
	Rate  float64
	// Clients is how many clients of the default namespace are meant: those at an
	// address, with a token; 1 for a client that is there.
	Clients int64
	// Of a client: where it comes from, and how many share that.
	Address        string
	AddressClients int64
	Token          string
	TokenClients   int64
}

// suspects are who causes most, each with how many clients stand behind it.
func (h *Hub) suspects(now time.Time) []Suspect {
	found := h.blame.Suspects(now)
	if len(found) == 0 {
		return nil
	}
	here, at, with := map[string]bool{}, map[string]int64{}, map[string]int64{}
	for _, c := range h.clients.all() {
		id := c.link.account.Identity()
		here[id.Client] = true
		at[id.Address]++
		with[id.Token]++
	}
	list := make([]Suspect, len(found))
	for i, f := range found {
		s := Suspect{Kind: f.Kind.String(), ID: f.ID, Measure: f.Measure.String(), Share: f.Share, Rate: f.Rate}
		switch f.Kind {
		case attribution.Client:
			if here[f.ID] {
				s.Clients = 1
			}
			s.Address, s.AddressClients = f.Identity.Address, at[f.Identity.Address]
			if s.Token = f.Identity.Token; s.Token != "" {
				s.TokenClients = with[s.Token]
			}
		case attribution.Address:
			s.Clients = at[f.ID]
		case attribution.Token:
			s.Clients = with[f.ID]
		}
		list[i] = s
	}
	return list
}

// addressOf is what an address and its neighbours are known by: of IPv6 the first
// 64 bits, which one network has.
func addressOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is4() || addr.IsLoopback() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(64)
	return prefix.String()
}

// charge counts against the client who sent an event, and for the event.
func (h *Hub) charge(c *client, event string, m attribution.Measure) {
	if c != nil {
		c.link.account.Add(m, 1)
		h.quarantine.watch(c.link)
	}
	h.blame.Count(attribution.Event, event, m, 1)
}

// blameRooms counts a broadcast for the rooms that it was for.
func (h *Hub) blameRooms(d *delivery, err error) {
	for _, room := range d.rooms {
		h.blame.Count(attribution.Room, string(room), attribution.Events, 1)
		h.blame.Count(attribution.Room, string(room), attribution.Bytes, len(d.payload.args))
		if err != nil {
			h.blame.Count(attribution.Room, string(room), attribution.Failures, 1)
		}
	}
}
