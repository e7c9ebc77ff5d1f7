package eventlog

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
)

var (
	// ErrInUse says that another process has the log.
	ErrInUse = errors.New("another process writes the event log")
	// ErrClosed is returned by what is called after Close.
	ErrClosed = errors.New("the event log is closed")
)

// Log is an event log. Open makes it.
type Log struct {
	opts Options
	boot [16]byte
	seed maphash.Seed
	lock *flock.Flock

	mu         sync.RWMutex
	segments   []*segment // oldest first; the last one is written
	generation uint64     // ours; 0 before TakeOver
	bytes      int64      // in all segments
	events     int        // in all segments
	dirty      bool       // a segment is, and keep is told
	closed     bool
	failure    error // why events are kept in memory; nil: they are on the disk
	failedAt   time.Time
	retryAt    time.Time
	cut        int64  // bytes that were cut off since Open
	buffer     []byte // reused by Append

	// What can be asked while the disk holds everything else up.
	listed  atomic.Int64
	failing atomic.Pointer[string] // failure in words

	sessions sessions // its lock is taken before mu, never after

	wake chan struct{} // has room for one; tells keep that something is dirty
	stop chan struct{} // closed by Close
	done chan struct{} // closed when keep has ended; nil before it begins
}

// Open reads the log in a directory, which another process may be writing. It
// changes nothing but to make the directory, and reads all segments: a moment for
// each 100 MB. The log answers questions as of then, and cannot be written before
// TakeOver. The error names an option that is wrong or a directory that cannot be
// used.
func Open(opts Options) (*Log, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	l := &Log{
		opts: opts, boot: bootID(), seed: maphash.MakeSeed(),
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	l.sessions.log = l
	l.sessions.byPID = make(map[string]*Session)
	if opts.Dir == "" {
		return l, nil
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	l.lock = flock.New(filepath.Join(opts.Dir, "lock"), flock.SetPermissions(0o600))
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.readSegments(false)
}

// TakeOver makes this process the writer of the log. It waits for the process that
// is the writer to close it or to end, until ctx ends (ErrInUse then), reads what
// was written since Open, cuts off what is broken, and begins a new generation. It
// is called once. A disk that fails is no error: State tells.
func (l *Log) TakeOver(ctx context.Context) error {
	if l.lock != nil {
		if locked, err := l.lock.TryLockContext(ctx, time.Millisecond); err != nil || !locked {
			if ctx.Err() != nil {
				return fmt.Errorf("take over %s: %w", l.opts.Dir, ErrInUse)
			}
			return fmt.Errorf("take over %s: %w", l.opts.Dir, err)
		}
	}
	now := time.Now()
	l.sessions.load(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.unlock()
		return ErrClosed
	}
	if err := l.readSegments(true); err != nil {
		l.unlock()
		return err
	}
	l.generation = max(uint64(now.UnixMicro()), 1)
	for _, s := range l.segments {
		l.generation = max(l.generation, s.generation+1)
	}
	l.begin(now)
	l.retain(now)
	if l.opts.Dir != "" {
		l.startKeeper()
	}
	return nil
}

// startKeeper starts keep, unless it runs.
func (l *Log) startKeeper() {
	if l.done == nil {
		l.done = make(chan struct{})
		go l.keep()
	}
}

func (l *Log) unlock() {
	if l.lock != nil {
		_ = l.lock.Unlock()
	}
}

// readSegments reads the segments of the directory that are not known yet, and what
// was appended to those that are. A writer cuts off what is broken.
func (l *Log) readSegments(writer bool) error {
	if l.opts.Dir == "" {
		return nil
	}
	entries, err := os.ReadDir(l.opts.Dir)
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	known := make(map[string]*segment, len(l.segments))
	for _, s := range l.segments {
		known[filepath.Base(s.path)] = s
	}
	var segments []*segment
	for _, e := range entries {
		if _, _, ok := parseSegmentName(e.Name()); !ok || !e.Type().IsRegular() {
			continue
		}
		s := known[e.Name()]
		delete(known, e.Name())
		if s == nil {
			s = &segment{path: filepath.Join(l.opts.Dir, e.Name())}
			flag := os.O_RDONLY
			if writer {
				flag = os.O_RDWR
			}
			if s.file, err = os.OpenFile(s.path, flag, 0); err != nil {
				if !errors.Is(err, os.ErrNotExist) { // else the writer has just deleted it
					l.opts.Log.Warn("a segment of the event log cannot be opened", "path", s.path, "error", err)
				}
				continue
			}
		} else if writer { // it was opened for reading only
			file, err := os.OpenFile(s.path, os.O_RDWR, 0)
			if err == nil {
				s.close()
				s.file = file
			}
		}
		if l.readSegment(s, writer) {
			segments = append(segments, s)
		}
	}
	for _, s := range known { // deleted since
		s.close()
	}
	slices.SortFunc(segments, func(a, b *segment) int {
		if a.base != b.base {
			return compare(a.base, b.base)
		}
		return compare(a.generation, b.generation)
	})
	l.segments, l.bytes, l.events = segments, 0, 0
	listed := 0
	for _, s := range segments {
		l.bytes += s.size
		l.events += len(s.index)
		listed += s.listed
	}
	l.listed.Store(int64(listed))
	return nil
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// readSegment reads what is new in a segment. It reports false when that is not one
// of ours.
func (l *Log) readSegment(s *segment, writer bool) bool {
	tail, err := s.scan(l.seed)
	if err == nil && s.size > 0 {
		if base, generation, _ := parseSegmentName(filepath.Base(s.path)); base != s.base || generation != s.generation {
			err = errBroken
		}
	}
	if err != nil {
		if writer {
			l.opts.Log.Warn("a segment of the event log cannot be read, what it held is lost", "path", s.path, "error", err)
			if info, statErr := s.file.Stat(); statErr == nil && errors.Is(err, errBroken) {
				l.cut += info.Size()
				s.remove()
				return false
			}
		}
		s.close()
		return false
	}
	if !writer {
		return true
	}
	if tail.bytes > 0 {
		l.opts.Log.Warn("the end of a segment of the event log was not written whole, is cut off",
			"path", s.path, "bytes", tail.bytes, "at", s.size, "checksum_failed", !tail.short)
		l.cut += tail.bytes
		_ = s.file.Truncate(s.size)
		if !tail.short {
			s.mark(flagLost)
		}
	}
	if s.flags&(flagClosed|flagSynced) == 0 && s.boot != l.boot {
		s.mark(flagLost) // the machine failed with a part of it in memory, perhaps
	}
	return true
}

// begin starts a new segment, on the disk if that is possible, else in memory.
func (l *Log) begin(now time.Time) {
	s := &segment{generation: l.generation, base: l.next(), created: now, boot: l.boot, size: headerBytes}
	if l.opts.Sync == SyncAlways {
		s.flags = flagSynced
	}
	if l.opts.Dir != "" && l.failure == nil {
		if err := s.createSegment(l.opts.Dir); err != nil {
			l.failed(err, now)
		}
	}
	l.segments = append(l.segments, s)
	l.bytes += s.size
}

// next is the sequence of the next event.
func (l *Log) next() uint64 {
	if len(l.segments) == 0 {
		return 1
	}
	return l.segments[len(l.segments)-1].end() + 1
}

// failed notes that the disk does not take what has to be written.
func (l *Log) failed(err error, now time.Time) {
	l.retryAt = now.Add(retryInterval)
	if l.failure != nil {
		return
	}
	l.failure, l.failedAt = err, now
	text := err.Error()
	l.failing.Store(&text)
	for _, s := range slices.Backward(l.segments) {
		if s.file != nil {
			s.mark(flagLost)
			break
		}
	}
	l.opts.Log.Error("the event log cannot be written, events are kept in memory only", "path", l.opts.Dir, "error", err)
}

// retry writes down what is in memory, if the disk takes it now.
func (l *Log) retry(now time.Time) {
	if l.failure == nil || now.Before(l.retryAt) {
		return
	}
	l.retryAt = now.Add(retryInterval)
	written := 0
	for _, s := range l.segments {
		if s.file != nil {
			continue
		}
		if err := s.createSegment(l.opts.Dir); err != nil {
			l.failure = err
			return
		}
		written += len(s.index)
	}
	l.opts.Log.Info("the event log can be written again", "path", l.opts.Dir,
		"after", now.Sub(l.failedAt).Round(time.Millisecond), "events_written", written)
	l.failure = nil
	l.failing.Store(nil)
	for _, s := range l.segments {
		s.dirty = s.dirty || s.file != nil
	}
	l.wakeKeeper()
}

// Append adds events to the log, in this order, and gives each its sequence. They
// are written when it returns, so that they outlive the process, and with SyncAlways
// the machine. The offset is that of the last one. Append does not fail: when the
// disk does, events are kept in memory for as long as they fit, and State tells.
// Without TakeOver, or after Close, it does nothing and returns ErrClosed.
func (l *Log) Append(records ...*Record) (Offset, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.generation == 0 {
		return Offset{}, ErrClosed
	}
	l.startKeeper()
	now := time.Now()
	active := l.segments[len(l.segments)-1]
	if l.full(active, now) {
		active = l.rotate(now)
	}
	b := l.buffer[:0]
	starts := make([]int, 0, 8)
	sequence := active.end()
	for _, r := range records {
		sequence++
		r.Sequence = sequence
		starts = append(starts, len(b))
		b = appendRecord(b, r)
	}
	err := active.write(b)
	if err == nil && l.opts.Sync == SyncAlways && active.file != nil {
		if err = active.file.Sync(); err != nil {
			_ = active.file.Truncate(active.size - int64(len(b)))
			active.size -= int64(len(b))
		}
	}
	if err != nil {
		if len(active.index) == 0 { // its successor begins with the same event
			l.drop(len(l.segments) - 1)
		}
		l.failed(err, now)
		l.begin(now)
		active = l.segments[len(l.segments)-1]
		_ = active.write(b) // in memory
	}
	at := active.size - int64(len(b))
	for i, r := range records {
		active.index = append(active.index, entry{
			kind: maphash.String(l.seed, r.Kind), at: uint32(at + int64(starts[i])), listed: r.Listed,
		})
		active.last = r.Time
		if r.Listed {
			active.listed++
			l.listed.Add(1)
		}
	}
	l.bytes += int64(len(b))
	l.events += len(records)
	if cap(b) <= 1<<20 {
		l.buffer = b
	}
	l.retain(now)
	if active.file != nil && l.opts.Sync == SyncInterval {
		active.dirty = true
		l.wakeKeeper()
	}
	return Offset{l.generation, sequence}, nil
}

// full says that a segment is large or old enough for another one to follow it.
func (l *Log) full(s *segment, now time.Time) bool {
	limit := l.opts.MaxBytes
	if s.file == nil && l.opts.Dir != "" {
		limit = min(limit, memoryBytes)
	}
	return len(s.index) > 0 && (s.size-headerBytes >= limit/segmentShare ||
		len(s.index) >= l.opts.MaxEvents/segmentShare || now.Sub(s.created) >= l.opts.MaxAge/segmentShare)
}

// rotate begins another segment.
func (l *Log) rotate(now time.Time) *segment {
	l.begin(now)
	return l.segments[len(l.segments)-1]
}

// wakeKeeper has keep sync in a while.
func (l *Log) wakeKeeper() {
	if l.dirty {
		return
	}
	l.dirty = true
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close writes everything down, marks the log as closed in order, and lets another
// process have it. What is called afterwards finds the log as it was, except that
// nothing can be appended. Closing again does nothing.
func (l *Log) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	owner, done := l.generation != 0, l.done
	l.mu.Unlock()
	close(l.stop)
	if done != nil {
		<-done
	}
	if owner {
		l.sessions.close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if owner {
		l.retryAt = time.Time{}
		l.retry(time.Now())
		for i, s := range l.segments {
			last := i == len(l.segments)-1
			if s.file != nil && l.opts.Sync != SyncNever && (last || s.dirty) && s.file.Sync() == nil {
				s.mark(flagClosed)
			}
		}
	}
	for _, s := range l.segments {
		s.close()
	}
	l.unlock()
}
