package hub

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// logLines is how many lines wait for standard error before they are dropped.
	logLines = 1024
	// logFlush bounds how long close waits for them.
	logFlush = 200 * time.Millisecond
)

// logPipe writes lines to standard error without ever blocking the hub: when the
// supervisor does not read, lines are dropped and counted, and the count is
// reported as soon as there is room again. One goroutine, which close waits for.
type logPipe struct {
	out     io.Writer
	lines   chan []byte // sent by Write, closed by close; full: the line is dropped
	dropped atomic.Int64
	done    chan struct{}

	mu     sync.RWMutex
	closed bool
}

func newLogPipe(out io.Writer) *logPipe {
	p := &logPipe{out: out, lines: make(chan []byte, logLines), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *logPipe) run() {
	defer close(p.done)
	for line := range p.lines {
		_, _ = p.out.Write(line)
		if n := p.dropped.Swap(0); n > 0 {
			fmt.Fprintf(p.out, "{\"@level\":\"warn\",\"@message\":\"log lines were dropped\",\"@module\":\"hub\",\"lines\":%d}\n", n)
		}
	}
}

// Write queues one line. It never blocks and never fails.
func (p *logPipe) Write(line []byte) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return len(line), nil
	}
	select {
	case p.lines <- append([]byte(nil), line...):
	default:
		p.dropped.Add(1)
	}
	return len(line), nil
}

// close lets out what waits, for logFlush at most.
func (p *logPipe) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.lines)
	}
	p.mu.Unlock()
	timer := time.NewTimer(logFlush)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
}
