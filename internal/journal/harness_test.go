package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// said is a log that tests read.
type said struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *said) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: s, Level: hclog.Debug})
}

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// running is a journal that is being written.
type running struct {
	*Journal
	t    *testing.T
	dir  string
	log  *said
	end  context.CancelFunc
	done chan error
}

func run(t *testing.T, dir string, change func(*Options)) *running {
	t.Helper()
	o := DefaultOptions()
	r := &running{t: t, dir: dir, log: &said{}, done: make(chan error, 1)}
	o.Dir, o.Log = dir, r.log.logger()
	if change != nil {
		change(&o)
	}
	r.Journal = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	r.end = cancel
	go func() { r.done <- r.Run(ctx) }()
	return r
}

// stop ends it and waits.
func (r *running) stop() {
	r.t.Helper()
	r.end()
	if err := <-r.done; err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) sync() {
	r.t.Helper()
	if err := r.Sync(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

type note struct {
	N    int    `json:"n"`
	Text string `json:"text,omitempty"`
}

// written makes a journal with n notes in dir.
func written(t *testing.T, dir string, n int, change func(*Options)) {
	t.Helper()
	r := run(t, dir, change)
	for i := range n {
		r.Append("note", fmt.Sprintf("inc-%d", i%3), note{i, strings.Repeat("x", 100)})
		r.sync()
	}
	r.stop()
}

// notes are the numbers of the notes that are there.
func notes(t *testing.T, dir string) []int {
	t.Helper()
	var found []int
	err := Read(dir, Filter{Kinds: []Kind{"note"}}, func(r Record) bool {
		var n note
		r.Decode(&n)
		found = append(found, n.N)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func mustVerify(t *testing.T, dir string) Verification {
	t.Helper()
	v, err := Verify(dir, Head{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sound(t *testing.T, dir string) Verification {
	t.Helper()
	v := mustVerify(t, dir)
	if v.Altered != nil {
		t.Fatalf("%v\n%s", v.Altered, content(t, dir))
	}
	return v
}

func content(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	paths, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "--- %s\n%s", filepath.Base(p), text)
	}
	return b.String()
}

func small(o *Options) { o.MaxBytes, o.SegmentBytes = 32<<10, 4<<10 }
