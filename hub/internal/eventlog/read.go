package eventlog

import (
	"fmt"
	"hash/maphash"
)

// chunkBytes is about how much is read at once.
const chunkBytes = 256 << 10

// Last is the offset of the newest event.
func (l *Log) Last() Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return Offset{l.generation, l.next() - 1}
}

// Knows returns nil if the log has everything that came after an offset, else
// ErrUnknownOffset.
func (l *Log) Knows(o Offset) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.knows(o)
}

func (l *Log) knows(o Offset) error {
	// From the newest segment back to the last gap.
	given := false
	for i := len(l.segments) - 1; i >= 0; i-- {
		s := l.segments[i]
		if i < len(l.segments)-1 && !l.segments[i+1].follows(s) {
			break
		}
		if s.generation == o.Generation && o.Sequence+1 >= s.base && o.Sequence <= s.end() {
			given = true
		}
		if given && o.Sequence+1 >= s.base {
			return nil
		}
	}
	return ErrUnknownOffset
}

// Since calls yield for each event after an offset, oldest first, up to the newest
// at the time of the call, until yield returns false. It is ErrUnknownOffset when
// the log cannot tell what came after the offset; then, or with any other error,
// yield may have been called for a part.
func (l *Log) Since(o Offset, yield func(r *Record, at Offset) bool) error {
	l.mu.RLock()
	if err := l.knows(o); err != nil {
		l.mu.RUnlock()
		return err
	}
	generation := l.generation
	var views []view
	next := o.Sequence + 1
	for _, s := range l.segments {
		if len(s.index) > 0 && s.end() >= next && s.base <= next {
			views = append(views, s.from(next))
			next = s.end() + 1
		}
	}
	l.mu.RUnlock()
	for i := range views {
		goOn, err := views[i].each(0, len(views[i].index), func(r *Record) bool {
			return yield(r, Offset{generation, r.Sequence})
		})
		if err != nil || !goOn {
			return err
		}
	}
	return nil
}

// each calls yield for the records i to j-1 of a view and reports whether it wanted
// all of them.
func (v *view) each(i, j int, yield func(r *Record) bool) (bool, error) {
	for i < j {
		n := i + 1
		at, size := v.span(i, n)
		for n < j {
			if _, more := v.span(i, n+1); more > chunkBytes {
				break
			} else {
				size = more
			}
			n++
		}
		chunk := make([]byte, size)
		if err := v.readAt(chunk, at); err != nil {
			return false, fmt.Errorf("read the event log: %w", err)
		}
		for ; i < n; i++ {
			body, taken, err := nextFrame(chunk)
			if err != nil {
				return false, fmt.Errorf("read event %d: %w", v.base+uint64(i), err)
			}
			chunk = chunk[taken:]
			r, err := decodeRecord(body)
			if err != nil || r.Sequence != v.base+uint64(i) {
				return false, fmt.Errorf("read event %d: %w", v.base+uint64(i), errBroken)
			}
			if !yield(&r) {
				return false, nil
			}
		}
	}
	return true, nil
}

// Count counts the listed events among the newest limit ones of them that are of the
// given kinds (none: all).
func (l *Log) Count(kinds []string, limit int) int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	total := 0
	l.newest(kinds, limit, func(*segment, int) bool { total++; return true })
	return total
}

// newest calls yield for each of the newest limit listed events that is of the given
// kinds, newest first, until yield returns false.
func (l *Log) newest(kinds []string, limit int, yield func(s *segment, i int) bool) {
	hashes := make(map[uint64]bool, len(kinds))
	for _, k := range kinds {
		hashes[maphash.String(l.seed, k)] = true
	}
	for n := len(l.segments) - 1; n >= 0; n-- {
		s := l.segments[n]
		for i := len(s.index) - 1; i >= 0; i-- {
			e := &s.index[i]
			if !e.listed {
				continue
			}
			if limit--; limit < 0 {
				return
			}
			if len(kinds) > 0 && !hashes[e.kind] {
				continue
			}
			if !yield(s, i) {
				return
			}
		}
	}
}

// Newest returns events of the history, oldest first: the newest of the given kinds
// (none: all) among the newest within listed events, at most limit and no more than
// fit into maxBytes, though always one. total is how many there are of these kinds
// among the newest within.
func (l *Log) Newest(kinds []string, limit, within int, maxBytes int64) (events []*Record, total int, err error) {
	type place struct {
		view     view
		at, size int64
	}
	var places []place
	var bytes int64
	full := limit <= 0
	l.mu.RLock()
	l.newest(kinds, within, func(s *segment, i int) bool {
		total++
		if full {
			return true
		}
		v := s.from(s.base)
		at, size := v.span(i, i+1)
		if bytes += size; bytes > maxBytes && len(places) > 0 {
			full = true
			return true
		}
		places = append(places, place{v, at, size})
		full = len(places) == limit
		return true
	})
	l.mu.RUnlock()
	events = make([]*Record, 0, len(places))
	for i := len(places) - 1; i >= 0; i-- {
		p := &places[i]
		content := make([]byte, p.size)
		if err := p.view.readAt(content, p.at); err != nil {
			return nil, 0, fmt.Errorf("read the event log: %w", err)
		}
		body, _, err := nextFrame(content)
		if err != nil {
			return nil, 0, fmt.Errorf("read the event log: %w", err)
		}
		r, err := decodeRecord(body)
		if err != nil {
			return nil, 0, fmt.Errorf("read the event log: %w", err)
		}
		events = append(events, &r)
	}
	return events, total, nil
}
