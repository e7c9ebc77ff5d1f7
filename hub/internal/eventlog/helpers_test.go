package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func options(dir string) Options {
	return Options{
		Dir: dir, MaxEvents: 100_000, MaxBytes: 64 << 20, MaxAge: time.Hour,
		Sync: SyncInterval, SessionAge: 2 * time.Minute, MaxSessions: 1000,
	}
}

// open opens a log and takes it over, and closes it when the test ends.
func open(t testing.TB, opts Options) *Log {
	t.Helper()
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.TakeOver(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// numbered makes the event that carries a number.
func numbered(n int) *Record {
	return &Record{
		Time: time.Now(), Namespace: "/", Listed: true, Kind: fmt.Sprint("k", n%3),
		Data: fmt.Appendf(nil, `["claude_event",{"n":%d}]`, n),
	}
}

func appendAll(t testing.TB, l *Log, records ...*Record) Offset {
	t.Helper()
	o, err := l.Append(records...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// since returns the data of all events after an offset.
func since(t testing.TB, l *Log, o Offset) []string {
	t.Helper()
	list := []string{}
	if err := l.Since(o, func(r *Record, _ Offset) bool {
		list = append(list, string(r.Data))
		return true
	}); err != nil {
		t.Fatalf("since %v: %v", o, err)
	}
	return list
}

// want lists the data of the events with the given numbers, from first on.
func want(first, last int) []string {
	list := []string{}
	for n := first; n <= last; n++ {
		list = append(list, string(numbered(n).Data))
	}
	return list
}

// segmentPath is the path of the newest segment file.
func segmentPath(t testing.TB, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no segments in %s (%v)", dir, err)
	}
	return paths[len(paths)-1]
}

func edit(t testing.TB, path string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logText collects what a log reports.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logText) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: l, Level: hclog.Debug})
}
