package fleet

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// relayServer is a Socket.IO relay that errs as it is told.
type relayServer struct {
	*httptest.Server
	// mute says whether the namespace connect of client number n (from 0) is
	// left without an answer.
	mute func(n int) bool
	// deliver says which events client n gets when event seq is published.
	deliver func(n int, seq int64) []int64

	mu      sync.Mutex
	clients []*websocket.Conn
}

// newRelay starts a relay; mute and deliver may be nil: it does as it should.
func newRelay(t *testing.T, mute func(n int) bool, deliver func(n int, seq int64) []int64) *relayServer {
	t.Helper()
	s := &relayServer{mute: mute, deliver: deliver}
	if mute == nil {
		s.mute = func(int) bool { return false }
	}
	if deliver == nil {
		s.deliver = func(_ int, seq int64) []int64 { return []int64{seq} }
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *relayServer) port() int { return s.Listener.Addr().(*net.TCPAddr).Port }

func (s *relayServer) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	s.mu.Lock()
	n := len(s.clients)
	s.clients = append(s.clients, conn)
	_ = conn.WriteMessage(websocket.TextMessage, []byte(`0{"sid":"s"}`))
	s.mu.Unlock()
	for {
		_, packet, err := conn.ReadMessage()
		if err != nil {
			s.mu.Lock()
			s.clients[n] = nil
			s.mu.Unlock()
			return
		}
		s.mu.Lock()
		switch text := string(packet); {
		case text == "40" && !s.mute(n):
			_ = conn.WriteMessage(websocket.TextMessage, []byte(`40{"sid":"n"}`))
			_ = conn.WriteMessage(websocket.TextMessage, []byte("2"))
		case strings.HasPrefix(text, `42["claude_event"`):
			seq, _ := sequence(packet)
			for other, c := range s.clients {
				if other == n || c == nil {
					continue
				}
				for _, one := range s.deliver(other, seq) {
					if one < 0 {
						_ = c.Close()
						continue
					}
					_ = c.WriteMessage(websocket.TextMessage, appendEvent(nil, one, -1))
				}
			}
		case strings.HasPrefix(text, "42"):
			id, _, _ := strings.Cut(text[2:], "[")
			_ = conn.WriteMessage(websocket.TextMessage, []byte("43"+id+"[]"))
		}
		s.mu.Unlock()
	}
}

func newFleet(t *testing.T, port int) *Fleet {
	t.Helper()
	f, err := New(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func publish(t *testing.T, f *Fleet, plan Plan) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := f.Gather(ctx, 10, 4); err != nil {
		t.Fatal(err)
	}
	plan.Warm, plan.Measure, plan.OnTime = 50*time.Millisecond, 200*time.Millisecond, 10*time.Second
	out, err := f.Publish(ctx, plan)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatAServerDoesWrongIsCounted(t *testing.T) {
	// 20 events are published; client 3 gets them in a wrong way.
	for _, c := range []struct {
		why     string
		deliver func(seq int64) []int64
		want    Tally
		lost    int
	}{
		{"all is well", func(seq int64) []int64 { return []int64{seq} }, Tally{Expected: 200, Delivered: 200}, 0},
		{"event 7 never comes", func(seq int64) []int64 {
			if seq == 7 {
				return nil
			}
			return []int64{seq}
		}, Tally{Expected: 200, Delivered: 199, Missing: 1}, 0},
		{"the last event never comes", func(seq int64) []int64 {
			if seq == 19 {
				return nil
			}
			return []int64{seq}
		}, Tally{Expected: 200, Delivered: 199, Missing: 1}, 0},
		{"event 7 comes twice", func(seq int64) []int64 {
			if seq == 7 {
				return []int64{7, 7}
			}
			return []int64{seq}
		}, Tally{Expected: 200, Delivered: 200, Doubled: 1}, 0},
		{"events 7 and 8 change places", func(seq int64) []int64 {
			switch seq {
			case 7:
				return nil
			case 8:
				return []int64{8, 7}
			}
			return []int64{seq}
		}, Tally{Expected: 200, Delivered: 200, OutOfOrder: 1}, 0},
		{"an event comes that nobody sent", func(seq int64) []int64 {
			if seq == 7 {
				return []int64{7, 1000}
			}
			return []int64{seq}
		}, Tally{Expected: 200, Delivered: 200, Unknown: 1}, 0},
		{"the connection is cut off at event 10", func(seq int64) []int64 {
			if seq == 10 {
				return []int64{-1}
			}
			return []int64{seq}
		}, Tally{Expected: 200, Delivered: 190, Missing: 10}, 1},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			s := newRelay(t, nil, func(n int, seq int64) []int64 {
				if n == 3 {
					return c.deliver(seq)
				}
				return []int64{seq}
			})
			f := newFleet(t, s.port())
			drain := time.Minute // all comes, so it is not waited for
			if c.want.Missing > 0 {
				drain = 3 * time.Second
			}
			out := publish(t, f, Plan{Rate: 80, Drain: drain})
			if out.Sent != 20 || out.Tally != c.want || len(out.Lost) != c.lost {
				t.Errorf("%d events sent, %+v, %d connections lost; want 20, %+v, %d", out.Sent, out.Tally, len(out.Lost), c.want, c.lost)
			}
		})
	}
}

func TestTheWindowBoundsWhatIsOutstanding(t *testing.T) {
	const window = 3
	held := make(chan int64, maxEvents)
	s := newRelay(t, nil, func(n int, seq int64) []int64 {
		if n != 5 {
			return []int64{seq}
		}
		held <- seq
		if len(held) < window { // the slowest gets nothing until the window is full
			return nil
		}
		var all []int64
		for len(held) > 0 {
			all = append(all, <-held)
		}
		return all
	})
	f := newFleet(t, s.port())
	// Every one is judged by: there are fewer than are sampled.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := f.Gather(ctx, 6, 6); err != nil {
		t.Fatal(err)
	}
	out, err := f.Publish(ctx, Plan{Window: window, Measure: 100 * time.Millisecond, Drain: 100 * time.Millisecond, OnTime: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(held) >= window || out.Sent < window || out.OutOfOrder+out.Doubled > 0 {
		t.Errorf("%d are outstanding of %d sent, want fewer than %d: %+v", len(held), out.Sent, window, out.Tally)
	}
}

func TestLatencyCountsFromTheIntendedTimeSoThatAStallShows(t *testing.T) {
	s := newRelay(t, nil, func(n int, seq int64) []int64 {
		if seq == 4 && n == 0 { // under the relay's lock, so nothing is relayed meanwhile
			time.Sleep(300 * time.Millisecond)
		}
		return []int64{seq}
	})
	out := publish(t, newFleet(t, s.port()), Plan{Rate: 40, Drain: time.Minute})
	if out.P99 < 250*time.Millisecond || out.Max < out.P99 || out.P50 > out.P99 {
		t.Errorf("p50 %s, p99 %s, max %s after a stall of 300ms", out.P50, out.P99, out.Max)
	}
}

func TestAClientWithoutAnAnswerIsLostAndReplaced(t *testing.T) {
	s := newRelay(t, func(n int) bool { return n == 2 || n == 7 }, nil)
	f := newFleet(t, s.port())
	f.Patience = time.Second
	c, err := f.Gather(t.Context(), 10, 4)
	if err != nil || c.Lost != 2 || c.Joined != 10 || c.Failed != 0 || f.Members() != 10 {
		t.Errorf("%+v, %d members, %v; want 2 lost and 10 members", c, f.Members(), err)
	}
}

func TestAServerThatRefusesIsAFailureAndNoLoss(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	c, err := newFleet(t, s.Listener.Addr().(*net.TCPAddr).Port).Connect(t.Context(), 5, 2, true)
	if err != nil || c.Failed != 5 || c.Lost != 0 || !strings.Contains(c.FirstFailure, "404") {
		t.Errorf("%+v, %v; want 5 failed because of 404", c, err)
	}
}

func TestAnswersToClientsThatLeaveAreNotLost(t *testing.T) {
	c, err := newFleet(t, newRelay(t, nil, nil).port()).Connect(t.Context(), 300, 8, false)
	if err != nil || c.Joined != 300 || c.Lost+c.Failed > 0 || c.PerSecond() <= 0 {
		t.Errorf("%+v, %v; want 300 joined", c, err)
	}
}

func TestEachAcknowledgementIsThatOfTheEventInFlight(t *testing.T) {
	s := newRelay(t, nil, nil)
	f := newFleet(t, s.port())
	none := func() (Usage, error) { return Usage{}, nil }
	a, err := f.Acknowledge(t.Context(), 10*time.Millisecond, 100*time.Millisecond, none)
	if err != nil || a.Acks == 0 || a.P50 <= 0 || a.P99 < a.P50 {
		t.Errorf("%+v, %v", a, err)
	}
	if f.Members() != 0 {
		t.Errorf("the publisher is still a member")
	}
}

func TestClientsComeFromManyAddressesOfTheLoopbackNetwork(t *testing.T) {
	seen := map[string]bool{}
	for i := range 25_000 {
		a := source(i).Addr
		if a[0] != 127 || a == [4]byte{127, 0, 0, 1} {
			t.Fatalf("client %d comes from %v", i, a)
		}
		seen[fmt.Sprint(a)] = true
	}
	if len(seen) != 25_000 {
		t.Errorf("%d addresses, want 25000", len(seen))
	}
}
