package child

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// noticeEvery is how often a stream may say how many lines it dropped.
const noticeEvery = time.Second

// readSize is how much is read at once. Each child has two such buffers for its
// whole life, and most never say anything.
const readSize = 8 << 10

// stream reads one output pipe of a child to its end and turns it into lines.
// Everything but end is used by run's goroutine only.
type stream struct {
	pipe  *os.File
	sink  func(string)
	first *firstLine // takes the first line instead of sink; nil: no such wish
	tail  *tail      // keeps the last lines; nil: nobody asks
	limit int

	bucket     bucket
	dropped    int
	lastNotice time.Time

	line []byte
	cut  bool // the rest of the line is being skipped

	mu   sync.Mutex
	end  time.Time // when to give up reading; zero: not before the pipe ends
	done chan struct{}
}

func newStream(pipe *os.File, spec Spec, sink func(string)) *stream {
	return &stream{
		pipe: pipe, sink: sink, limit: spec.LineLimit, done: make(chan struct{}),
		bucket: bucket{rate: float64(spec.LineRate), burst: float64(spec.LineBurst)},
	}
}

// run reads until the pipe ends or endBy says so.
func (s *stream) run() {
	defer close(s.done)
	defer func() { _ = s.pipe.Close() }()
	buf := make([]byte, readSize)
	for {
		s.armDeadline()
		n, err := s.pipe.Read(buf)
		s.consume(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) && !s.ended() {
			s.notice(time.Now()) // the flood is over and its count was not told
			continue
		}
		if err != nil {
			break
		}
	}
	if len(s.line) > 0 || s.cut {
		s.emit()
	}
	if s.dropped > 0 {
		s.lastNotice = time.Time{}
		s.notice(time.Now())
	}
	if s.first != nil {
		s.first.finish()
	}
}

// endBy bounds the reading; called by the reaper when the process is dead.
func (s *stream) endBy(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = t
	_ = s.pipe.SetReadDeadline(t) // fails only where pipes know no deadline, or when already closed
}

func (s *stream) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.end.IsZero() && !time.Now().Before(s.end)
}

// armDeadline lets the next read wait until the dropped lines have to be told,
// but never beyond the end.
func (s *stream) armDeadline() {
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := s.end
	if s.dropped > 0 {
		if next := s.lastNotice.Add(noticeEvery); deadline.IsZero() || next.Before(deadline) {
			deadline = next
		}
	}
	_ = s.pipe.SetReadDeadline(deadline)
}

func (s *stream) consume(chunk []byte) {
	for len(chunk) > 0 {
		newline := bytes.IndexByte(chunk, '\n')
		part := chunk
		if newline >= 0 {
			part = chunk[:newline]
		}
		limit := s.limit
		if s.first.wants() {
			limit = firstLineLimit
		}
		if room := limit - len(s.line); len(part) > room {
			s.line = append(s.line, part[:max(room, 0)]...)
			s.cut = true
		} else {
			s.line = append(s.line, part...)
		}
		if newline < 0 {
			return
		}
		s.emit()
		chunk = chunk[newline+1:]
	}
}

// emit hands the collected line on and starts the next one.
func (s *stream) emit() {
	line, cut := s.line, s.cut
	s.line, s.cut = s.line[:0], false
	if s.first.wants() {
		s.first.set(line)
		return
	}
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if s.tail != nil {
		s.tail.add(line)
	}
	if s.sink == nil {
		return
	}
	now := time.Now()
	if !s.bucket.take(now, float64(1+len(line)>>10)) {
		if s.dropped == 0 && now.Sub(s.lastNotice) > noticeEvery {
			s.lastNotice = now // tell a second from now, with all that follows
		}
		s.dropped++
		s.notice(now)
		return
	}
	s.notice(now)
	text := Sanitise(line)
	if cut {
		text += fmt.Sprintf(" … [cut at %d bytes]", s.limit)
	}
	s.sink(text)
}

// notice tells how many lines were dropped, unless that was done within the last second.
func (s *stream) notice(now time.Time) {
	if s.dropped == 0 || s.sink == nil || now.Sub(s.lastNotice) < noticeEvery {
		return
	}
	s.sink(fmt.Sprintf("[%d lines dropped: more than %.0f a second]", s.dropped, s.bucket.rate))
	s.dropped, s.lastNotice = 0, now
}

// bucket is a token bucket; the time is an argument.
type bucket struct {
	rate, burst float64 // tokens a second, tokens at most
	tokens      float64
	last        time.Time
}

func (b *bucket) take(now time.Time, cost float64) bool {
	if b.last.IsZero() {
		b.tokens = b.burst
	} else if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.burst, b.tokens+d.Seconds()*b.rate)
	}
	b.last = now
	// A line dearer than the whole bucket passes when the bucket is full.
	if b.tokens < min(cost, b.burst) {
		return false
	}
	b.tokens -= min(cost, b.burst)
	return true
}
