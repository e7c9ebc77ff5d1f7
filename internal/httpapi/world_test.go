package httpapi

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/recovery"
)

var update = flag.Bool("update", false, "write the golden files")

// world is a host for these tests: a real monitor over checkers that say what
// the test wants. It lives in a bubble, where time stands still unless waited
// for; the monitor looks every 30 s.
type world struct {
	snapshot Snapshot
	monitor  *monitor.Monitor
	status   health.Status // of the service check
	failing  error         // of the service check
	stop     context.CancelFunc
	opts     Options
}

// inWorld runs a test in a world whose monitor has looked once.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithCancel(t.Context())
		w.stop = cancel
		done := make(chan error, 1)
		go func() { done <- w.monitor.Run(ctx) }()
		synctest.Wait()
		test(t, w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func newWorld() *world {
	w := &world{status: health.Healthy, opts: Options{GoVersion: "go1.26", Modules: []Module{{"example.org/module", "v1.2.3", "h1:sum"}},
		Configuration: func() []Setting { return []Setting{{"server.port", 8765, "default"}} }}}
	opts := monitor.DefaultOptions()
	opts.Recovery.Grace = 2 * time.Second
	opts.Actor = actor{}
	opts.Strategy = func() monitor.Strategy { return strategy{} }
	threshold := 80.0
	opts.Checks = func() []monitor.Check {
		return []monitor.Check{
			{Name: "process_resources", Checker: says(func() (health.Result, error) {
				return health.Result{Status: health.Healthy, Message: "the hub is well", Metrics: []health.Metric{
					{Name: "cpu_usage_percent", Value: health.Number(12.5), Status: health.Healthy, Threshold: &threshold, Unit: "percent", Load: true},
					{Name: "memory_usage_mb", Value: health.Number(45.8), Status: health.Healthy, Unit: "MB"},
					{Name: "memory_usage_mb", Labels: map[string]string{"process": "host"}, Value: health.Number(20), Status: health.Healthy, Unit: "MB"},
					{Name: "file_descriptors", Value: health.Number(25), Status: health.Healthy},
					{Name: "thread_count", Value: health.Number(9), Status: health.Healthy},
					{Name: "process_status", Value: health.Text("running"), Status: health.Healthy},
				}}, nil
			})},
			{Name: "network_connectivity", Checker: says(func() (health.Result, error) {
				return health.Result{Status: health.Healthy, Metrics: []health.Metric{{Name: "port_accessible", Value: health.Flag(true), Status: health.Healthy}}}, nil
			})},
			{Name: "service_health", Optional: true, Checker: says(func() (health.Result, error) {
				return health.Result{Status: w.status, Message: "as the test says"}, w.failing
			})},
		}
	}
	w.monitor = monitor.New(opts)
	start := time.Now().Add(-time.Hour)
	w.snapshot = Snapshot{
		Phase: Running,
		Server: Server{
			Version: "0.1.0", ServerID: "upkeep-1", SocketIOVersion: "4.8.3", Host: "localhost", Port: 8765, PID: 1234, Started: start,
			Addresses: []string{"127.0.0.1:8765", "[::1]:8765"}, Admin: "127.0.0.1:18765",
		},
		Monitoring: Monitoring{History: w.monitor.History(), Interval: 30 * time.Second, Window: 5 * time.Minute, Callbacks: 1},
		Hub: Hub{
			State: "running", Accepting: true, PID: 1240, Generation: 2, Restarts: 1, LastExit: "killed", Statistics: Statistics{
				ConnectedClients: 3, ClientsServed: 11, EventsProcessed: 1250, EventsFailed: 2, Errors: 5,
				LastActivity: start.Add(59 * time.Minute), ClientVersions: map[string]string{"sid-1": "3.4.0"}, HistorySize: 900, Taken: start.Add(time.Hour),
			},
		},
		Plugins: []Plugin{
			{Name: "network", Check: "network_connectivity", Kind: "checker", Version: "0.1.0", State: "running", PID: 1241, Started: start, Reloads: 1, Memory: 15_000_000, MemoryLimit: 256 << 20},
			{
				Name: "disk", Check: "disk", Kind: "checker", Version: "0.2.0", State: "quarantined", Restarts: 5, LastError: "exit status 2",
				Hint: "run plugins/disk/disk by hand", Stderr: []string{"disk: no such device"},
				ReloadError: "it did not describe itself", ReloadHint: "mend it",
			},
		},
		Skipped:  []Skipped{{Name: "service", Reason: "not built", Remedy: "run make"}},
		Recovery: Recovery{Available: true, Strategy: "graded", Counts: map[ActionOutcome]uint64{{recovery.RestartService, recovery.Cured}: 1}},
	}
	return w
}

func (w *world) source() Source {
	return SourceFunc(func() Snapshot {
		s := w.snapshot
		if w.monitor != nil {
			s.Monitoring.Current = w.monitor.Snapshot()
		}
		return s
	})
}

func (w *world) handler() http.Handler { return Handler(w.source(), w.opts) }

// get asks the handler as it would a server.
func (w *world) get(path string) *httptest.ResponseRecorder {
	return ask(w.handler(), http.MethodGet, path)
}

func ask(h http.Handler, method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, "http://localhost:8765"+path, nil))
	return rec
}

// says is a checker that answers at once.
func says(f func() (health.Result, error)) monitor.Checker {
	return monitor.CheckerFunc(func(context.Context, monitor.Request) (monitor.Outcome, error) {
		res, err := f()
		return monitor.Outcome{Result: res}, err
	})
}

// strategy proposes to clear connections, whatever it is asked.
type strategy struct{}

func (strategy) Decide(context.Context, recovery.Request) (recovery.Proposal, error) {
	return recovery.Proposal{Action: recovery.ClearConnections, Reason: "first critical report", Rule: "critical_first"}, nil
}

// actor fails at everything.
type actor struct{}

func (actor) Actions() []recovery.ActionState {
	return []recovery.ActionState{{Action: recovery.ClearConnections, Applicable: true}}
}

func (actor) Act(context.Context, monitor.Order) error { return errors.New("the hub does not answer") }

// golden compares an answer with the file of that name in testdata.
func golden(t *testing.T, name string, rec *httptest.ResponseRecorder, wantCode int) {
	t.Helper()
	if rec.Code != wantCode {
		t.Errorf("%s: code %d, want %d\n%s", name, rec.Code, wantCode, rec.Body)
	}
	got := strings.ReplaceAll(rec.Body.String(), runtime.GOOS+"/"+runtime.GOARCH, "OS/ARCH")
	got = ourMetrics.ReplaceAllString(got, "")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// ourMetrics matches what is not ours: lines about this test's own process.
var ourMetrics = regexp.MustCompile(`(?m)^(# (HELP|TYPE) )?(go|process|promhttp)_.*\n`)
