package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queued is how many records may wait for the disk.
	queued = 1024
	// lookAfter is how often the age of segments is looked at while nothing is written.
	lookAfter = time.Hour
)

// Journal is the journal that is being written. Make it with New and run it
// with Run; it is safe for concurrent use.
type Journal struct {
	opts Options
	// queue has records and questions on their way to Run; Append and Sync send,
	// nobody closes it. A record that finds it full is lost and counted.
	queue   chan item
	ended   chan struct{} // closed by Run
	dropped atomic.Uint64 // records that found the queue full, since it was last said

	mu    sync.Mutex
	state State
}

// State is how the journal fares.
type State struct {
	Head Head
	// Synced is the part of it that a power failure leaves.
	Synced Head
	// Lost counts the records since the start that could not be written.
	Lost uint64
	// Err is why the last record could not be written; empty when it could.
	Err string
}

type item struct {
	at       time.Time
	kind     Kind
	incident string
	data     json.RawMessage
	synced   chan<- error // not nil: a question of Sync
}

// ErrEnded is Sync's error when Run has ended.
var ErrEnded = errors.New("journal: it has ended")

// New makes a journal that is not written yet. Records that are appended before
// Run wait for it.
func New(o Options) *Journal {
	return &Journal{opts: o.completed(), queue: make(chan item, queued), ended: make(chan struct{})}
}

// Append adds a record with the present time. It never blocks and never fails:
// what cannot be written is counted, and said in the journal as soon as it can
// be. Data becomes JSON before Append returns.
func (j *Journal) Append(kind Kind, incident string, data any) {
	it := item{at: j.opts.Now().UTC(), kind: kind, incident: incident}
	text, err := json.Marshal(data)
	switch {
	case err != nil:
		text, _ = json.Marshal(map[string]string{"left_out": err.Error()})
	case len(text) > j.opts.MaxRecord:
		text, _ = json.Marshal(map[string]string{"left_out": fmt.Sprintf("%d bytes, more than the %d that a record may have", len(text), j.opts.MaxRecord)})
	}
	if string(text) != "null" {
		it.data = text
	}
	select {
	case j.queue <- it:
	default:
		j.dropped.Add(1)
	}
}

// Sync returns when everything that was appended before is safe from a power
// failure, or with an error that says why it is not: ctx ended, Run has ended
// (ErrEnded), or the disk refused it.
func (j *Journal) Sync(ctx context.Context) error {
	synced := make(chan error, 1)
	select {
	case j.queue <- item{synced: synced}:
	case <-j.ended:
		return ErrEnded
	case <-ctx.Done():
		return fmt.Errorf("wait for the journal: %w", context.Cause(ctx))
	}
	select {
	case err := <-synced:
		return err
	case <-j.ended:
		select {
		case err := <-synced:
			return err
		default:
			return ErrEnded
		}
	case <-ctx.Done():
		return fmt.Errorf("wait for the journal: %w", context.Cause(ctx))
	}
}

// State is how it fares now. It never blocks long.
func (j *Journal) State() State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

// Run writes what is appended until ctx ends, then what is left, and returns
// when it is on disk. It may be called once. A disk that refuses is logged and
// tried again with each record; Run goes on.
func (j *Journal) Run(ctx context.Context) error {
	defer close(j.ended)
	w := &writer{Options: j.opts}
	j.note(w, w.tryWrite(j.opts.Now().UTC(), "", "", nil), 0) // repairs, and begins the first segment
	timer := time.NewTimer(lookAfter)
	defer timer.Stop()
	for {
		select {
		case it := <-j.queue:
			j.take(w, it)
			if w.dirty {
				timer.Reset(j.opts.SyncEvery)
			}
		case <-timer.C:
			j.tend(w)
			timer.Reset(lookAfter)
		case <-ctx.Done():
			for {
				select {
				case it := <-j.queue:
					j.take(w, it)
					continue
				default:
				}
				if err := w.close(); err != nil {
					return fmt.Errorf("end the journal: %w", err)
				}
				return nil
			}
		}
	}
}

// tend syncs what waits, and removes what has become too old.
func (j *Journal) tend(w *writer) {
	err := w.sync()
	if err == nil && w.active != nil {
		err = w.enforce(j.opts.Now().UTC())
	}
	j.note(w, err, 0)
}

// take writes one record, or answers one question.
func (j *Journal) take(w *writer, it item) {
	if n := j.dropped.Swap(0); n > 0 {
		w.lose(n, j.opts.Now().UTC(), "more records came at once than the disk could take")
		j.note(w, errors.New(w.pending.Why), n)
	}
	if it.synced == nil {
		err := w.write(it.at, it.kind, it.incident, it.data)
		lost := uint64(0)
		if err != nil {
			lost = 1
		}
		j.note(w, err, lost)
		return
	}
	err := w.sync()
	if err == nil && w.pending.Lost > 0 {
		err = fmt.Errorf("%d records could not be written: %s", w.pending.Lost, w.pending.Why)
	}
	j.note(w, err, 0)
	it.synced <- err
}

// note makes visible how writing went. Only changes are logged.
func (j *Journal) note(w *writer, err error, lost uint64) {
	j.mu.Lock()
	was := j.state.Err
	j.state.Head, j.state.Synced = w.head, w.synced
	j.state.Lost += lost
	if err != nil {
		j.state.Err = err.Error()
	} else if w.pending.Lost == 0 {
		j.state.Err = ""
	}
	now := j.state
	j.mu.Unlock()
	switch {
	case was == "" && now.Err != "":
		j.opts.Log.Error("the journal cannot be written: host goes on without it", "folder", j.opts.Dir, "error", now.Err)
	case was != "" && now.Err == "":
		j.opts.Log.Warn("the journal is written again", "folder", j.opts.Dir, "records_lost", now.Lost)
	}
	if r := w.repaired; r != nil {
		w.repaired = nil
		j.opts.Log.Warn("the end of the journal was cut off, as by a kill or a power failure: it is repaired", "folder", j.opts.Dir,
			"bytes", r.Bytes, "after_record", r.After)
	}
}
