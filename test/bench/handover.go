package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/test/hubrig"
	"github.com/upkeephub/upkeep/test/rig"
)

// handoverClients are connected while the hub is replaced, and come back each time.
const handoverClients = 200

// handover: restart_service, again and again, with clients that are connected, events
// that flow, and somebody who connects every few milliseconds. The slowest of these is
// what anybody notices of the gap in which no hub accepts.
func (b *bench) handover(ctx context.Context) ([]figure, error) {
	dir, err := os.MkdirTemp(b.tmp, "handover-")
	if err != nil {
		return nil, err
	}
	h, err := hubrig.Start(ctx, b.root, dir, nil, hclog.NewNullLogger())
	if err != nil {
		return nil, err
	}
	defer h.Stop()
	running, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for range handoverClients {
		all.Go(func() { stay(running, h.Port) })
	}
	all.Go(func() { publishSteadily(running, h.Port) })
	if err := rig.Poll(ctx, 20*time.Millisecond, func() error {
		if n := h.Snapshot().Statistics.GetConnectedClients(); n < handoverClients {
			return fmt.Errorf("%d clients are connected", n)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var probes probes
	for range 4 {
		all.Go(func() { probes.run(running, h.Port) })
	}
	var gaps []time.Duration
	for range b.kills {
		if err := pause(ctx, 1500*time.Millisecond); err != nil {
			return nil, err
		}
		from := time.Now()
		if err := h.Restart(ctx, "the bench asks for it"); err != nil {
			return nil, err
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return nil, err
		}
		gaps = append(gaps, probes.slowest(from))
	}
	failed, count := probes.failures()
	s := h.Snapshot()
	figures := []figure{
		atMost("handover_gap_median", fmt.Sprintf("slowest of the requests that a handover met, %d handovers with %d clients", len(gaps), handoverClients), ms(rig.Median(gaps)), 50, "ms"),
		atMost("handover_gap_max", "the slowest of them", ms(slices.Max(gaps)), 200, "ms"),
		atMost("handover_failed", fmt.Sprintf("requests that failed, of %d", count), float64(failed), 0, ""),
		atMost("handover_restarts", "restarts that nobody asked for", float64(s.Restarts), 0, ""),
	}
	return figures, nil
}

// stay keeps a client connected, which comes back a moment after it was closed.
func stay(ctx context.Context, port int) {
	for ctx.Err() == nil {
		if raw, err := rig.DialRaw(ctx, port, ""); err == nil {
			for err == nil {
				_, err = raw.Read(ctx)
			}
			_ = raw.Close()
		}
		_ = pause(ctx, 200*time.Millisecond+rand.N(800*time.Millisecond)) // as a stock client
	}
}

// publishSteadily sends 100 events a second.
func publishSteadily(ctx context.Context, port int) {
	for ctx.Err() == nil {
		if raw, err := rig.DialRaw(ctx, port, ""); err == nil {
			for err == nil && pause(ctx, 10*time.Millisecond) == nil {
				err = raw.Emit("claude_event", map[string]any{"type": "bench", "text": strings.Repeat("x", 150)})
			}
			_ = raw.Close()
		}
	}
}

// probes are requests over connections of their own.
type probes struct {
	mu   sync.Mutex
	all  []probe
	lost int
}

type probe struct {
	began time.Time
	took  time.Duration
}

func (p *probes) run(ctx context.Context, port int) {
	for pause(ctx, 4*time.Millisecond) == nil {
		began := time.Now()
		err := request(ctx, port)
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		p.all = append(p.all, probe{began, time.Since(began)})
		if err != nil {
			p.lost++
		}
		p.mu.Unlock()
	}
}

func request(ctx context.Context, port int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.0 200") {
		err = errors.New("a wrong answer")
	}
	return err
}

// slowest is that of the requests since from.
func (p *probes) slowest(from time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var slowest time.Duration
	for _, probe := range slices.Backward(p.all) {
		if probe.began.Add(probe.took).Before(from) {
			break
		}
		slowest = max(slowest, probe.took)
	}
	return slowest
}

func (p *probes) failures() (failed, all int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost, len(p.all)
}
