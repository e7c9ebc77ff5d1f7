package child

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	// firstLineLimit cuts the raw first line; a go-plugin handshake with a
	// certificate in it is about 1 KiB.
	firstLineLimit = 8 << 10
	tailLineLimit  = 1 << 10
)

// Sanitise makes a line from a stranger fit for a log and a terminal: what is
// neither a graphic character nor a tab is escaped as Go would (\x1b, \u202e),
// as is every byte that is not UTF-8 (\xff). The rest, backslashes included,
// stays as it is, so text and JSON remain readable.
func Sanitise(line []byte) string {
	clean := true
	for _, c := range line {
		if (c < 0x20 && c != '\t') || c >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return string(line)
	}
	var b strings.Builder
	b.Grow(len(line) + 16)
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, line[0])
		case r == '\t' || unicode.IsGraphic(r):
			b.Write(line[:size])
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		line = line[size:]
	}
	return b.String()
}

// firstLine is the reader behind Process.FirstStdout: one line, then silence,
// then EOF. It holds what the child wrote, so nobody has to read it.
type firstLine struct {
	mu     sync.Mutex
	change sync.Cond // broadcast after every change below
	rest   []byte    // of the line, not yet read
	taken  bool      // the line has come
	ended  bool      // the output ended, or the reader closed
}

func newFirstLine() *firstLine {
	f := &firstLine{}
	f.change.L = &f.mu
	return f
}

// wants says whether the next line is the first one. A nil firstLine wants none.
func (f *firstLine) wants() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.taken
}

func (f *firstLine) set(line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken = true
	f.rest = append(append(f.rest, line...), '\n')
	f.change.Broadcast()
}

func (f *firstLine) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.change.Broadcast()
}

// Read implements io.Reader.
func (f *firstLine) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.rest) == 0 {
		if f.ended {
			return 0, io.EOF
		}
		f.change.Wait()
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Close makes pending and later reads return what is left and then io.EOF.
func (f *firstLine) Close() error {
	f.finish()
	return nil
}

// tail keeps the last lines of a stream. It is written by the stream's
// goroutine and read by the reaper.
type tail struct {
	mu   sync.Mutex
	ring [][]byte // reused, so that a flood allocates nothing
	next int
	full bool
}

func newTail(lines int) *tail { return &tail{ring: make([][]byte, lines)} }

// add keeps the line, unless it is empty.
func (t *tail) add(line []byte) {
	if len(line) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ring[t.next] = append(t.ring[t.next][:0], line[:min(len(line), tailLineLimit)]...)
	t.next++
	if t.next == len(t.ring) {
		t.next, t.full = 0, true
	}
}

// lines gives the kept lines, oldest first, sanitised.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var raw [][]byte
	if t.full {
		raw = append(raw, t.ring[t.next:]...)
	}
	raw = append(raw, t.ring[:t.next]...)
	out := make([]string, len(raw))
	for i, line := range raw {
		out[i] = Sanitise(line)
	}
	return out
}
