package attribution

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"
)

var start = time.Unix(1_700_000_000, 0)

// find returns the suspect of a kind and measure that has the largest share.
func find(list []Suspect, k Kind, m Measure) (Suspect, bool) {
	for _, s := range list {
		if s.Kind == k && s.Measure == m {
			return s, true
		}
	}
	return Suspect{}, false
}

func TestOneOfAThousandThatCausesMostIsFound(t *testing.T) {
	l := &Ledger{RelayedAs: "claude_event"}
	for i := range 1000 {
		a := l.Open(Identity{Client: fmt.Sprintf("client-%d", i), Address: "10.0.0.1"})
		a.AddBatch(1, 1, 100)
		if i%10 == 0 {
			a.Add(Refusals, 1)
		}
	}
	bad := l.Open(Identity{Address: "10.0.0.2"})
	bad.Identify(Identity{Client: "bad", Address: "10.0.0.2", Token: "tom"})
	bad.Add(Refusals, 900)
	list := l.Suspects(start)
	s, ok := find(list, Client, Refusals)
	if !ok || s.ID != "bad" || s.Identity.Token != "tom" || math.Abs(s.Share-0.9) > 0.01 {
		t.Errorf("suspect %+v, want the bad client with nine tenths", s)
	}
	if s, _ := find(list, Address, Refusals); s.ID != "10.0.0.2" {
		t.Errorf("suspected address %+v", s)
	}
	if s, _ := find(list, Token, Refusals); s.ID != "tom" {
		t.Errorf("suspected token %+v", s)
	}
	if s, ok := find(list, Client, Events); ok {
		t.Errorf("a thousand who send alike give the suspect %+v", s)
	}
	if s, _ := find(list, Event, Events); s.ID != "claude_event" || s.Share != 1 {
		t.Errorf("what is relayed at once is counted as %+v", s)
	}
}

func TestWhatWasCausedFades(t *testing.T) {
	l := &Ledger{}
	a := l.Open(Identity{Client: "a", Address: "10.0.0.1"})
	a.Add(Refusals, 80)
	first, _ := find(l.Suspects(start), Client, Refusals)
	half, _ := find(l.Suspects(start.Add(HalfLife)), Client, Refusals)
	if math.Abs(half.Rate-first.Rate/2) > 1e-9 {
		t.Errorf("after a half-life the rate is %v, it was %v", half.Rate, first.Rate)
	}
	if s, ok := find(l.Suspects(start.Add(5*HalfLife)), Client, Refusals); ok {
		t.Errorf("after five half-lives of peace %+v is suspected", s)
	}
	l.Suspects(start.Add(40 * HalfLife))
	if n := len(l.sketches[Client][Refusals].entries); n != 0 {
		t.Errorf("%d keys are remembered that have done nothing for long", n)
	}
}

func TestNobodyIsSuspectedOfWhatFailsForEverybody(t *testing.T) {
	for _, c := range []struct {
		othersFail int
		others     int
		suspected  bool
		why        string
	}{
		{0, 0, false, "nobody else sends: it may well be the hub's fault"},
		{0, 100, true, "what others send is handled"},
		{90, 100, false, "others fail as well"},
		{10, 100, true, "others fail, but far less"},
	} {
		l := &Ledger{}
		l.Open(Identity{Client: "other"}).AddBatch(c.others, 0, c.others)
		l.Open(Identity{Client: "other"}).Add(Failures, c.othersFail)
		a := l.Open(Identity{Client: "a"})
		a.AddBatch(100, 0, 100)
		a.Add(Failures, 95)
		suspected := false
		for _, s := range l.Suspects(start) {
			suspected = suspected || s.ID == "a" && s.Measure == Failures
		}
		if suspected != c.suspected {
			t.Errorf("%d of %d events of others fail: suspected %v, want %v: %s", c.othersFail, c.others, suspected, c.suspected, c.why)
		}
	}
}

func TestMemoryIsBoundedWhoeverComes(t *testing.T) {
	l := &Ledger{}
	for i := range 3 * maxNoted {
		a := l.Open(Identity{Client: fmt.Sprint(i), Address: fmt.Sprint(i)})
		a.Add(Refusals, 1)
		l.Count(Event, fmt.Sprintf("%d%0200d", i, 0), Refusals, 1)
		if len(l.noted) > maxNoted {
			t.Fatalf("%d accounts wait", len(l.noted))
		}
	}
	for _, s := range l.Suspects(start) {
		t.Errorf("of %d who did one thing each %+v is suspected", 3*maxNoted, s)
	}
	for k := range l.sketches {
		for m := range l.sketches[k] {
			if n := len(l.sketches[k][m].entries); n > sketchSize {
				t.Errorf("a sketch has %d keys, want at most %d", n, sketchSize)
			}
			for id := range l.sketches[k][m].entries {
				if len(id) > maxID+len("…") {
					t.Errorf("a name of %d bytes is kept", len(id))
				}
			}
		}
	}
}

func TestWhoKeepsComingUnderNewNamesIsFoundByAddress(t *testing.T) {
	l := &Ledger{}
	for i := range 500 {
		l.Open(Identity{Client: fmt.Sprint(i), Address: "10.0.0.9"}).Add(Refusals, 3)
		l.Open(Identity{Client: fmt.Sprint("good", i), Address: fmt.Sprint("10.1.", i)}).Add(Refusals, 1)
	}
	list := l.Suspects(start)
	if s, _ := find(list, Address, Refusals); s.ID != "10.0.0.9" || s.Share < 0.7 {
		t.Errorf("suspected address %+v", s)
	}
	if s, ok := find(list, Client, Refusals); ok {
		t.Errorf("client %+v is suspected of what 500 did", s)
	}
}

func TestNothingIsLostWhenManyCountAtOnce(t *testing.T) {
	l := &Ledger{RelayedAs: "e"}
	a := l.Open(Identity{Client: "a"})
	const each, senders = 20_000, 4
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				a.AddBatch(1, 1, 1)
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			l.Suspects(start)
		}
	})
	wg.Wait()
	s, _ := find(l.Suspects(start), Client, Bytes)
	if got := s.Rate * HalfLife.Seconds() / math.Ln2; math.Abs(got-each*senders) > 0.5 {
		t.Errorf("%v bytes were counted, want %d", got, each*senders)
	}
}

func BenchmarkAddBatch(b *testing.B) {
	l := &Ledger{RelayedAs: "e"}
	a := l.Open(Identity{Client: "a"})
	for b.Loop() {
		a.AddBatch(1, 1, 200)
	}
}

func BenchmarkSuspectsOfTenThousandSenders(b *testing.B) {
	l := &Ledger{RelayedAs: "e"}
	var all []*Account
	for i := range 10_000 {
		all = append(all, l.Open(Identity{Client: fmt.Sprint(i), Address: fmt.Sprint("10.0.0.", i%256)}))
	}
	now := start
	for b.Loop() {
		for _, a := range all {
			a.AddBatch(1, 1, 200)
		}
		now = now.Add(time.Second / 2)
		l.Suspects(now)
	}
}
