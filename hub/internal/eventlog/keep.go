package eventlog

import (
	"errors"
	"os"
	"slices"
	"time"
)

// retain deletes the oldest segments until the bounds are kept, but never the active
// one.
func (l *Log) retain(now time.Time) {
	for len(l.segments) > 1 {
		oldest := l.segments[0]
		switch {
		case l.bytes > l.opts.MaxBytes, l.events > l.opts.MaxEvents, len(l.segments) > maxSegments:
		case now.Sub(latest(oldest)) > l.opts.MaxAge:
		default:
			l.retainMemory()
			return
		}
		l.drop(0)
	}
	l.retainMemory()
}

// latest is when a segment got its newest event, or was begun.
func latest(s *segment) time.Time {
	if len(s.index) == 0 {
		return s.created
	}
	return s.last
}

// retainMemory bounds what is kept in memory while the disk fails.
func (l *Log) retainMemory() {
	if l.failure == nil {
		return
	}
	var size int64
	for i := len(l.segments) - 1; i >= 0; i-- {
		if s := l.segments[i]; s.file == nil {
			if size += s.size; size > memoryBytes && i < len(l.segments)-1 {
				l.drop(i)
			}
		}
	}
}

func (l *Log) drop(i int) {
	s := l.segments[i]
	l.bytes -= s.size
	l.events -= len(s.index)
	l.listed.Add(int64(-s.listed))
	s.remove()
	l.segments = slices.Delete(l.segments, i, i+1)
}

// keep syncs what was written, retries a disk that failed, and drops what has become
// too old, until Close.
func (l *Log) keep() {
	defer close(l.done)
	tick := time.NewTicker(max(min(l.opts.MaxAge/segmentShare, time.Minute), retryInterval))
	defer tick.Stop()
	retries := time.NewTicker(retryInterval)
	defer retries.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.wake:
			timer := time.NewTimer(syncInterval)
			select {
			case <-l.stop:
				timer.Stop()
				return
			case <-timer.C:
			}
			l.syncNow()
		case now := <-retries.C:
			l.mu.Lock()
			l.retry(now)
			l.mu.Unlock()
			l.sessions.retry(now)
		case now := <-tick.C:
			l.mu.Lock()
			if l.full(l.segments[len(l.segments)-1], now) {
				l.rotate(now)
			}
			l.retain(now)
			l.mu.Unlock()
			l.sessions.expire(now)
		}
	}
}

// syncNow syncs what was written, without keeping writers waiting.
func (l *Log) syncNow() {
	l.mu.Lock()
	var dirty []*segment
	var files []*os.File
	for _, s := range l.segments {
		if s.dirty && s.file != nil {
			dirty, files = append(dirty, s), append(files, s.file)
			s.dirty = false
		}
	}
	l.dirty = false
	l.mu.Unlock()
	for i, s := range dirty {
		err := files[i].Sync()
		if errors.Is(err, os.ErrClosed) {
			continue // deleted meanwhile
		}
		l.mu.Lock()
		switch {
		case err != nil:
			s.mark(flagLost)
		case s != l.segments[len(l.segments)-1]:
			s.mark(flagClosed) // nothing will follow in it
		}
		l.mu.Unlock()
		if err != nil {
			l.opts.Log.Warn("a segment of the event log cannot be synced", "path", s.path, "error", err)
		}
	}
	l.sessions.sync()
}
