package hub

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// quietRamp is a ramp that nobody watches.
func quietRamp(most int) *ramp {
	r := newRamp(&Hub{}, most)
	r.watch = true
	return r
}

// fits reports whether one more is admitted.
func (r *ramp) fits() bool {
	closed := make(chan struct{})
	close(closed)
	r.mu.Lock()
	full := len(r.taken) >= r.places
	r.mu.Unlock()
	return !full && r.wait(closed)
}

func TestTheRampGrowsWithWhoHasConnectedAndGivesWayWhileTheHubIsLate(t *testing.T) {
	r, now := quietRamp(100), time.Now()
	connect := func(n int) {
		for range n {
			c := &countedConn{}
			r.take(c)
			r.done(c)
			r.done(c) // nobody connects twice
		}
	}
	for _, step := range []struct {
		connect int
		lag     time.Duration
		want    int
		why     string
	}{
		{0, 0, 32, "a start is careful"},
		{10, 0, 42, "each client that has connected makes room for one more"},
		{1000, 0, 100, "up to what is configured"},
		{0, fairLag, 100, "a hub that is in time goes on"},
		{0, slowLag + 1, 50, "a late hub admits half"},
		{10, fairLag + 1, 50, "and no more while it is late"},
		{10, 0, 50, "those came while it was late"},
		{10, 0, 60, "in time again it grows again"},
		{0, time.Second, 32, "late again"},
		{0, time.Second, 32, "however late it is, some are admitted"},
	} {
		r.watch = true
		connect(step.connect)
		r.judge(now, step.lag)
		if r.places != step.want {
			t.Errorf("%d places after %d clients and a lag of %v, want %d: %s", r.places, step.connect, step.lag, step.want, step.why)
		}
	}
	if small := quietRamp(5); small.judge(now, time.Second) || small.places != 5 {
		t.Errorf("%d places of 5, want all: less than at the start is never necessary", small.places)
	}
}

func TestAPlaceIsKeptByWhoIsAboutToConnectOnly(t *testing.T) {
	r, begun := quietRamp(3), time.Now()
	silent, slow, gone := &countedConn{}, &countedConn{}, &countedConn{}
	for _, c := range []*countedConn{silent, slow, gone} {
		r.take(c)
	}
	r.taken[slow].spoke = true
	if r.fits() {
		t.Error("a fourth is admitted to three places")
	}
	waited := make(chan bool)
	go func() { waited <- r.wait(nil) }()
	r.leave(gone)
	if !<-waited || len(r.taken) != 2 {
		t.Errorf("%d places are taken after one was left, want 2", len(r.taken))
	}
	if !r.judge(begun.Add(silentPlace+time.Second/10), 0) || len(r.taken) != 1 || r.taken[slow] == nil {
		t.Error("who says nothing keeps its place, or who speaks loses it")
	}
	if r.judge(begun.Add(2*handshakePlace), 0) || len(r.taken) != 0 {
		t.Error("who never becomes a client keeps its place")
	}
	if r.places != 3 {
		t.Errorf("%d places, want 3", r.places)
	}
}

func TestWhoDawdlesMakesRoomForOthersWhileTheHubIsWell(t *testing.T) {
	r, begun := quietRamp(rampStart+100), time.Now()
	for range rampStart {
		r.take(&countedConn{})
	}
	if r.fits() {
		t.Fatal("more are admitted than there are places")
	}
	r.judge(begun.Add(2*handshakePlace), slowLag+1)
	if r.places != rampStart {
		t.Errorf("a hub that is late has %d places, want %d", r.places, rampStart)
	}
	r.watch = true
	for range rampStart {
		r.take(&countedConn{})
	}
	r.judge(time.Now().Add(2*handshakePlace), 0)
	if want := 2 * rampStart; r.places != want {
		t.Errorf("%d places after %d dawdlers, want %d", r.places, rampStart, want)
	}
}

// While nobody can join, four are about to and the others wait in the queue of the
// listener. Then all connect, and nobody was refused.
func TestBeyondTheRampClientsWaitAndNobodyIsRefused(t *testing.T) {
	const total = 100
	r := start(t, Options{MaxHandshakes: 4})
	r.relay.mu.Lock()
	dialled, results := make(chan struct{}, total), make(chan error, total)
	dialer := websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		dialled <- struct{}{}
		return conn, err
	}}
	for range total {
		go func() {
			conn, response, err := dialer.Dial(wsURL(r.addr), nil)
			if err != nil {
				results <- fmt.Errorf("refused: %w (%v)", err, response)
				return
			}
			defer conn.Close()
			_ = conn.WriteMessage(websocket.TextMessage, []byte("40"))
			for range 2 { // OPEN and the answer
				if _, _, err = conn.ReadMessage(); err != nil {
					break
				}
			}
			results <- err
		}()
	}
	for range total {
		<-dialled
	}
	eventually(t, "four are about to connect", func() bool {
		r.ramp.mu.Lock()
		defer r.ramp.mu.Unlock()
		if len(r.ramp.taken) > 4 {
			t.Fatalf("%d are about to connect, want at most 4", len(r.ramp.taken))
		}
		return len(r.ramp.taken) == 4
	})
	r.relay.mu.Unlock()
	for range total {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := r.Statistics(); got.ClientsServed != total || got.Errors != 0 {
		t.Errorf("%d served, %d errors; want %d and 0", got.ClientsServed, got.Errors, total)
	}
}

// Connections that say nothing, and sessions that never join, more of them than
// there are places, do not keep a client waiting.
func TestWhoNeverConnectsDoesNotKeepOthersWaiting(t *testing.T) {
	r := start(t, Options{MaxHandshakes: 8, HeaderTimeout: time.Minute})
	bystander := r.connect(t, "")
	for range 100 {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range 20 {
		r.dial(t, nil)
	}
	r.connect(t, "").roundTrip()
	r.poll(t)
	bystander.roundTrip()
	eventually(t, "no place is taken", func() bool {
		r.ramp.mu.Lock()
		defer r.ramp.mu.Unlock()
		return len(r.ramp.taken) == 0 && !r.ramp.watch
	})
}

// All clients of a hub that is replaced come back at once. The new one admits all of
// them, refuses nobody, and answers its heartbeat all the time.
func TestAReconnectStormDoesNotMakeTheHubIll(t *testing.T) {
	const clients = 1500
	r := start(t, Options{})
	bystander := r.connect(t, "")
	var lost atomic.Int64
	var storm sync.WaitGroup
	for range clients {
		storm.Go(func() {
			if err := connectAtOnce(r.addr); err != nil {
				lost.Add(1)
				t.Log(err)
			}
		})
	}
	over := make(chan struct{})
	go func() { storm.Wait(); close(over) }()
	for beats := 0; ; beats++ {
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		if _, err := r.Heartbeat(ctx); err != nil {
			t.Errorf("heartbeat %d: %v", beats, err)
		}
		cancel()
		bystander.roundTrip()
		select {
		case <-over:
			if got := r.Statistics(); lost.Load() != 0 || got.ClientsServed != clients+1 || got.Errors != 0 {
				t.Errorf("%d lost, %d served, %d errors; want 0, %d and 0", lost.Load(), got.ClientsServed, got.Errors, clients+1)
			}
			return
		default:
		}
	}
}
