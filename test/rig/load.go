package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// LoadCounts say how the connects of a Load ended.
type LoadCounts struct {
	Started   int
	Connected int // the namespace was joined, a ping was answered
	Refused   int // nobody listened: this must never be
	Reset     int // the connection broke on the way, as when the hub dies
	TimedOut  int // no answer within 10 s
	Other     int
	OtherErr  string        // the first of Other
	Slowest   time.Duration // connect that succeeded
}

func (c LoadCounts) String() string {
	s := fmt.Sprintf("started=%d connected=%d refused=%d reset=%d timed_out=%d other=%d slowest=%s",
		c.Started, c.Connected, c.Refused, c.Reset, c.TimedOut, c.Other, c.Slowest.Round(time.Millisecond))
	if c.OtherErr != "" {
		s += " (" + c.OtherErr + ")"
	}
	return s
}

// Load keeps connecting to a hub at a steady rate: each connector opens a
// WebSocket, joins, does one event round trip and leaves.
type Load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	counts LoadCounts
}

// maxInFlight bounds the connectors that wait at the same time; beyond it a
// tick starts none.
const maxInFlight = 4000

// StartLoad begins to connect, perSecond times a second, until Stop.
func StartLoad(port, perSecond int) *Load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{cancel: cancel}
	slots := make(chan struct{}, maxInFlight)
	l.wg.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case slots <- struct{}{}:
				l.mu.Lock()
				l.counts.Started++
				l.mu.Unlock()
				l.wg.Go(func() { l.connect(ctx, port); <-slots })
			default:
			}
		}
	})
	return l
}

func (l *Load) connect(ctx context.Context, port int) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := func() error {
		r, err := DialRaw(limited, port, "")
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = r.Ping(limited)
		return err
	}()
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.counts.Connected++
		l.counts.Slowest = max(l.counts.Slowest, took)
	case ctx.Err() != nil: // the load was stopped meanwhile
		l.counts.Started--
	case errors.Is(err, syscall.ECONNREFUSED):
		l.counts.Refused++
	case limited.Err() != nil, strings.Contains(err.Error(), "i/o timeout"):
		l.counts.TimedOut++
	case broken(err):
		l.counts.Reset++
	default:
		l.counts.Other++
		if l.counts.OtherErr == "" {
			l.counts.OtherErr = err.Error()
		}
	}
}

// broken says whether a connection ended on the way.
func broken(err error) bool {
	var closed *websocket.CloseError
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &closed)
}

// Counts so far.
func (l *Load) Counts() LoadCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Stop ends the load, waits for its connectors and returns the counts.
func (l *Load) Stop() LoadCounts {
	l.cancel()
	l.wg.Wait()
	return l.Counts()
}

// AnswersAgain waits until the hub answers an HTTP request whose connection
// was opened after since, and returns the time from since to the answer.
func AnswersAgain(ctx context.Context, h *Host, since time.Time) (time.Duration, error) {
	var answered time.Time
	err := Poll(ctx, time.Millisecond, func() error {
		r, err := Get(ctx, h.URL("/version"))
		answered = time.Now()
		if err == nil && r.Status != 200 {
			err = fmt.Errorf("GET /version: %s", r)
		}
		return err
	})
	return answered.Sub(since), err
}

// Median of durations; zero for none.
func Median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
