package rig

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"
)

// Line is a line of output with the time of its arrival.
type Line struct {
	At     time.Time
	Stderr bool
	Text   string
}

// Output collects what a process says.
type Output struct {
	mu      sync.Mutex
	lines   []Line
	changed chan struct{} // closed and renewed with each line
}

func newOutput() *Output { return &Output{changed: make(chan struct{})} }

// writer gives one stream's io.Writer. What it gets is cut into lines.
func (o *Output) writer(stderr bool) *lineWriter { return &lineWriter{out: o, stderr: stderr} }

type lineWriter struct {
	out     *Output
	stderr  bool
	pending []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.pending = append(w.pending, p...)
	for {
		line, rest, found := bytes.Cut(w.pending, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.pending = rest
		w.out.add(Line{At: time.Now(), Stderr: w.stderr, Text: string(line)})
	}
}

func (o *Output) add(l Line) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, l)
	close(o.changed)
	o.changed = make(chan struct{})
}

// Lines returns a copy of the lines from position from on.
func (o *Output) Lines(from int) []Line {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Line(nil), o.lines[min(from, len(o.lines)):]...)
}

// Mark is the position behind the newest line.
func (o *Output) Mark() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.lines)
}

// WaitLine waits for the first line at or behind position from that fits.
func (o *Output) WaitLine(ctx context.Context, from int, fits func(Line) bool) (Line, error) {
	for at := from; ; {
		o.mu.Lock()
		changed := o.changed
		for ; at < len(o.lines); at++ {
			if l := o.lines[at]; fits(l) {
				o.mu.Unlock()
				return l, nil
			}
		}
		o.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Line{}, ctx.Err()
		}
	}
}

// Text of both streams, in the order of arrival.
func (o *Output) Text() string { return o.join(func(Line) bool { return true }) }

// Stdout is the text of standard output alone, Stderr that of standard error.
func (o *Output) Stdout() string { return o.join(func(l Line) bool { return !l.Stderr }) }

// Stderr is the text of standard error alone.
func (o *Output) Stderr() string { return o.join(func(l Line) bool { return l.Stderr }) }

func (o *Output) join(fits func(Line) bool) string {
	var b strings.Builder
	for _, l := range o.Lines(0) {
		if fits(l) {
			b.WriteString(l.Text)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// tail keeps the last 8 KiB that were written. Safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 8<<10; over > 0 {
		t.buf = append([]byte(nil), t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
