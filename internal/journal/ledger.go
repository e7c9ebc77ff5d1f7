package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	ledgerName = "ledger.json"
	// ledgerVersion is that of the envelope; what is in it has versions of its own.
	ledgerVersion = 1
	// maxLedger is how long the file may be.
	maxLedger = 16 << 20
	// ledgerPace is the least time between two writings that nobody waits for.
	ledgerPace = 250 * time.Millisecond
	// ledgerRetry is the time between two tries while the disk refuses.
	ledgerRetry = time.Second
	// maxAside is how many ledgers that were put aside are kept.
	maxAside = 5
)

// envelope is the ledger's file.
type envelope struct {
	Version int             `json:"version"`
	Saved   time.Time       `json:"saved"`
	SHA256  string          `json:"sha256"` // of content, without white space
	Content json.RawMessage `json:"content"`
}

// AsideError says that a ledger could not be used and was put aside. Host goes on
// without what it remembered.
type AsideError struct {
	Path string // where it is now; empty: it could not be moved
	Why  string
	// Newer: it was written by a newer version of host.
	Newer bool
}

func (e *AsideError) Error() string {
	where := "it stays where it is"
	if e.Path != "" {
		where = "it was put aside as " + e.Path
	}
	return fmt.Sprintf("the ledger cannot be used: %s; %s", e.Why, where)
}

// LoadLedger reads the ledger of the state directory dir into content. The error
// wraps fs.ErrNotExist when there is none, and is an *AsideError when there was
// one that cannot be used: it is then out of the way. Call it before Run, while
// nobody writes.
func LoadLedger(dir string, content any) error {
	leftovers, _ := filepath.Glob(filepath.Join(dir, "."+ledgerName+".*")) // of a kill; the pattern is a good one
	for _, path := range leftovers {
		_ = os.Remove(path)
	}
	raw, err := readLedger(dir)
	var unusable *AsideError
	if err == nil {
		if err = json.Unmarshal(raw, content); err != nil {
			unusable = &AsideError{Why: "its content is not understood: " + err.Error()}
		}
	} else if !errors.As(err, &unusable) {
		return err
	}
	if unusable == nil {
		return nil
	}
	return PutLedgerAside(dir, unusable.Why, unusable.Newer)
}

// KnownHead is the end of the journal as the ledger of dir remembers it, for
// Verify. Without a ledger it knows nothing. It changes nothing.
func KnownHead(dir string) (Head, error) {
	raw, err := readLedger(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, nil
	}
	var content struct {
		Journal Head `json:"journal"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &content)
	}
	return content.Journal, err
}

// readLedger gives the content of the ledger, proved to be what was written.
func readLedger(dir string) (json.RawMessage, error) {
	path := filepath.Join(dir, ledgerName)
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, &AsideError{Why: err.Error()}
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxLedger+1))
	if err != nil {
		return nil, &AsideError{Why: err.Error()}
	}
	if len(text) > maxLedger {
		return nil, &AsideError{Why: fmt.Sprintf("it has more than %d bytes", maxLedger)}
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, &AsideError{Why: "it is damaged: " + err.Error()}
	}
	if e.Version > ledgerVersion {
		return nil, &AsideError{Why: fmt.Sprintf("it has version %d, and this host knows version %d", e.Version, ledgerVersion), Newer: true}
	}
	var content bytes.Buffer
	if err := json.Compact(&content, e.Content); err != nil {
		return nil, &AsideError{Why: "it is damaged: " + err.Error()}
	}
	if e.Version < 1 || sum(content.Bytes()) != e.SHA256 {
		return nil, &AsideError{Why: "it is damaged: its content does not fit its checksum"}
	}
	return content.Bytes(), nil
}

// PutLedgerAside moves the ledger of dir out of the way, under a name that says
// why and when, and keeps the last 5 of them. It always returns an *AsideError.
func PutLedgerAside(dir, why string, newer bool) error {
	told := &AsideError{Why: why, Newer: newer}
	kind := "damaged"
	if newer {
		kind = "newer"
	}
	to := filepath.Join(dir, fmt.Sprintf("%s.%s-%s", ledgerName, kind, time.Now().UTC().Format("20060102t150405.000000000")))
	if err := os.Rename(filepath.Join(dir, ledgerName), to); err != nil {
		told.Why += " (" + err.Error() + ")"
		return told
	}
	told.Path = to
	aside, _ := filepath.Glob(filepath.Join(dir, ledgerName+".*-*"))
	slices.SortFunc(aside, func(a, b string) int { return strings.Compare(stamp(a), stamp(b)) })
	for _, old := range aside[:max(0, len(aside)-maxAside)] {
		_ = os.Remove(old)
	}
	return told
}

// stamp is the time in the name of a ledger that was put aside.
func stamp(path string) string { return path[strings.LastIndexByte(path, '-')+1:] }

// LedgerOptions are what a Ledger needs; all are required but Log.
type LedgerOptions struct {
	Dir string // the state directory; it exists
	// Content gives what is to be remembered now, as something that becomes JSON.
	// It is called from one goroutine at a time, and must not block.
	Content func() any
	Log     hclog.Logger
	// create makes the file that becomes the ledger; nil: a temporary file.
	create func(dir string) (ledgerFile, error)
}

type ledgerFile interface {
	io.WriteCloser
	Sync() error
	Name() string
}

// Ledger is the ledger that is being written: make it with NewLedger, run it
// with Run. It is safe for concurrent use.
type Ledger struct {
	opts LedgerOptions
	// changed has room for one sign that there is something new; a second one
	// while it waits adds nothing. asked has questions of Save, which give up when
	// Run has ended. Only Run reads them.
	changed chan struct{}
	asked   chan chan<- error
	ended   chan struct{} // closed by Run

	mu  sync.Mutex
	err string // why the last writing failed
}

// NewLedger makes a ledger that is not written yet.
func NewLedger(o LedgerOptions) *Ledger {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.create == nil {
		o.create = func(dir string) (ledgerFile, error) { return os.CreateTemp(dir, "."+ledgerName+".*") } // 0600
	}
	return &Ledger{opts: o, changed: make(chan struct{}, 1), asked: make(chan chan<- error), ended: make(chan struct{})}
}

// Write writes the ledger at once, in the caller's goroutine, and returns when it
// is safe from a power failure. Call it before Run only. An error is logged, too.
func (l *Ledger) Write() error {
	_, err := l.write(nil)
	l.note(err)
	return err
}

// Changed says that there may be something new to remember. It never blocks. It
// is written within a quarter of a second.
func (l *Ledger) Changed() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Save returns when the present content is on disk and safe from a power
// failure, or with an error that says why it is not: ctx ended, Run has ended
// (ErrEnded), or the disk refused it.
func (l *Ledger) Save(ctx context.Context) error {
	saved := make(chan error, 1)
	select {
	case l.asked <- saved:
	case <-l.ended:
		return ErrEnded
	case <-ctx.Done():
		return fmt.Errorf("wait for the ledger: %w", context.Cause(ctx))
	}
	select { // whoever takes the question answers it
	case err := <-saved:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the ledger: %w", context.Cause(ctx))
	}
}

// Trouble is why the ledger could not be written last; empty: it was.
func (l *Ledger) Trouble() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Run writes the ledger whenever it has changed, until ctx ends, and then once
// more. It may be called once. A disk that refuses is logged and tried again.
func (l *Ledger) Run(ctx context.Context) error {
	defer close(l.ended)
	var last []byte // content that is on disk
	var due <-chan time.Time
	write := func() error {
		content, err := l.write(last)
		if err == nil {
			last, due = content, nil
		} else {
			due = time.After(ledgerRetry)
		}
		l.note(err)
		return err
	}
	for {
		changed := l.changed
		if due != nil {
			changed = nil // it is written soon anyhow
		}
		select {
		case saved := <-l.asked:
			saved <- write()
		case <-changed:
			due = time.After(ledgerPace)
		case <-due:
			_ = write() // noted
		case <-ctx.Done():
			return write()
		}
	}
}

// write replaces the ledger, unless it has that content already. At every moment
// the file is either the old or the new one.
func (l *Ledger) write(last []byte) ([]byte, error) {
	content, err := json.Marshal(l.opts.Content())
	if err != nil {
		return nil, fmt.Errorf("write the ledger as JSON: %w", err)
	}
	if last != nil && bytes.Equal(content, last) {
		return last, nil
	}
	text, err := json.Marshal(envelope{ledgerVersion, time.Now().UTC(), sum(content), content})
	if err != nil {
		return nil, fmt.Errorf("write the ledger as JSON: %w", err)
	}
	f, err := l.opts.create(l.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("write the ledger: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(l.opts.Dir, ledgerName))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return nil, fmt.Errorf("write the ledger: %w", err)
	}
	return content, syncDir(l.opts.Dir)
}

// note makes visible how writing went. Only changes are logged.
func (l *Ledger) note(err error) {
	l.mu.Lock()
	was := l.err
	l.err = ""
	if err != nil {
		l.err = err.Error()
	}
	now := l.err
	l.mu.Unlock()
	switch {
	case was == "" && now != "":
		l.opts.Log.Error("the ledger cannot be written: a restart of host would forget what recovery did", "folder", l.opts.Dir, "error", now)
	case was != "" && now == "":
		l.opts.Log.Warn("the ledger is written again", "folder", l.opts.Dir)
	}
}
