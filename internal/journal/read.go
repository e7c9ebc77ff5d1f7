package journal

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"time"
)

// Filter says which records are wanted. Its zero value wants all.
type Filter struct {
	Since, Until time.Time // zero: no bound
	Incident     string    // empty: any, and none
	Kinds        []Kind    // empty: any
}

// Match says whether a record is wanted.
func (f Filter) Match(r Record) bool {
	switch {
	case !f.Since.IsZero() && r.Time.Before(f.Since), !f.Until.IsZero() && r.Time.After(f.Until):
		return false
	case f.Incident != "" && r.Incident != f.Incident:
		return false
	}
	return len(f.Kinds) == 0 || slices.Contains(f.Kinds, r.Kind)
}

// Read calls take with each record of the journal in dir that the filter wants,
// oldest first, until it returns false. It believes what it reads: Verify judges.
// Lines that are no records are passed over. It may be called while the journal
// is written, and blocks for as long as reading takes. A folder that is not
// there has no records.
func Read(dir string, f Filter, take func(Record) bool) error {
	numbers, err := segments(dir)
	if err != nil {
		return err
	}
	for _, number := range numbers {
		segment, err := openSegment(dir, number)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		stopped := false
		err = eachLine(segment, func(line []byte, whole bool) bool {
			var r Record
			if !whole || json.Unmarshal(line, &r) != nil || r.Seq == 0 || !f.Match(r) {
				return true
			}
			stopped = !take(r)
			return !stopped
		})
		_ = segment.Close()
		if err != nil || stopped {
			return err
		}
	}
	return nil
}

// Newest gives the last records that the filter wants, oldest first, at most
// limit of them; see Read.
func Newest(dir string, f Filter, limit int) ([]Record, error) {
	var kept []Record
	err := Read(dir, f, func(r Record) bool {
		if len(kept) >= 2*limit { // so that not each record moves all others
			kept = append(kept[:0], kept[len(kept)-limit:]...)
		}
		kept = append(kept, r)
		return true
	})
	return kept[max(0, len(kept)-limit):], err
}
