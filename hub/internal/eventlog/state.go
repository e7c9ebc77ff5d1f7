package eventlog

import "time"

// State is how a log stands.
type State struct {
	// Events, Bytes and Segments are what is kept, Listed events included.
	Events   int
	Bytes    int64
	Segments int
	// Last is the offset of the newest event.
	Last Offset
	// Failure says why events are kept in memory only, since FailedAt; empty: they
	// are written to the disk.
	Failure  string
	FailedAt time.Time
	// Cut is how many bytes were cut off, because they were broken, since Open.
	Cut int64
	// Sessions is how many sessions are kept.
	Sessions int
}

// State tells how the log stands.
func (l *Log) State() State {
	l.mu.RLock()
	s := State{
		Events: l.events, Bytes: l.bytes, Segments: len(l.segments), Cut: l.cut,
		Last: Offset{l.generation, l.next() - 1},
	}
	if l.failure != nil {
		s.Failure, s.FailedAt = l.failure.Error(), l.failedAt
	}
	l.mu.RUnlock()
	if why := l.sessions.failing(); why != "" && s.Failure == "" {
		s.Failure = why
	}
	s.Sessions = l.sessions.count()
	return s
}
