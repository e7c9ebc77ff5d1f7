package recovery

import (
	"fmt"
	"slices"
	"time"
)

// Suspect is somebody, or something, that causes much of one thing, as the hub has
// counted it over the last minute or so.
type Suspect struct {
	Kind    string  // client, address, token, room or event
	ID      string  // perhaps as a client called it
	Measure string  // failures, refusals, slow_writes, bytes or events
	Share   float64 // of all that is caused, 0 to 1
	Rate    float64 // per second
	Clients int64   // connected clients that are meant
	// Of a client: where it comes from and the name of its token, and how many
	// connected clients share them.
	Address        string
	AddressClients int64
	Token          string
	TokenClients   int64
}

// Offender is who would be put into quarantine.
type Offender struct {
	Kind, ID string // client, address or token
	Address  string // of a client
	Measure  string
	Share    float64
	Rate     float64
}

// String says who it is and what it does.
func (o Offender) String() string {
	return fmt.Sprintf("%s %s: %.0f %% of all %s, %.3g a second", o.Kind, o.ID, 100*o.Share, o.Measure, o.Rate)
}

// OffenderPolicy says when few cause most.
type OffenderPolicy struct {
	// MinShare is what they cause together, of one measure.
	MinShare float64
	// MaxOffenders is how many may be few.
	MaxOffenders int
	// Duration is how long they are kept out.
	Duration time.Duration
}

// DefaultOffenderPolicy has the documented defaults.
func DefaultOffenderPolicy() OffenderPolicy {
	return OffenderPolicy{MinShare: 0.5, MaxOffenders: 3, Duration: 10 * time.Minute}
}

// grave are the measures that can make an offender, the gravest first, with the rate
// from which they can harm a hub. What is refused or fails is wrong whoever sends it;
// of the others some client always has the largest share, so they need rates that no
// publisher has in passing, and many who do not do it.
var grave = []struct {
	measure string
	rate    float64 // per second
	wrong   bool
}{
	{"failures", 0.2, true}, {"refusals", 2, true}, {"slow_writes", 1, false}, {"bytes", 4 << 20, false}, {"events", 1000, false},
}

// fewOf is how many clients there must be for each one that is put into quarantine
// for something that is not wrong in itself.
const fewOf = 10

// Find says who has to go when the hub is ill, or why nobody stands out. Each is
// named as broadly as hits nobody else: by its token or address, if no other
// connected client shares that, because a client that comes back has a new id.
func (p OffenderPolicy) Find(suspects []Suspect, connected int64) ([]Offender, string) {
	why := "no client stands out: none causes much of the failures, refusals, slow writes, bytes or events"
	for _, g := range grave {
		for _, kind := range []string{"client", "token", "address"} {
			found := few(suspects, kind, g.measure, p)
			if len(found) == 0 {
				continue
			}
			share, clients, rate := 0.0, int64(0), 0.0
			var offenders []Offender
			for _, s := range found {
				share, clients, rate = share+s.Share, clients+s.Clients, rate+s.Rate
				offenders = append(offenders, named(s))
			}
			switch {
			case share < p.MinShare:
				why = fmt.Sprintf("no few stand out: the %d largest cause %.0f %% of the %s, and %.0f %% are needed", len(found), 100*share, g.measure, 100*p.MinShare)
			case rate < g.rate:
				why = fmt.Sprintf("%d cause most of the %s, but %.3g a second are too few to blame them", len(found), g.measure, rate)
			case clients == 0 && kind == "client":
				why = fmt.Sprintf("those who caused most of the %s have left", g.measure)
			case g.wrong && kind == "client": // its own doing, whoever else is here
				return offenders, ""
			case g.wrong && clients <= 1 || clients*fewOf <= connected:
				return offenders, ""
			default:
				why = fmt.Sprintf("of %d clients, %d would suffer for most of the %s: that is not few", connected, clients, g.measure)
			}
		}
	}
	return nil, why
}

// few are the suspects of a kind and measure that cause enough together, or else as
// many as may be few.
func few(suspects []Suspect, kind, measure string, p OffenderPolicy) []Suspect {
	var all []Suspect
	for _, s := range suspects {
		if s.Kind == kind && s.Measure == measure {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b Suspect) int {
		switch {
		case a.Share > b.Share:
			return -1
		case a.Share < b.Share:
			return 1
		}
		return 0
	})
	share := 0.0
	for i, s := range all {
		if share >= p.MinShare || i == p.MaxOffenders {
			return all[:i]
		}
		share += s.Share
	}
	return all
}

// named is a suspect under the broadest name that is its own.
func named(s Suspect) Offender {
	o := Offender{Kind: s.Kind, ID: s.ID, Measure: s.Measure, Share: s.Share, Rate: s.Rate}
	if s.Kind != "client" {
		return o
	}
	switch {
	case s.Token != "" && s.TokenClients == 1:
		o.Kind, o.ID = "token", s.Token
	case s.Address != "" && s.AddressClients == 1:
		o.Kind, o.ID = "address", s.Address
	default:
		o.Address = s.Address
	}
	return o
}
