package eventlog

// State is how a log stands.
type State struct {
	// Events, Bytes and Segments are what is kept, Listed events included.
	Events   int
	Bytes    int64
	Segments int
	// Last is the offset of the newest event.
	Last Offset
	// Failure is what Failing says.
	Failure string
	// Cut is how many bytes were cut off, because they were broken, since Open.
	Cut int64
	// Sessions is how many sessions are kept.
	Sessions int
}

// Failing says why events or sessions are kept in memory only; empty: they are not.
// It waits for nothing.
func (l *Log) Failing() string {
	for _, text := range []*string{l.failing.Load(), l.sessions.failing.Load()} {
		if text != nil {
			return *text
		}
	}
	return ""
}

// State tells how the log stands.
func (l *Log) State() State {
	l.mu.RLock()
	s := State{
		Events: l.events, Bytes: l.bytes, Segments: len(l.segments), Cut: l.cut,
		Last: Offset{l.generation, l.next() - 1},
	}
	l.mu.RUnlock()
	s.Failure = l.Failing()
	s.Sessions = l.sessions.count()
	return s
}
