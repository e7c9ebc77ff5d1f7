package attribution

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// HalfLife is how long it takes until half of what was counted is forgotten.
const HalfLife = 30 * time.Second

// Measure is what is counted.
type Measure int

// The measures.
const (
	Failures   Measure = iota // events that failed by a fault of the hub's own
	Refusals                  // input that was refused
	SlowWrites                // writes that the client did not take, or not in time
	Bytes                     // that came in
	Events                    // messages that came in
	atOnce                    // claude_events that were relayed without further ado
	measures
)

var measureNames = [...]string{"failures", "refusals", "slow_writes", "bytes", "events"}

func (m Measure) String() string { return measureNames[m] }

// Kind is what somebody is known by.
type Kind int

// The kinds.
const (
	Client Kind = iota
	Address
	Token
	Room
	Event
	kinds
)

var kindNames = [...]string{"client", "address", "token", "room", "event"}

func (k Kind) String() string { return kindNames[k] }

// Identity is who a sender is, as far as that is known.
type Identity struct {
	Client, Address, Token string
}

// Suspect is a key that causes much of something.
type Suspect struct {
	Kind     Kind
	ID       string
	Measure  Measure
	Share    float64 // of what all of its kind have caused, 0 to 1
	Rate     float64 // of it, per second, over the last HalfLife or so
	Identity Identity
}

// Account is what one sender has caused since it was looked at last. Its methods
// are safe for concurrent use, never block, and do nothing on a nil Account.
type Account struct {
	ledger   *Ledger
	identity atomic.Pointer[Identity]
	counts   [measures]atomic.Uint64
	noted    atomic.Bool // it is in ledger.noted
}

// Add counts n for the sender.
func (a *Account) Add(m Measure, n int) {
	if a == nil || n <= 0 {
		return
	}
	a.counts[m].Add(uint64(n))
	a.note()
}

// AddBatch counts what was read at once: so many messages, of which atOnce are
// claude_events that no handler has seen, with so many bytes.
func (a *Account) AddBatch(messages, relayed, bytes int) {
	if a == nil || bytes <= 0 {
		return
	}
	a.counts[Bytes].Add(uint64(bytes))
	a.counts[Events].Add(uint64(messages))
	if relayed > 0 {
		a.counts[atOnce].Add(uint64(relayed))
	}
	a.note()
}

// Identify says who the sender is, in place of what was said before.
func (a *Account) Identify(id Identity) {
	if a != nil {
		a.identity.Store(&id)
	}
}

// Identity is what was said last.
func (a *Account) Identity() Identity {
	if a == nil {
		return Identity{}
	}
	return *a.identity.Load()
}

func (a *Account) note() {
	if a.noted.Load() || !a.noted.CompareAndSwap(false, true) {
		return
	}
	a.ledger.note(a)
}

// maxNoted bounds the accounts that wait to be looked at.
const maxNoted = 16_384

// Ledger sums up accounts. The zero Ledger is empty and ready.
type Ledger struct {
	mu       sync.Mutex
	noted    []*Account // something was counted on them
	sketches [kinds][measures]sketch
	faded    time.Time
	// relayedAs is the name under which atOnce is counted.
	RelayedAs string
}

// Open makes the account of a sender.
func (l *Ledger) Open(id Identity) *Account {
	a := &Account{ledger: l}
	a.identity.Store(&id)
	return a
}

func (l *Ledger) note(a *Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noted = append(l.noted, a)
	if len(l.noted) >= maxNoted {
		l.sumLocked()
	}
}

// Count counts n for a room or an event.
func (l *Ledger) Count(k Kind, id string, m Measure, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sketches[k][m].add(clip(id), float64(n), Identity{})
}

// maxID is how much of what a client calls something is kept, in bytes.
const maxID = 80

// clip makes what a client sent short and fit to be shown.
func clip(id string) string {
	if len(id) > maxID {
		id = strings.ToValidUTF8(id[:maxID], "") + "…"
	}
	return strings.ToValidUTF8(id, "?")
}

// sumLocked takes what was counted on accounts.
func (l *Ledger) sumLocked() {
	for i, a := range l.noted {
		l.noted[i] = nil
		a.noted.Store(false) // before it is read: what comes later notes it again
		id := a.Identity()
		for m := range measures {
			n := float64(a.counts[m].Swap(0))
			if n == 0 {
				continue
			}
			if m == atOnce {
				l.sketches[Event][Events].add(l.RelayedAs, n, Identity{})
				continue
			}
			l.sketches[Client][m].add(id.Client, n, id)
			l.sketches[Address][m].add(id.Address, n, Identity{Address: id.Address})
			if id.Token != "" {
				l.sketches[Token][m].add(clip(id.Token), n, Identity{Token: id.Token})
			}
		}
	}
	if cap(l.noted) > 1024 && len(l.noted) < cap(l.noted)/4 {
		l.noted = nil // after a storm
	}
	l.noted = l.noted[:0]
}

// What a suspect has to have caused, of its measure: a share of all, and a number.
const (
	leastShare = 0.1
	leastCount = 10
	// perKind is how many suspects there are of one kind and measure.
	perKind = 5
)

// Suspects are those who have caused much: the gravest measure first, then by kind,
// the largest share first. Nobody is suspected of failures unless others have sent
// events with far fewer: what fails for everybody is the hub's own fault. A client
// that never joined has no id, and only its address is suspected.
func (l *Ledger) Suspects(now time.Time) []Suspect {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sumLocked()
	if since := now.Sub(l.faded); !l.faded.IsZero() && since > 0 {
		part := math.Exp2(-since.Seconds() / HalfLife.Seconds())
		for k := range l.sketches {
			for m := range l.sketches[k] {
				l.sketches[k][m].fade(part)
			}
		}
	}
	l.faded = now
	var all []Suspect
	for m := range atOnce {
		for k := range kinds {
			all = append(all, l.largestLocked(k, m)...)
		}
	}
	return all
}

func (l *Ledger) largestLocked(k Kind, m Measure) []Suspect {
	s := &l.sketches[k][m]
	if s.total < leastCount {
		return nil
	}
	var found []Suspect
	for id, e := range s.entries {
		count := e.sure()
		if id == "" || count < leastCount || count < leastShare*s.total || m == Failures && !l.alone(k, id, count) {
			continue
		}
		found = append(found, Suspect{
			Kind: k, ID: id, Measure: m, Share: count / s.total, Rate: count * math.Ln2 / HalfLife.Seconds(), Identity: e.identity,
		})
	}
	slices.SortFunc(found, func(a, b Suspect) int {
		switch {
		case a.Share > b.Share:
			return -1
		case a.Share < b.Share:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found[:min(len(found), perKind)]
}

// alone says whether a key fails while others do not: of what they send, less than
// half as large a part.
func (l *Ledger) alone(k Kind, id string, failures float64) bool {
	events, failed := &l.sketches[k][Events], &l.sketches[k][Failures]
	own := 0.0
	if e := events.entries[id]; e != nil {
		own = e.sure()
	}
	others, othersFailed := events.total-own, failed.total-failures
	return others >= leastCount && othersFailed/others < 0.5*failures/max(own, failures)
}
