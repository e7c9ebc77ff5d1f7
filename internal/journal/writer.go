package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// Head is the end of the journal: its last record.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash,omitempty"`
}

// writer writes segments. It belongs to the goroutine of Journal.Run.
type writer struct {
	Options
	active   file
	number   uint64 // of the active segment
	size     int64  // of the active segment
	began    time.Time
	head     Head
	synced   Head      // what a power failure leaves
	older    []older   // segments before the active one, oldest first
	dirty    bool      // something is not synced
	repair   *Repaired // to be recorded
	repaired *Repaired // to be said
	pending  Gap       // records that could not be written
}

// older is a segment that is not written to any more.
type older struct {
	number uint64
	size   int64
	newest time.Time
	last   Head
}

// open finds the end of what is there, takes away what was cut off, and opens
// the last segment. After an error it may be called again.
func (w *writer) open() error {
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return fmt.Errorf("make the journal's folder: %w", err)
	}
	found, err := segments(w.Dir)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		found = []uint64{1}
	}
	w.older, w.head, w.repair = nil, Head{0, genesis}, nil
	for _, number := range found[:len(found)-1] {
		last, size, err := lastOf(w.Dir, number)
		if err != nil {
			return err
		}
		if last.Seq > 0 {
			w.head = Head{last.Seq, last.Hash}
		}
		w.older = append(w.older, older{number, size, last.Time, w.head})
	}
	w.number = found[len(found)-1]
	path := segmentPath(w.Dir, w.number)
	t := tail{}
	if _, err := os.Lstat(path); err == nil {
		if t, err = tailOf(w.Dir, w.number); err != nil {
			return err
		}
	}
	if w.active, err = w.Options.open(path); err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	w.size, w.began = t.end, t.first.Time
	if t.last.Seq > 0 {
		w.head = Head{t.last.Seq, t.last.Hash}
	}
	if t.end == t.size {
		return nil
	}
	if err := w.active.Truncate(t.end); err != nil {
		w.drop()
		return fmt.Errorf("take a record that was cut off out of the journal: %w", err)
	}
	w.repair = &Repaired{Segment: w.number, After: w.head.Seq, Bytes: t.size - t.end, SHA256: t.sum, Begins: strconv.Quote(string(t.after))}
	w.repaired = w.repair
	return nil
}

// drop closes the active segment, whatever comes of it.
func (w *writer) drop() {
	if w.active != nil {
		_ = w.active.Close()
		w.active = nil
	}
}

// write appends one record; what stands in its way is done before. After an
// error the record is counted as lost, and the next call tries everything anew.
func (w *writer) write(at time.Time, kind Kind, incident string, data json.RawMessage) error {
	err := w.tryWrite(at, kind, incident, data)
	if err != nil {
		w.lose(1, at, err.Error())
	}
	return err
}

// lose counts records that are not written.
func (w *writer) lose(n uint64, since time.Time, why string) {
	if w.pending.Lost == 0 {
		w.pending.Since = since
	}
	w.pending.Lost, w.pending.Why = w.pending.Lost+n, why
}

func (w *writer) tryWrite(at time.Time, kind Kind, incident string, data json.RawMessage) error {
	if w.active == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.size > 0 && (w.size+int64(len(data)) > w.SegmentBytes || at.Sub(w.began) > w.MaxAge/8) {
		if err := w.rotate(at); err != nil {
			return err
		}
	}
	if w.size == 0 {
		w.began = at
		if err := w.putValue(at, KindSegment, Segment{formatVersion, w.number}); err != nil {
			return err
		}
		if err := w.enforce(at); err != nil {
			return err
		}
	}
	if w.repair != nil {
		if err := w.putValue(at, KindRepaired, w.repair); err != nil {
			return err
		}
		w.repair = nil
	}
	if w.pending.Lost > 0 {
		if err := w.putValue(at, KindGap, w.pending); err != nil {
			return err
		}
		w.pending = Gap{}
	}
	if kind == "" {
		return nil
	}
	return w.put(at, kind, incident, data)
}

// rotate begins the next segment.
func (w *writer) rotate(at time.Time) error {
	if err := w.sync(); err != nil {
		return err
	}
	next, err := w.Options.open(segmentPath(w.Dir, w.number+1))
	if err != nil {
		return fmt.Errorf("begin a segment of the journal: %w", err)
	}
	w.older = append(w.older, older{w.number, w.size, at, w.head})
	w.drop()
	w.active, w.number, w.size = next, w.number+1, 0
	return syncDir(w.Dir)
}

// enforce removes segments that are too many or too old. The record that says so
// comes first, so that the chain has no hole whenever host is killed.
func (w *writer) enforce(now time.Time) error {
	for len(w.older) > 0 {
		oldest := w.older[0]
		total := w.size
		for _, o := range w.older {
			total += o.size
		}
		why := ""
		switch {
		case total > w.MaxBytes-w.SegmentBytes:
			why = "size"
		case now.Sub(oldest.newest) > w.MaxAge:
			why = "age"
		default:
			return nil
		}
		if err := w.putValue(now, KindRemoved, Removed{oldest.number, oldest.last.Seq, oldest.last.Hash, why}); err != nil {
			return err
		}
		if err := w.sync(); err != nil {
			return err
		}
		if err := os.Remove(segmentPath(w.Dir, oldest.number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the oldest segment of the journal: %w", err)
		}
		w.older = slices.Delete(w.older, 0, 1)
	}
	return nil
}

func (w *writer) putValue(at time.Time, kind Kind, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return w.put(at, kind, "", text)
}

// put writes one record at the end of the active segment: whole, or not at all.
func (w *writer) put(at time.Time, kind Kind, incident string, data json.RawMessage) error {
	r := Record{Seq: w.head.Seq + 1, Time: at, Kind: kind, Incident: incident, Prev: w.head.Hash, Data: data}
	line, err := r.line()
	if err != nil {
		return err
	}
	n, err := w.active.Write(append(line, '\n'))
	if err != nil {
		if n > 0 && w.active.Truncate(w.size) != nil {
			w.drop() // what is left of it is taken away when the segment is opened again
		}
		return fmt.Errorf("write the journal: %w", err)
	}
	w.size += int64(n)
	w.head = Head{r.Seq, r.Hash}
	w.dirty = true
	return nil
}

// sync makes what was written safe from a power failure.
func (w *writer) sync() error {
	if !w.dirty || w.active == nil {
		return nil
	}
	if err := w.active.Sync(); err != nil {
		return fmt.Errorf("sync the journal: %w", err)
	}
	w.dirty, w.synced = false, w.head
	return nil
}

// close ends the writer.
func (w *writer) close() error {
	err := w.sync()
	if w.active != nil {
		err = errors.Join(err, w.active.Close())
		w.active = nil
	}
	return err
}
