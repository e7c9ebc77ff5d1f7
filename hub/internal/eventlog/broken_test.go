package eventlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var maphashSeed = maphash.MakeSeed()

// filled is a closed log of ten events and the offsets behind them, with the
// position of the sixth record.
func filled(t *testing.T) (dir string, offsets []Offset, sixth int64) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, options(dir))
	offsets = append(offsets, l.Last())
	for n := 1; n <= 10; n++ {
		if n == 6 {
			sixth = l.segments[0].size
		}
		offsets = append(offsets, appendAll(t, l, numbered(n)))
	}
	l.Close()
	return dir, offsets, sixth
}

func TestATailThatWasNotWrittenWholeIsCutOffAndNothingElseIsLost(t *testing.T) {
	for cut := int64(1); cut < 60; cut += 7 {
		dir, offsets, sixth := filled(t)
		edit(t, segmentPath(t, dir), func(b []byte) []byte { return b[:sixth+cut] })
		text := &logText{}
		opts := options(dir)
		opts.Log = text.logger()
		l := open(t, opts)
		state := l.State()
		if state.Cut != cut || !strings.Contains(text.String(), "is cut off") || state.Last.Sequence != 5 {
			t.Fatalf("cut %d bytes: %+v, reported: %s", cut, state, text)
		}
		appendAll(t, l, numbered(6))
		// A writer that dies in mid-write has not delivered the event, so what came
		// before is whole; what was given out behind it never existed.
		if got := since(t, l, offsets[2]); !slices.Equal(got, want(3, 6)) {
			t.Errorf("after the second event: %v", got)
		}
		if err := l.Knows(offsets[6]); !errors.Is(err, ErrUnknownOffset) {
			t.Errorf("an offset behind the cut: %v, want ErrUnknownOffset", err)
		}
	}
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestBehindACorruptRecordNothingIsTrusted(t *testing.T) {
	changes := map[string]func(b []byte, at int64) []byte{
		"a flipped bit":     func(b []byte, at int64) []byte { b[at+20] ^= 1; return b },
		"zeros":             func(b []byte, at int64) []byte { clear(b[at:]); return b },
		"a record is gone":  func(b []byte, at int64) []byte { return append(b[:at:at], b[at+int64(recordSize(b[at:])):]...) },
		"the same twice":    func(b []byte, at int64) []byte { return slices.Concat(b[:at+int64(recordSize(b[at:]))], b[at:]) },
		"a length of zero":  func(b []byte, at int64) []byte { clear(b[at : at+4]); return b },
		"a body with extra": func(b []byte, at int64) []byte { return grown(b, at) },
	}
	for why, change := range changes {
		t.Run(why, func(t *testing.T) {
			dir, offsets, sixth := filled(t)
			edit(t, segmentPath(t, dir), func(b []byte) []byte { return change(b, sixth) })
			text := &logText{}
			opts := options(dir)
			opts.Log = text.logger()
			l := open(t, opts)
			if s := l.State(); s.Cut == 0 || s.Last.Sequence > 6 || !strings.Contains(text.String(), "checksum_failed=true") {
				t.Errorf("%+v, reported: %s", s, text)
			}
			last := appendAll(t, l, numbered(99))
			for i, o := range offsets {
				if err := l.Knows(o); !errors.Is(err, ErrUnknownOffset) {
					t.Errorf("offset %d: %v, want ErrUnknownOffset: something that followed it is lost", i, err)
				}
			}
			if records, err := l.Select(nil, 100, 100).Next(1 << 20); err != nil || len(records) < 6 {
				t.Errorf("the history has %d events (%v), want what came before the damage and after", len(records), err)
			}
			if got := since(t, l, Offset{last.Generation, last.Sequence - 1}); len(got) != 1 {
				t.Errorf("the new generation has %v", got)
			}
		})
	}
}

func recordSize(b []byte) int {
	_, size, err := nextFrame(b)
	if err != nil {
		panic(err)
	}
	return size
}

// grown gives the record at at a body that is valid but longer than what it says.
func grown(b []byte, at int64) []byte {
	record := slices.Clone(b[at : at+int64(recordSize(b[at:]))])
	record = append(record, 0)
	record[len(record)-2] = 0xff // the count of attachments goes on
	binary.BigEndian.PutUint64(record[8:], 99)
	return slices.Concat(b[:at], sealFrame(record, 0), b[at:])
}

func TestASegmentInTheMiddleThatIsGoneIsAGapAndNotAHole(t *testing.T) {
	opts := options(t.TempDir())
	opts.MaxEvents = 80
	l := open(t, opts)
	var offsets []Offset
	for n := 1; n <= 40; n++ {
		offsets = append(offsets, appendAll(t, l, numbered(n)))
	}
	l.Close()
	names := segments(t, opts.Dir)
	if err := os.Remove(names[1]); err != nil { // events 11 to 20
		t.Fatal(err)
	}
	l = open(t, opts)
	for i, o := range offsets {
		n, err := i+1, l.Knows(o)
		if known := err == nil; known != (n >= 20) {
			t.Errorf("after event %d: %v; events 11 to 20 are gone", n, err)
		}
	}
	if got := since(t, l, offsets[19]); !slices.Equal(got, want(21, 40)) {
		t.Errorf("after event 20: %v", got)
	}
}

func TestAFileThatIsNoSegmentIsNoTrouble(t *testing.T) {
	dir, offsets, _ := filled(t)
	name := segmentPath(t, dir)
	other := filepath.Join(dir, segmentName(500, 1))
	edit(t, name, func(b []byte) []byte { return b })
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{
		filepath.Join(dir, "notes.txt"):                []byte("hello"),
		filepath.Join(dir, "zz"+segmentSuffix):         []byte("hello"),
		filepath.Join(dir, segmentName(400, 1)):        []byte("too short"),
		filepath.Join(dir, segmentName(450, 1)):        make([]byte, 4096),
		other:                                          content, // says another name inside
		filepath.Join(dir, segmentName(600, 1)) + "~x": content,
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, segmentName(700, 1)), 0o700); err != nil {
		t.Fatal(err)
	}
	l := open(t, options(dir))
	if got := since(t, l, offsets[3]); !slices.Equal(got, want(4, 10)) {
		t.Errorf("after the third event: %v", got)
	}
	if got := appendAll(t, l, numbered(11)); got.Sequence != 11 {
		t.Errorf("the next event is %v, want the 11th", got)
	}
}

func TestAnotherRunOfTheMachineIsOnlyTrustedWithWhatWasSynced(t *testing.T) {
	otherBoot := func(t *testing.T, dir string, closed bool) {
		edit(t, segmentPath(t, dir), func(b []byte) []byte {
			b[33] ^= 0xff
			binary.BigEndian.PutUint32(b[checksumAt:], crc32.Checksum(b[:flagsAt], castagnoli))
			if !closed {
				b[flagsAt] &^= flagClosed
			}
			return b
		})
	}
	tests := []struct {
		name   string
		sync   SyncPolicy
		closed bool
		known  bool
	}{
		{"closed in order", SyncInterval, true, true},
		{"the power failed", SyncInterval, false, false},
		{"the power failed, but each event was synced", SyncAlways, false, true},
		{"the power failed, nothing was ever synced", SyncNever, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := options(t.TempDir())
			opts.Sync = test.sync
			l := open(t, opts)
			offset := appendAll(t, l, numbered(1))
			l.Close()
			otherBoot(t, opts.Dir, test.closed)
			err := open(t, opts).Knows(offset)
			if known := err == nil; known != test.known {
				t.Errorf("the last offset before: %v, want known to be %v", err, test.known)
			}
		})
	}
}

func TestABrokenFileOfSessionsCostsRecoveryAndNothingElse(t *testing.T) {
	for why, test := range map[string]struct {
		change func(b []byte) []byte
		kept   int
	}{
		"cut":     {func(b []byte) []byte { return b[:len(b)-3] }, 2},
		"flipped": {func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, 0},
		"empty":   {func(b []byte) []byte { return nil }, 0},
		"text":    {func(b []byte) []byte { return []byte("this is no file of sessions") }, 0},
	} {
		t.Run(why, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, options(dir))
			for _, pid := range []string{"aaaa", "bbbb", "cccc"} {
				l.PutSession(Session{PID: pid, SID: pid, Namespace: "/"})
			}
			l.Close()
			edit(t, filepath.Join(dir, sessionsFile), test.change)
			next := open(t, options(dir))
			if n := next.State().Sessions; n != test.kept {
				t.Errorf("%d sessions are kept, want %d", n, test.kept)
			}
			next.PutSession(Session{PID: "dddd"})
			next.Close()
			if n := open(t, options(dir)).State().Sessions; n != test.kept+1 {
				t.Errorf("%d sessions after the next start, want %d", n, test.kept+1)
			}
		})
	}
}

func FuzzScan(f *testing.F) {
	var good []byte
	for n := 1; n <= 3; n++ {
		r := numbered(n)
		r.Sequence = uint64(n)
		r.Rooms, r.Attachments = []string{"a", "b"}, [][]byte{{1, 2}}
		good = appendRecord(good, r)
	}
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add(append([]byte{0, 0, 0, 0}, good...))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0})
	// A body is tried with its checksum too, else hardly anything gets past that.
	f.Fuzz(func(t *testing.T, content []byte) {
		framed := sealFrame(append(make([]byte, frameBytes), content...), 0)
		if body, _, err := nextFrame(framed); len(content) > 0 && (err != nil || string(body) != string(content)) {
			t.Fatalf("a whole record is broken: %v", err)
		}
		if r, err := decodeRecord(content); err == nil {
			again, _, err := nextFrame(appendRecord(nil, &r))
			if err != nil {
				t.Fatalf("%v cannot be written again: %v", r, err)
			}
			if back, err := decodeRecord(again); err != nil || back.Sequence != r.Sequence || string(back.Data) != string(r.Data) {
				t.Fatalf("%v became %v (%v)", r, back, err)
			}
		}
		_, _ = summarize(content)
		_ = (&sessions{byPID: map[string]*Session{}}).apply(content)

		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		s := &segment{base: 1, generation: 1, file: file}
		if _, err := file.Write(append(s.header(), content...)); err != nil {
			t.Fatal(err)
		}
		tail, err := s.scan(maphashSeed)
		if err != nil {
			t.Fatal(err)
		}
		if s.size+tail.bytes != int64(headerBytes+len(content)) {
			t.Fatalf("%d bytes are good and %d broken, of %d", s.size, tail.bytes, headerBytes+len(content))
		}
		v := s.from(1)
		n := 0
		if _, err := v.each(0, len(v.index), func(r *Record) bool {
			n++
			return r.Sequence == uint64(n)
		}); err != nil && !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
	})
}
