package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// root of the repository.
var root string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var err error
	if root, err = rig.Root(); err == nil {
		err = requirements(ctx)
	}
	if err == nil {
		err = readSources()
	}
	if err == nil {
		err = rig.Build(ctx, root)
	}
	if err == nil {
		err = rig.BuildExamples(ctx, root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// requirements are all needed where CI is set. Elsewhere tests that need more
// than Node.js are left out, and it is said which.
func requirements(ctx context.Context) error {
	err := &rig.NeedError{}
	for _, found := range []error{rig.Require(ctx, root), rig.RequireExamples(ctx)} {
		if need, is := errors.AsType[*rig.NeedError](found); is {
			err.Missing = append(err.Missing, need.Missing...)
		} else if found != nil {
			return found
		}
	}
	if len(err.Missing) == 0 {
		return nil
	}
	if os.Getenv("CI") != "" {
		return err
	}
	skip := flag.Lookup("test.skip")
	patterns := []string{}
	if given := skip.Value.String(); given != "" {
		patterns = append(patterns, given)
	}
	for _, n := range err.Missing {
		if n.Tests == "" {
			return err
		}
		if !slices.Contains(patterns, n.Tests) {
			patterns = append(patterns, n.Tests)
		}
	}
	fmt.Fprintf(os.Stderr, "LEFT OUT: %v\nWith CI=true this is an error.\n", err)
	return skip.Value.Set(strings.Join(patterns, "|"))
}

// readSources looks at every folder that host is built from. The result of a
// test run is kept by go test for as long as what the test read is unchanged;
// what make and host read is unknown to it.
func readSources() error {
	for _, dir := range []string{"cmd", "core", "examples", "hub", "internal", "plugins", "proto", "sdk", "test"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bundledChecks are the checks of the plugins that come with Upkeep.
var bundledChecks = []string{"process_resources", "network_connectivity", "service_health"}

// within is a context for one wait.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// pass lets time pass: for tests in which the passing of time is the subject.
func pass(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// measured prints a number for people and for programs.
func measured(t testing.TB, name string, value any) {
	t.Helper()
	if d, ok := value.(time.Duration); ok {
		name, value = name+"_ms", strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64)
	}
	t.Logf("measured: %s=%v", name, value)
}

// launch starts a host that ends with the test. Whatever the test does, at its
// end no process of that host may be left, and host may never have shown a stack.
func launch(t testing.TB, o rig.Options) *rig.Host {
	t.Helper()
	o.Root = root
	if o.StateDir == "" {
		o.StateDir = filepath.Join(t.TempDir(), "state") // host makes it
	}
	h, err := rig.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endHost(t, h)
		if stack := stackIn(h.Output.Text()); stack != "" {
			t.Errorf("the host showed a stack: %s", stack)
		}
	})
	return h
}

func endHost(t testing.TB, h *rig.Host) {
	if !h.Exited() {
		_ = h.Signal(syscall.SIGCONT)
		_ = h.Signal(syscall.SIGTERM)
		if _, err := h.Wait(within(t, 10*time.Second)); err != nil {
			t.Errorf("at the end of the test the host did not stop within 10 s of SIGTERM")
			h.Kill()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	left := h.Started()
	if _, err := rig.WaitGone(ctx, left...); err != nil {
		t.Errorf("processes of host %d outlived it: %v", h.PID(), err)
		for _, s := range left {
			_ = s.Signal(syscall.SIGKILL)
		}
	}
	if t.Failed() {
		text := h.Output.Text()
		if len(text) > 12000 {
			text = "…" + text[len(text)-12000:]
		}
		t.Logf("what host %d said:\n%s", h.PID(), text)
	}
}

var stack = regexp.MustCompile(`(?m)^.*(panic: |goroutine \d+|fatal error: |DATA RACE).*$`)

// stackIn finds what no user should ever see. What a plugin said last is
// passed on, stack or not, and stands under its name.
func stackIn(text string) string {
	for _, line := range stack.FindAllString(text, -1) {
		if !strings.Contains(line, "plugin=") && !strings.Contains(line, "last words: ") {
			return line
		}
	}
	return ""
}

// serve starts a host and waits until it serves clients and has looked at
// everything once.
func serve(t testing.TB, o rig.Options) *rig.Host {
	t.Helper()
	h := launch(t, o)
	ready(t, h)
	return h
}

func ready(t testing.TB, h *rig.Host) {
	t.Helper()
	if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
		t.Fatalf("host does not serve: %v\n%s", err, h.Output.Text())
	}
	if _, err := h.WaitReported(within(t, 20*time.Second), bundledChecks...); err != nil {
		t.Fatalf("host does not report: %v\n%s", err, h.Output.Text())
	}
}

// configFile writes a configuration and returns its path.
func configFile(t testing.TB, config map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "upkeep.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// eventually polls until f has nothing to complain about.
func eventually(t testing.TB, limit time.Duration, what string, f func() error) time.Duration {
	t.Helper()
	began := time.Now()
	if err := rig.Poll(within(t, limit), 10*time.Millisecond, f); err != nil {
		t.Fatalf("%s: not within %s: %v", what, limit, err)
	}
	return time.Since(began)
}

// get fetches a path of the public port.
func get(t testing.TB, h *rig.Host, path string) rig.Response {
	t.Helper()
	r, err := rig.Get(within(t, 5*time.Second), h.URL(path))
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return r
}

// object fetches a path of the public port that answers with a JSON object.
func object(t testing.TB, h *rig.Host, path string) map[string]any {
	t.Helper()
	r := get(t, h, path)
	o, err := r.JSON()
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return o
}

// at follows keys into nested objects; a missing one gives nil.
func at(o map[string]any, keys ...string) any {
	var v any = o
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// number is at as a number; a missing one is -1, which no counter is.
func number(o map[string]any, keys ...string) float64 {
	if n, ok := at(o, keys...).(float64); ok {
		return n
	}
	return -1
}

// hubOf, pluginOf: the process, or the end of the test.
func hubOf(t testing.TB, h *rig.Host) rig.Stat {
	t.Helper()
	s, err := h.Hub()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pluginOf(t testing.TB, h *rig.Host, name string) rig.Stat {
	t.Helper()
	s, err := h.Plugin(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signal(t testing.TB, s rig.Stat, sig syscall.Signal) time.Time {
	t.Helper()
	now := time.Now()
	if err := s.Signal(sig); err != nil {
		t.Fatal(err)
	}
	return now
}

// anotherHub waits until another hub than the given one answers clients, and
// returns the time that took since the given moment.
func anotherHub(t testing.TB, h *rig.Host, old rig.Stat, since time.Time, limit time.Duration) time.Duration {
	t.Helper()
	answered, err := rig.AnswersAgain(within(t, limit), h, since)
	if err != nil {
		t.Fatalf("the hub does not answer again within %s: %v", limit, err)
	}
	now := hubOf(t, h)
	if now.PID == old.PID && now.Start == old.Start {
		t.Fatalf("hub %d was not replaced", old.PID)
	}
	return answered
}

// noRecovery checks that host took no recovery action so far that a client
// could feel: supervision alone did what was needed.
func noRecovery(t testing.TB, h *rig.Host) {
	t.Helper()
	d := diagnostics(t, h)
	if attempts := d.Attempts(); len(attempts) > 0 {
		t.Errorf("recovery did %v, want nothing: %v", attempts, d.At("recovery", "recent_decisions"))
	}
}

// node starts a driver of stock clients that ends with the test.
func node(t testing.TB) *rig.Driver {
	t.Helper()
	return driver(t, rig.DriveNode)
}

// python starts a driver of python-socketio clients that ends with the test.
func python(t testing.TB) *rig.Driver {
	t.Helper()
	return driver(t, rig.DrivePython)
}

func driver(t testing.TB, drive func(string) (*rig.Driver, error)) *rig.Driver {
	t.Helper()
	d, err := drive(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range d.Notes(0) {
				t.Logf("client: %.300s", n)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// open begins a client and waits until it is connected.
func open(t testing.TB, d *rig.Driver, o rig.Open) rig.Note {
	t.Helper()
	from := d.Mark()
	if err := d.Open(within(t, 10*time.Second), o); err != nil {
		t.Fatal(err)
	}
	return await(t, d, from, 10*time.Second, o.Client, "connect")
}

// await waits for a note about a client.
func await(t testing.TB, d *rig.Driver, from int, limit time.Duration, client, what string) rig.Note {
	t.Helper()
	n, err := d.WaitNote(within(t, limit), from, func(n rig.Note) bool { return n.Client == client && n.What == what })
	if err != nil {
		t.Fatalf("client %s: no %s: %v", client, what, err)
	}
	return n
}

// awaitEvent waits for an event that a client gets, and returns its object.
func awaitEvent(t testing.TB, d *rig.Driver, from int, client, name string) map[string]any {
	t.Helper()
	n, err := d.WaitNote(within(t, 5*time.Second), from, func(n rig.Note) bool {
		return n.Client == client && n.What == "event" && n.Name == name
	})
	if err != nil {
		t.Fatalf("client %s: no event %s: %v", client, name, err)
	}
	o, err := n.Object()
	if err != nil {
		t.Fatalf("client %s: %v", client, err)
	}
	return o
}

// undisturbed checks that none of the driver's clients was told anything but
// events since from.
func undisturbed(t testing.TB, d *rig.Driver, from int) {
	t.Helper()
	for _, n := range d.Notes(from) {
		switch n.What {
		case "disconnect", "connect", "connect_error", "error":
			t.Errorf("a client noticed something: %s", n)
		}
	}
}

// dialRaw joins with a raw client that is closed with the test.
func dialRaw(t testing.TB, h *rig.Host) *rig.Raw {
	t.Helper()
	r, err := rig.DialRaw(within(t, 5*time.Second), h.Port, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// listening says whether somebody listens on the port.
func listening(port int) bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// contains checks that a text says each of the words.
func contains(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}
