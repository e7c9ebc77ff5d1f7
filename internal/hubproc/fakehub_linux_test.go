package hubproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/upkeephub/upkeep/proto/handshake"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

// modeKey makes the test binary play a hub, or a host, instead of running tests.
const modeKey = "HUBPROC_TEST_MODE"

func TestMain(m *testing.M) {
	switch mode := os.Getenv(modeKey); mode {
	case "":
		os.Exit(m.Run())
	case "host":
		playHost()
	default:
		playHub(strings.Split(mode, ","))
	}
}

// fakeHub answers the control channel and serves a little HTTP, which also tells
// it to misbehave. Its modes are words; without any it behaves.
type fakeHub struct {
	hubv1.UnimplementedHubServiceServer
	modes     map[string]bool
	listeners []net.Listener
	server    http.Server
	stopped   chan struct{}

	deaf, spin, lazy, refuse atomic.Bool // what a heartbeat comes to
	mu                       sync.Mutex
	stats                    *hubv1.Statistics
	level                    string
	generation               uint64
	port                     int32
}

func playHub(modes []string) {
	signal.Ignore(syscall.SIGTERM) // what ends it is Stop, its own will, or SIGKILL
	h := &fakeHub{modes: map[string]bool{}, stopped: make(chan struct{}), stats: &hubv1.Statistics{}}
	for _, mode := range modes {
		h.modes[mode] = true
	}
	if h.modes["exit"] {
		fmt.Fprintln(os.Stderr, "starting")
		fmt.Fprintln(os.Stderr, "no disk left")
		os.Exit(3)
	}
	n, err := strconv.Atoi(os.Getenv(handshake.HubListenersEnv))
	must(err)
	for i := range n {
		f := os.NewFile(uintptr(handshake.HubFirstListenerFD+i), "listener")
		l, err := net.FileListener(f)
		must(err)
		must(f.Close())
		h.listeners = append(h.listeners, l)
	}
	f := os.NewFile(handshake.HubControlFD, "control")
	conn, err := net.FileConn(f)
	must(err)
	must(f.Close())
	once := &onceListener{conn: conn, done: make(chan struct{})}
	server := grpc.NewServer()
	hubv1.RegisterHubServiceServer(server, h)
	go func() {
		<-h.stopped
		server.GracefulStop()
	}()
	_ = server.Serve(once)
	if h.modes["linger"] {
		select {}
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
}

// onceListener gives its one connection, then waits for its end.
type onceListener struct {
	conn  net.Conn
	given bool
	once  sync.Once
	done  chan struct{}
}

func (l *onceListener) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}
func (l *onceListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *onceListener) Addr() net.Addr { return l.conn.LocalAddr() }

func (h *fakeHub) Load(ctx context.Context, r *hubv1.LoadRequest) (*hubv1.LoadResponse, error) {
	h.generation, h.port = r.Settings.Generation, r.Settings.Port
	if h.modes["slow-load"] || (h.modes["slow-second"] && h.generation == 2) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if h.modes["work-on-load"] {
		work(3500 * time.Millisecond)
	}
	if h.modes["bad-second"] && h.generation == 2 {
		return nil, status.Error(codes.FailedPrecondition, "the log is damaged")
	}
	log := hclog.New(&hclog.LoggerOptions{JSONFormat: true, Output: os.Stderr})
	log.Error("loaded", "generation", h.generation)
	return &hubv1.LoadResponse{}, nil
}

func (h *fakeHub) Accept(_ context.Context, r *hubv1.AcceptRequest) (*hubv1.AcceptResponse, error) {
	if h.modes["die-on-accept"] && h.generation == 2 {
		os.Exit(5)
	}
	if r.Base != nil {
		h.stats = r.Base
	}
	fmt.Fprintln(os.Stderr, "keeps out", len(r.GetQuarantine().GetEntries()))
	h.stats.Generation = h.generation
	mux := http.NewServeMux()
	reply := func(path string, do func()) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			do()
			_, _ = fmt.Fprintf(w, "%d %d", h.generation, os.Getpid())
		})
	}
	reply("/", func() {})
	reply("/deaf", func() { h.deaf.Store(true) })
	reply("/spin", func() { h.spin.Store(true) })
	reply("/lazy", func() { h.lazy.Store(true) })
	reply("/refuse", func() { h.refuse.Store(true) })
	reply("/hang-up", func() { close(h.stopped) })
	reply("/crash", func() {
		fmt.Fprintln(os.Stderr, "fatal: it was too much")
		os.Exit(7)
	})
	reply("/panic", func() {
		dead := make(chan struct{})
		go panicDeep(500, dead)
		<-dead
	})
	reply("/event", func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.stats.EventsProcessed++
		h.stats.ConnectedClients = 3
	})
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, strings.Join(os.Environ(), "\n"))
	})
	h.server.Handler = mux
	for _, l := range h.listeners {
		go func() { _ = h.server.Serve(l) }()
	}
	return &hubv1.AcceptResponse{}, nil
}

// work keeps a processor busy.
func work(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
	}
}

// panicDeep leaves a trace that is longer than any tail.
func panicDeep(depth int, dead chan struct{}) {
	if depth == 0 {
		panic("it was too deep")
	}
	panicDeep(depth-1, dead)
	<-dead
}

func (h *fakeHub) Heartbeat(ctx context.Context, r *hubv1.HeartbeatRequest) (*hubv1.HeartbeatResponse, error) {
	if h.deaf.Load() || (h.modes["mute"] && h.generation == 1) {
		select {}
	}
	if h.modes["slow-beat"] && r.Sequence == 1 {
		<-ctx.Done() // asleep meanwhile
	}
	if h.refuse.Load() {
		return nil, status.Error(codes.Internal, "the log is closed")
	}
	if h.spin.Load() {
		work(time.Hour)
	}
	if h.lazy.Load() {
		work(1300 * time.Millisecond)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.LogLevel != h.level {
		h.level = r.LogLevel
		fmt.Fprintln(os.Stderr, "told to log", r.LogLevel)
	}
	return &hubv1.HeartbeatResponse{Sequence: r.Sequence, Statistics: proto.CloneOf(h.stats)}, nil
}

func (h *fakeHub) ClearConnections(ctx context.Context, r *hubv1.ClearConnectionsRequest) (*hubv1.ClearConnectionsResponse, error) {
	if h.modes["stuck-clear"] {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &hubv1.ClearConnectionsResponse{Closed: int64(len(r.Reason))}, nil
}

func (h *fakeHub) Quarantine(_ context.Context, r *hubv1.QuarantineRequest) (*hubv1.QuarantineResponse, error) {
	fmt.Fprintln(os.Stderr, "keeps out", len(r.GetQuarantine().GetEntries()))
	return &hubv1.QuarantineResponse{Disconnected: int64(len(r.GetQuarantine().GetEntries()))}, nil
}

func (h *fakeHub) Stop(ctx context.Context, r *hubv1.StopRequest) (*hubv1.StopResponse, error) {
	if h.modes["deaf-to-stop"] {
		select {}
	}
	drain, cancel := context.WithTimeout(context.Background(), r.Drain.AsDuration())
	defer cancel()
	if err := h.server.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	_ = h.server.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats.EventsFailed++ // seen only by whoever reads the last statistics
	close(h.stopped)
	return &hubv1.StopResponse{Statistics: proto.CloneOf(h.stats)}, nil
}

// playHost is a host process: a keeper that tells its events on standard output.
func playHost() {
	listeners, err := Listen("127.0.0.1", 0)
	must(err)
	opts := DefaultOptions()
	opts.Args, opts.Env = nil, []string{modeKey + "=" + os.Getenv("HUB_MODES")}
	opts.StartDeadline, opts.HeartbeatDeadline = 2*time.Second, 3*time.Second
	opts.Listeners, opts.Settings, opts.Log = listeners, &hubv1.Settings{}, hclog.NewNullLogger()
	opts.Events = func(e Event) { fmt.Println(e.Kind, e.PID, e.Cause) }
	k, err := New(opts)
	must(err)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	must(k.Run(ctx))
}
