package recovery

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFewThatCauseMostAreNamedAndNobodyElse(t *testing.T) {
	client := func(id, measure string, share, rate float64) Suspect {
		return Suspect{Kind: "client", ID: id, Measure: measure, Share: share, Rate: rate, Clients: 1, Address: "10.0.0.1", AddressClients: 1000}
	}
	address := func(id, measure string, share, rate float64, clients int64) Suspect {
		return Suspect{Kind: "address", ID: id, Measure: measure, Share: share, Rate: rate, Clients: clients}
	}
	alone := client("a", "refusals", 0.9, 50)
	alone.AddressClients = 1
	token := client("a", "refusals", 0.9, 50)
	token.Token, token.TokenClients = "tom", 1
	shared := token
	shared.TokenClients = 2
	gone := client("a", "refusals", 0.9, 50)
	gone.Clients = 0
	for _, c := range []struct {
		suspects  []Suspect
		connected int64
		want      string
		why       string
	}{
		{nil, 1000, "", "nobody is suspected"},
		{[]Suspect{client("a", "refusals", 0.9, 50)}, 1000, "client a", "one of a thousand"},
		{[]Suspect{client("a", "refusals", 0.4, 50)}, 1000, "", "less than half"},
		{[]Suspect{client("a", "refusals", 0.3, 50), client("b", "refusals", 0.25, 50), client("c", "refusals", 0.2, 50)}, 1000, "client a, client b", "two cause more than half, the third may stay"},
		{[]Suspect{client("a", "refusals", 0.15, 50), client("b", "refusals", 0.15, 50), client("c", "refusals", 0.15, 50), client("d", "refusals", 0.15, 50)}, 1000, "", "four are not few"},
		{[]Suspect{client("a", "refusals", 1, 0.5)}, 1000, "", "one every other second harms nobody"},
		{[]Suspect{alone}, 1000, "address 10.0.0.1", "nobody shares its address"},
		{[]Suspect{token}, 1000, "token tom", "nobody shares its token, though many share the address"},
		{[]Suspect{shared}, 1000, "client a", "somebody shares its token"},
		{[]Suspect{client("a", "events", 0.9, 5000)}, 1000, "client a", "a flood"},
		{[]Suspect{client("a", "events", 0.9, 100)}, 1000, "", "the one publisher among many who listen is no flood"},
		{[]Suspect{client("a", "events", 0.9, 5000)}, 5, "", "of five it may well be what they are here for"},
		{[]Suspect{client("a", "failures", 0.9, 5)}, 2, "client a", "what fails is wrong among two as well"},
		{[]Suspect{gone}, 1000, "", "it has left"},
		{[]Suspect{gone, address("10.0.0.7", "refusals", 0.9, 50, 0)}, 1000, "address 10.0.0.7", "it keeps coming under new names"},
		{[]Suspect{gone, address("10.0.0.7", "refusals", 0.9, 50, 500)}, 1000, "", "half of all would suffer"},
		{[]Suspect{client("e", "events", 0.9, 5000), client("r", "refusals", 0.9, 50)}, 1000, "client r", "what is wrong comes first"},
		{[]Suspect{{Kind: "event", ID: "x", Measure: "refusals", Share: 1, Rate: 50}, {Kind: "room", ID: "x", Measure: "refusals", Share: 1, Rate: 50}}, 1000, "", "an event is nobody"},
	} {
		found, why := DefaultOffenderPolicy().Find(c.suspects, c.connected)
		var names []string
		for _, o := range found {
			names = append(names, o.Kind+" "+o.ID)
		}
		if got := strings.Join(names, ", "); got != c.want {
			t.Errorf("found %q, want %q: %s", got, c.want, c.why)
		}
		if (why == "") != (c.want != "") {
			t.Errorf("found %q, and the reason is %q: %s", names, why, c.why)
		}
	}
}

func TestOffendersAreFewAndCauseEnoughWhoeverIsSuspected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := OffenderPolicy{MinShare: rapid.Float64Range(0.1, 1).Draw(t, "share"), MaxOffenders: rapid.IntRange(1, 5).Draw(t, "few")}
		connected := rapid.Int64Range(0, 1000).Draw(t, "connected")
		var suspects []Suspect
		for range rapid.IntRange(0, 12).Draw(t, "suspects") {
			suspects = append(suspects, Suspect{
				Kind:    rapid.SampledFrom([]string{"client", "address", "token", "room", "event", "?"}).Draw(t, "kind"),
				ID:      rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id"),
				Measure: rapid.SampledFrom([]string{"failures", "refusals", "slow_writes", "bytes", "events", "?"}).Draw(t, "measure"),
				Share:   rapid.Float64Range(0, 1).Draw(t, "of"), Rate: rapid.Float64Range(0, 1e8).Draw(t, "rate"),
				Clients: rapid.Int64Range(0, 500).Draw(t, "clients"), Address: "10.0.0.1",
				AddressClients: rapid.Int64Range(0, 3).Draw(t, "neighbours"), Token: rapid.SampledFrom([]string{"", "tom"}).Draw(t, "token"),
				TokenClients: rapid.Int64Range(0, 3).Draw(t, "same token"),
			})
		}
		found, why := p.Find(suspects, connected)
		if len(found) == 0 && why == "" {
			t.Fatal("nobody is found, and nothing says why")
		}
		if len(found) > p.MaxOffenders {
			t.Fatalf("%d are found, at most %d are few", len(found), p.MaxOffenders)
		}
		share := 0.0
		for _, o := range found {
			share += o.Share
			if o.Kind != "client" && o.Kind != "address" && o.Kind != "token" || o.ID == "" {
				t.Fatalf("%+v is nobody", o)
			}
		}
		if len(found) > 0 && share < p.MinShare {
			t.Fatalf("they cause %v, want %v", share, p.MinShare)
		}
	})
}
