package eventlog

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Session is what is kept of a client, to recognise it when it comes back.
type Session struct {
	// PID is the client's private id, a secret between it and the hub. SID is its
	// public one.
	PID, SID  string
	Namespace string
	// Rooms are those that the client is in, each with the sequence behind which it
	// joined: earlier events of the room are not the client's.
	Rooms map[string]uint64
	// ClosedAt is when the client was lost; zero while it is connected.
	ClosedAt time.Time
}

// compactBytes is how large the file of sessions grows before it is rewritten.
const compactBytes = 1 << 20

const sessionsFile = "sessions"

// The kinds of a session's record.
const (
	putSession = iota + 1
	dropSession
)

// sessions are those of a log. They have a lock of their own, because they change
// with connections and not with events.
type sessions struct {
	log *Log

	mu      sync.Mutex
	byPID   map[string]*Session
	file    *os.File // nil: not written, because there is no directory or the disk fails
	size    int64
	live    int64 // bytes that the sessions took in the last rewriting
	dirty   bool
	failing atomic.Pointer[string] // why there is no file; nil: there is one
	buffer  []byte
}

// PutSession keeps a session under its private id. It is written when PutSession
// returns. The session is copied. It does nothing before TakeOver and after Close.
func (l *Log) PutSession(s Session) {
	t := &l.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	if !l.owns() {
		return
	}
	l.mu.Lock()
	l.startKeeper()
	l.mu.Unlock()
	own := s
	own.Rooms = maps.Clone(s.Rooms)
	if _, known := t.byPID[s.PID]; !known && len(t.byPID) >= l.opts.MaxSessions {
		t.makeRoom(time.Now())
	}
	t.byPID[s.PID] = &own
	t.write(func(b []byte) []byte { return appendSession(b, &own) })
}

// DropSession forgets a session.
func (l *Log) DropSession(pid string) {
	t := &l.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.byPID[pid]; !known || !l.owns() {
		return
	}
	t.drop(pid)
}

// Session returns a copy of the session with a private id. A session whose client is
// gone for longer than Options.SessionAge is not known any more.
func (l *Log) Session(pid string) (Session, bool) {
	t := &l.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	s, known := t.byPID[pid]
	if !known || t.expired(s, time.Now()) {
		return Session{}, false
	}
	own := *s
	own.Rooms = maps.Clone(s.Rooms)
	return own, true
}

// owns reports whether this process may write.
func (l *Log) owns() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.generation != 0 && !l.closed
}

func (t *sessions) expired(s *Session, now time.Time) bool {
	return !s.ClosedAt.IsZero() && now.Sub(s.ClosedAt) > t.log.opts.SessionAge
}

func (t *sessions) drop(pid string) {
	delete(t.byPID, pid)
	t.write(func(b []byte) []byte { return appendDrop(b, pid) })
}

// makeRoom forgets what expired or, when nothing has, who is gone longest, or else
// anybody.
func (t *sessions) makeRoom(now time.Time) {
	t.expireLocked(now)
	if len(t.byPID) < t.log.opts.MaxSessions {
		return
	}
	var oldest *Session
	for _, s := range t.byPID {
		if oldest == nil || (!s.ClosedAt.IsZero() && (oldest.ClosedAt.IsZero() || s.ClosedAt.Before(oldest.ClosedAt))) {
			oldest = s
		}
	}
	if oldest != nil {
		t.drop(oldest.PID)
	}
}

func (t *sessions) expire(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked(now)
}

// expireLocked forgets the sessions that expired; the file says so by itself.
func (t *sessions) expireLocked(now time.Time) {
	for pid, s := range t.byPID {
		if t.expired(s, now) {
			delete(t.byPID, pid)
		}
	}
}

// write appends a record to the file, which is rewritten when it has grown.
func (t *sessions) write(record func([]byte) []byte) {
	if t.file == nil {
		return
	}
	t.buffer = record(t.buffer[:0])
	if _, err := t.file.WriteAt(t.buffer, t.size); err != nil {
		t.fail(err)
		return
	}
	t.size += int64(len(t.buffer))
	if t.log.opts.Sync == SyncAlways {
		if err := t.file.Sync(); err != nil {
			t.fail(err)
			return
		}
	} else {
		t.dirty = true
		t.log.mu.Lock()
		if !t.log.closed && t.log.opts.Sync == SyncInterval {
			t.log.wakeKeeper()
		}
		t.log.mu.Unlock()
	}
	if t.size > compactBytes && t.size > 3*t.live {
		if err := t.rewrite(); err != nil {
			t.fail(err)
		}
	}
}

// fail gives the file up: what it says would soon be wrong. An empty file takes no
// space, so that also a full disk takes it.
func (t *sessions) fail(err error) {
	if t.file != nil {
		_ = t.file.Truncate(0)
		_ = t.file.Close()
		t.file = nil
	}
	_ = os.Truncate(t.path(), 0)
	text := err.Error()
	if t.failing.Swap(&text) == nil {
		t.log.opts.Log.Error("sessions cannot be written, they are kept in memory only", "path", t.path(), "error", err)
	}
}

func (t *sessions) path() string { return filepath.Join(t.log.opts.Dir, sessionsFile) }

// rewrite replaces the file by one that has only what is known now.
func (t *sessions) rewrite() error {
	var b []byte
	for _, s := range t.byPID {
		b = appendSession(b, s)
	}
	path := t.path()
	file, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(b, 0); err == nil && t.log.opts.Sync == SyncAlways {
		err = file.Sync()
	}
	if err == nil {
		err = replaceFile(path, file, &t.file)
	}
	if err != nil {
		_ = file.Close()
		_ = os.Remove(path + ".new")
		return err
	}
	t.size, t.live, t.dirty = int64(len(b)), int64(len(b)), true
	return nil
}

// retry writes the sessions down again after the disk failed.
func (t *sessions) retry(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failing.Load() == nil {
		return
	}
	t.expireLocked(now)
	if t.rewrite() != nil {
		return
	}
	t.failing.Store(nil)
	t.log.opts.Log.Info("sessions can be written again", "path", t.path())
}

// load reads what the last writer wrote, whatever became of it. Its clients are gone
// since now.
func (t *sessions) load(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log.opts.Dir == "" {
		return
	}
	content, err := os.ReadFile(t.path())
	if err != nil && !os.IsNotExist(err) {
		t.log.opts.Log.Warn("the sessions cannot be read, clients begin anew", "path", t.path(), "error", err)
	}
	for len(content) > 0 {
		body, size, err := nextFrame(content)
		if err == nil {
			err = t.apply(body)
		}
		if err != nil {
			t.log.opts.Log.Warn("the end of the file of sessions was not written whole, is cut off",
				"path", t.path(), "bytes", len(content), "checksum_failed", !isShort(content))
			if !isShort(content) { // what followed may have changed what came before
				clear(t.byPID)
			}
			break
		}
		content = content[size:]
	}
	for _, s := range t.byPID {
		if s.ClosedAt.IsZero() || s.ClosedAt.After(now) {
			s.ClosedAt = now
		}
	}
	t.expireLocked(now)
	for len(t.byPID) > t.log.opts.MaxSessions {
		for _, s := range slices.SortedFunc(maps.Values(t.byPID), func(a, b *Session) int { return a.ClosedAt.Compare(b.ClosedAt) })[:len(t.byPID)-t.log.opts.MaxSessions] {
			delete(t.byPID, s.PID)
		}
	}
	if err := t.rewrite(); err != nil {
		t.fail(err)
	}
}

func (t *sessions) apply(body []byte) error {
	d := decoder{rest: body}
	switch d.byte() {
	case putSession:
		s := &Session{PID: d.text(), SID: d.text(), Namespace: d.text()}
		if closed := d.uint64(); closed != 0 {
			s.ClosedAt = time.UnixMilli(int64(closed))
		}
		n := d.count()
		s.Rooms = make(map[string]uint64, n)
		for range n {
			room := d.text()
			s.Rooms[room] = d.uvarint()
		}
		if err := d.end(); err != nil {
			return err
		}
		t.byPID[s.PID] = s
		return nil
	case dropSession:
		pid := d.text()
		if err := d.end(); err != nil {
			return err
		}
		delete(t.byPID, pid)
		return nil
	}
	return errBroken
}

func (t *sessions) sync() {
	t.mu.Lock()
	file := t.file
	dirty := t.dirty
	t.dirty = false
	t.mu.Unlock()
	if file != nil && dirty {
		_ = file.Sync() // a loss shows when the file is read
	}
}

func (t *sessions) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		if t.dirty && t.log.opts.Sync != SyncNever {
			_ = t.file.Sync()
		}
		_ = t.file.Close()
		t.file = nil
	}
}

func (t *sessions) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byPID)
}

func appendSession(b []byte, s *Session) []byte {
	start := len(b)
	b = append(b, make([]byte, frameBytes)...)
	b = append(b, putSession)
	b = appendText(b, s.PID)
	b = appendText(b, s.SID)
	b = appendText(b, s.Namespace)
	var closed uint64
	if !s.ClosedAt.IsZero() {
		closed = uint64(s.ClosedAt.UnixMilli())
	}
	b = binary.BigEndian.AppendUint64(b, closed)
	b = binary.AppendUvarint(b, uint64(len(s.Rooms)))
	for room, since := range s.Rooms {
		b = appendText(b, room)
		b = binary.AppendUvarint(b, since)
	}
	return sealFrame(b, start)
}

func appendDrop(b []byte, pid string) []byte {
	start := len(b)
	b = append(b, make([]byte, frameBytes)...)
	b = append(b, dropSession)
	b = appendText(b, pid)
	return sealFrame(b, start)
}
