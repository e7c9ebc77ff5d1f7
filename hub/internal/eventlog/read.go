package eventlog

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"slices"
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

// Listed is how many of the newest limit listed events are kept. It waits for
// nothing.
func (l *Log) Listed(limit int) int { return min(int(l.listed.Load()), limit) }

// Selection is a part of the history, as it was at one moment. Its events are read
// when they are asked for; those that the log has dropped meanwhile are left out.
type Selection struct {
	// Total is how many events of the wanted kinds there are, selected or not.
	Total int

	places []place // oldest first
}

// place is where the record of one event is.
type place struct {
	view     view
	at, size int64
}

// Select selects from the newest within listed events the newest limit of the given
// kinds (none: all).
func (l *Log) Select(kinds []string, limit, within int) *Selection {
	hashes := make(map[uint64]bool, len(kinds))
	for _, k := range kinds {
		hashes[maphash.String(l.seed, k)] = true
	}
	s := &Selection{}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for n := len(l.segments) - 1; n >= 0 && within > 0; n-- {
		all := l.segments[n].from(l.segments[n].base)
		for i := len(all.index) - 1; i >= 0 && within > 0; i-- {
			e := &all.index[i]
			if !e.listed {
				continue
			}
			within--
			if len(kinds) > 0 && !hashes[e.kind] {
				continue
			}
			if s.Total++; len(s.places) < limit {
				at, size := all.span(i, i+1)
				s.places = append(s.places, place{view: view{file: all.file, mem: all.mem}, at: at, size: size})
			}
		}
	}
	slices.Reverse(s.places)
	return s
}

// Newest leaves no more of the selection than its newest events that fit into
// maxBytes, though always one.
func (s *Selection) Newest(maxBytes int64) {
	for i := len(s.places) - 1; i >= 0; i-- {
		if maxBytes -= s.places[i].size; maxBytes < 0 && i < len(s.places)-1 {
			s.places = s.places[i+1:]
			return
		}
	}
}

// Next reads the oldest events that were not read yet, as many as fit into maxBytes,
// though always one. There are no more when it returns none.
func (s *Selection) Next(maxBytes int64) ([]*Record, error) {
	var records []*Record
	for len(s.places) > 0 {
		p := &s.places[0]
		if maxBytes -= p.size; maxBytes < 0 && len(records) > 0 {
			break
		}
		s.places = s.places[1:]
		content := make([]byte, p.size)
		err := p.view.readAt(content, p.at)
		if errors.Is(err, os.ErrClosed) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the event log: %w", err)
		}
		body, _, err := nextFrame(content)
		if err != nil {
			return nil, fmt.Errorf("read the event log: %w", err)
		}
		r, err := decodeRecord(body)
		if err != nil {
			return nil, fmt.Errorf("read the event log: %w", err)
		}
		records = append(records, &r)
	}
	return records, nil
}

// More reports whether events are left to be read.
func (s *Selection) More() bool { return len(s.places) > 0 }
