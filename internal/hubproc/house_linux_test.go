package hubproc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/upkeephub/upkeep/internal/child"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

// house is a keeper under test with everything around it.
type house struct {
	*Keeper
	t         *testing.T
	listeners *Listeners
	stop      context.CancelFunc
	ended     chan error // capacity 1: what Run returned
	log       *syncBuffer

	mu     sync.Mutex
	events []Event
	more   chan struct{} // closed, and replaced, when an event is added
}

// keep runs a keeper whose hubs play the given modes. It is ended, and looked
// after for what it leaves behind, with the test.
func keep(t *testing.T, modes string, change func(*Options)) *house {
	t.Helper()
	ignored := goleak.IgnoreCurrent()
	listeners, err := Listen("localhost", 0)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, listeners: listeners, ended: make(chan error, 1), more: make(chan struct{}), log: &syncBuffer{}}
	opts := DefaultOptions()
	opts.Args = nil
	opts.Env = []string{modeKey + "=" + modes, "GORACE=atexit_sleep_ms=0"}
	opts.Listeners = listeners
	opts.Settings = &hubv1.Settings{ServerId: "test"}
	opts.Log = hclog.New(&hclog.LoggerOptions{Output: h.log, Level: hclog.Debug})
	opts.Events = h.add
	opts.Restarts.Quick = 0 // most tests kill young hubs and are about something else
	if change != nil {
		change(&opts)
	}
	h.Keeper, err = New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	go func() { h.ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-h.Keeper.ended:
		case <-time.After(patience):
			t.Error("Run does not return")
		}
		if err := listeners.Close(); err != nil {
			t.Error(err)
		}
		for _, e := range h.all() {
			if stat, err := child.ReadStat(e.PID); e.PID != 0 && err == nil && stat.PPID == os.Getpid() {
				t.Errorf("hub %d is left behind: %+v", e.PID, stat)
			}
		}
		goleak.VerifyNone(t, ignored)
		if t.Failed() {
			t.Logf("log of the keeper:\n%s", h.log)
		}
	})
	return h
}

func (h *house) add(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	close(h.more)
	h.more = make(chan struct{})
}

// soFar gives the events and what is closed when there are more.
func (h *house) soFar() ([]Event, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events), h.more
}

func (h *house) all() []Event {
	events, _ := h.soFar()
	return events
}

func (h *house) kinds() string {
	var kinds []string
	for _, e := range h.all() {
		kinds = append(kinds, string(e.Kind))
	}
	return strings.Join(kinds, " ")
}

// nth gives the nth event of a kind, counted from 1, and what is closed when it
// may have come.
func (h *house) nth(kind EventKind, n int) (Event, bool, <-chan struct{}) {
	events, more := h.soFar()
	for _, e := range events {
		if e.Kind == kind {
			if n--; n == 0 {
				return e, true, more
			}
		}
	}
	return Event{}, false, more
}

// await waits for the nth event of a kind.
func (h *house) await(kind EventKind, n int) Event {
	h.t.Helper()
	late := time.After(patience)
	for {
		e, ok, more := h.nth(kind, n)
		if ok {
			return e
		}
		select {
		case <-more:
		case <-late:
			h.t.Fatalf("no %s number %d; there was: %s", kind, n, h.kinds())
		}
	}
}

// awaitSnapshot waits until the snapshot is as wanted; heartbeats change it
// without an event.
func (h *house) awaitSnapshot(what string, want func(Snapshot) bool) Snapshot {
	h.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		if s := h.Snapshot(); want(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-late:
			h.t.Fatalf("not so in time: %s; snapshot is %+v", what, h.Snapshot())
		}
	}
}

// get asks the hub for a page over a connection of its own.
func (h *house) get(path string) (string, error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + h.listeners.Addrs()[0] + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// tell is get for a page that has to be there.
func (h *house) tell(path string) string {
	h.t.Helper()
	body, err := h.get(path)
	if err != nil {
		h.t.Fatal(err)
	}
	return body
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 0 {
		t.Fatalf("no process to signal: %d", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// callers keep connecting until stop, each time anew, and report who was
// refused. Connections that were accepted may be cut: those clients were told.
type callers struct {
	stop  func()
	group sync.WaitGroup

	mu              sync.Mutex
	served, refused int
	cut             int
}

func (h *house) call(n int) *callers {
	done := make(chan struct{})
	c := &callers{stop: sync.OnceFunc(func() { close(done) })}
	for range n {
		c.group.Add(1)
		go func() {
			defer c.group.Done()
			for {
				select {
				case <-done:
					return
				default:
				}
				_, err := h.get("/")
				c.mu.Lock()
				switch {
				case err == nil:
					c.served++
				case errors.Is(err, syscall.ECONNREFUSED):
					c.refused++
				default:
					c.cut++
				}
				c.mu.Unlock()
			}
		}()
	}
	h.t.Cleanup(func() { c.stop(); c.group.Wait() })
	return c
}

func (c *callers) end(t *testing.T) {
	t.Helper()
	c.stop()
	c.group.Wait()
	t.Logf("%d served, %d cut, %d refused", c.served, c.cut, c.refused)
	if c.refused > 0 || c.served == 0 {
		t.Errorf("%d connections were refused, %d served; want none refused", c.refused, c.served)
	}
}

// syncBuffer is a bytes.Buffer for several writers.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
