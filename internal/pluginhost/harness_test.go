//go:build linux

package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// install puts the test binary into dir as a plugin folder. extra are further
// keys of its plugin.json.
func install(t testing.TB, dir, name, mode string, extra map[string]any) string {
	t.Helper()
	folder := filepath.Join(dir, "."+name) // hidden until it is complete
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(testBinary(t), filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
	describe(t, folder, name, mode, extra)
	if err := os.Rename(folder, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name, name)
}

// describe writes the plugin.json that makes the test binary a plugin of that
// mode, in the place of another one.
func describe(t testing.TB, folder, name, mode string, extra map[string]any) {
	t.Helper()
	m := map[string]any{"command": "./" + name, "args": []string{"be-plugin=" + mode}}
	for k, v := range extra {
		m[k] = v
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, ".new"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(folder, ".new"), filepath.Join(folder, manifestName)); err != nil {
		t.Fatal(err)
	}
}

var binaryCopy = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return self, os.Chmod(self, 0o755) // the go tool may leave it writable for the group
})

func testBinary(t testing.TB) string {
	t.Helper()
	path, err := binaryCopy()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shortDir is a private folder with a path short enough for sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "up")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func pluginDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bench is a host under test, running until the test ends.
type bench struct {
	t       *testing.T
	host    *Host
	log     *logBuffer
	runtime string
	stop    func() time.Duration // ends Run and tells how long that took

	mu      sync.Mutex
	events  []Event
	changed chan struct{} // replaced and closed at each event
}

// quick are options with times for tests; the machine may be slow, so deadlines
// that a good plugin has to keep stay generous.
func quick(dir, runtime string) Options {
	o := DefaultOptions()
	o.Dir, o.RuntimeDir = dir, runtime
	o.Restart.First, o.Restart.Longest = 20*time.Millisecond, 100*time.Millisecond
	return o
}

func run(t *testing.T, dir string, adjust func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, log: &logBuffer{}, runtime: shortDir(t), changed: make(chan struct{})}
	o := quick(dir, b.runtime)
	o.Log = hclog.New(&hclog.LoggerOptions{Name: "host", Output: b.log, Level: hclog.Trace, JSONFormat: true})
	o.Events = func(e Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
		close(b.changed)
		b.changed = make(chan struct{})
	}
	if adjust != nil {
		adjust(&o)
	}
	host, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.host = host
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- host.Run(ctx) }()
	var once sync.Once
	var took time.Duration
	b.stop = func() time.Duration {
		once.Do(func() {
			began := time.Now()
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(patience):
				t.Error("Run did not return")
			}
			took = time.Since(began)
		})
		return took
	}
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("log:\n%s", b.log.text(4000))
		}
	})
	select {
	case <-host.Started():
	case <-time.After(patience):
		t.Fatal("Started was not closed")
	}
	return b
}

// until waits for the plugin's snapshot to satisfy want and returns it.
func (b *bench) until(name, what string, want func(Snapshot) bool) Snapshot {
	b.t.Helper()
	timeout := time.After(patience)
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		s := b.instance(name).Snapshot()
		if want(s) {
			return s
		}
		select {
		case <-changed:
		case <-timeout:
			b.t.Fatalf("plugin %s is not %s: %+v", name, what, s)
		}
	}
}

// eventually waits for what no event tells of.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !yes(); {
		if time.Now().After(end) {
			t.Fatalf("%s does not happen", what)
		}
		<-time.After(time.Millisecond)
	}
}

func (b *bench) is(name string, state State) Snapshot {
	b.t.Helper()
	return b.until(name, string(state), func(s Snapshot) bool { return s.State == state })
}

func (b *bench) instance(name string) *Instance {
	b.t.Helper()
	i, err := b.host.Instance(name)
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

// check asks with a deadline.
func (b *bench) check(name, id string, within time.Duration) (CheckOutput, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return b.instance(name).Check(ctx, CheckInput{ID: id})
}

// seen returns the states that the plugin went through.
func (b *bench) seen(name string) []State {
	b.mu.Lock()
	defer b.mu.Unlock()
	var states []State
	for _, e := range b.events {
		if e.Plugin == name {
			states = append(states, e.State)
		}
	}
	return states
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return l.buf.Write(p)
}

func (l *logBuffer) text(last int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.buf.String()
	return s[max(0, len(s)-last):]
}

// line waits for a line of the log that holds all words.
func (b *bench) line(words ...string) string {
	b.t.Helper()
	timeout := time.After(patience)
	for {
		b.log.mu.Lock()
		if b.log.changed == nil {
			b.log.changed = make(chan struct{})
		}
		changed, text := b.log.changed, b.log.buf.String()
		b.log.mu.Unlock()
		for line := range strings.Lines(text) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return line
			}
		}
		select {
		case <-changed:
		case <-timeout:
			b.t.Fatalf("no line of the log holds %q", words)
		}
	}
}
