package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestARecordReadsBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, 40)
		r := Record{
			Sequence: rapid.Uint64().Draw(t, "sequence"), Time: time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "time")),
			Namespace: text.Draw(t, "namespace"), Listed: rapid.Bool().Draw(t, "listed"), Kind: text.Draw(t, "kind"),
			Data: []byte(text.Draw(t, "data")),
		}
		for range rapid.IntRange(0, 3).Draw(t, "rooms") {
			r.Rooms = append(r.Rooms, text.Draw(t, "room"))
			r.Except = append(r.Except, text.Draw(t, "except"))
			r.Attachments = append(r.Attachments, []byte(text.Draw(t, "attachment")))
		}
		framed := appendRecord([]byte("before"), &r)[len("before"):]
		body, size, err := nextFrame(append(framed, "behind"...))
		if err != nil || size != len(framed) {
			t.Fatalf("frame: %d of %d bytes, %v", size, len(framed), err)
		}
		got, err := decodeRecord(body)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(r) {
			t.Fatalf("got %v (%v), want %v", got, err, r)
		}
		sum, err := summarize(body)
		if err != nil || sum.sequence != r.Sequence || sum.millis != r.Time.UnixMilli() || sum.listed != r.Listed || string(sum.kind) != r.Kind {
			t.Errorf("summary %+v (%v) of %v", sum, err, r)
		}
	})
}

func TestAnOffsetReadsBackAndNothingElseIsOne(t *testing.T) {
	for _, o := range []Offset{{}, {1, 2}, {math.MaxUint64, math.MaxUint64}} {
		if got, err := ParseOffset(o.String()); got != o || err != nil {
			t.Errorf("%v reads back as %v (%v)", o, got, err)
		}
	}
	for _, text := range []string{"", "-", "1", "1-", "-1", "1-2-3", "01-1", "1-A", "+1-1", "1-99999999999999999999", "ä-1"} {
		if o, err := ParseOffset(text); !errors.Is(err, ErrUnknownOffset) {
			t.Errorf("%q is the offset %v (%v)", text, o, err)
		}
	}
}

func TestEverythingAfterAnOffsetIsReadInOrderAlsoByTheNextProcess(t *testing.T) {
	dir := t.TempDir()
	l := open(t, options(dir))
	var offsets []Offset
	offsets = append(offsets, l.Last())
	for n := 1; n <= 10; n++ {
		offsets = append(offsets, appendAll(t, l, numbered(n)))
	}
	check := func(l *Log, last int) {
		t.Helper()
		for i, o := range offsets {
			if got := since(t, l, o); !slices.Equal(got, want(i+1, last)) {
				t.Fatalf("after %v: %s, want events %d to %d", o, got, i+1, last)
			}
		}
	}
	check(l, 10)
	l.Close()
	next := open(t, options(dir))
	check(next, 10)
	appendAll(t, next, numbered(11), numbered(12))
	check(next, 12)
	if _, err := l.Append(numbered(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed log takes an event: %v", err)
	}
}

func TestAnOffsetThatTheLogDidNotGiveIsUnknown(t *testing.T) {
	l := open(t, options(t.TempDir()))
	last := appendAll(t, l, numbered(1), numbered(2))
	for why, o := range map[string]Offset{
		"the future":                    {last.Generation, 3},
		"the far future":                {last.Generation, math.MaxUint64},
		"another generation":            {last.Generation + 1, 1},
		"generation zero":               {0, 1},
		"an older, unknown generation":  {last.Generation - 1, 1},
		"the future of another process": {last.Generation - 1, 3},
	} {
		if err := l.Since(o, func(*Record, Offset) bool { t.Errorf("%s: an event", why); return false }); !errors.Is(err, ErrUnknownOffset) {
			t.Errorf("%s: %v, want ErrUnknownOffset", why, err)
		}
	}
}

func TestTheBoundsAreKeptByWholeSegments(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		ok     func(State) bool
	}{
		{"events", func(o *Options) { o.MaxEvents = 80 }, func(s State) bool { return s.Events <= 80 && s.Events >= 70 }},
		{"bytes", func(o *Options) { o.MaxBytes = 64 << 10 }, func(s State) bool { return s.Bytes <= 64<<10 && s.Bytes >= 50<<10 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := options(t.TempDir())
			test.change(&opts)
			l := open(t, opts)
			first := l.Last()
			var last Offset
			for n := range 4000 {
				last = appendAll(t, l, numbered(n))
			}
			state := l.State()
			if !test.ok(state) {
				t.Errorf("kept %+v", state)
			}
			if err := l.Knows(first); !errors.Is(err, ErrUnknownOffset) {
				t.Errorf("the first offset: %v, want ErrUnknownOffset", err)
			}
			oldest := Offset{last.Generation, last.Sequence - uint64(state.Events)}
			if got := len(since(t, l, oldest)); got != state.Events {
				t.Errorf("%d events can be read, want %d", got, state.Events)
			}
			files, _ := filepath.Glob(filepath.Join(opts.Dir, "*"+segmentSuffix))
			if len(files) != state.Segments {
				t.Errorf("%d files for %d segments", len(files), state.Segments)
			}
		})
	}
}

func TestEventsThatAreTooOldAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := options(t.TempDir())
		opts.MaxAge = 80 * time.Second
		l := open(t, opts)
		for range 20 {
			r := numbered(1)
			r.Time = time.Now()
			appendAll(t, l, r)
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		if s := l.State(); s.Events < 7 || s.Events > 10 {
			t.Errorf("%d events are kept, want those of 80 to 100 s", s.Events)
		}
		time.Sleep(2 * time.Minute) // and nothing is appended
		synctest.Wait()
		if s := l.State(); s.Events != 0 {
			t.Errorf("%d events are kept of a log that nobody writes", s.Events)
		}
		l.Close()
	})
}

func TestTheHistoryIsTheNewestOfTheWantedKinds(t *testing.T) {
	l := open(t, options(t.TempDir()))
	for n := 1; n <= 30; n++ {
		r := numbered(n)
		if n%10 == 0 { // not for the history
			r.Listed = false
		}
		appendAll(t, l, r)
	}
	tests := []struct {
		kinds         []string
		limit, within int
		bytes         int64
		want          []int
		total         int
	}{
		{nil, 3, 100, 1 << 20, []int{27, 28, 29}, 27},
		{[]string{"k0"}, 2, 100, 1 << 20, []int{24, 27}, 9},
		{[]string{"k0", "k1"}, 3, 100, 1 << 20, []int{25, 27, 28}, 18},
		{[]string{"k0"}, 5, 4, 1 << 20, []int{27}, 1},
		{nil, 0, 100, 1 << 20, []int{}, 27},
		{nil, -1, 100, 1 << 20, []int{}, 27},
		{nil, 100, 2, 1 << 20, []int{28, 29}, 2},
		{nil, 100, 100, 1, []int{29}, 27},
		{nil, 100, 100, 150, []int{28, 29}, 27},
		{[]string{"none"}, 5, 100, 1 << 20, []int{}, 0},
	}
	for _, test := range tests {
		selection := l.Select(test.kinds, test.limit, test.within)
		selection.Newest(test.bytes)
		got := []int{}
		for page := 0; page == 0 || selection.More(); page++ {
			records, err := selection.Next(150) // two at a time
			if err != nil || len(records) > 2 {
				t.Fatalf("%+v: a page of %d (%v)", test, len(records), err)
			}
			for _, r := range records {
				got = append(got, int(r.Sequence))
			}
		}
		if !slices.Equal(got, test.want) || selection.Total != test.total {
			t.Errorf("%+v: got %v of %d", test, got, selection.Total)
		}
	}
	if n := l.Listed(100); n != 27 {
		t.Errorf("%d events are listed, want 27", n)
	}
	if n := l.Listed(5); n != 5 {
		t.Errorf("%d of the newest five are listed", n)
	}
}

func TestWhatIsDroppedWhileItIsReadIsLeftOut(t *testing.T) {
	opts := options(t.TempDir())
	opts.MaxEvents = 80
	l := open(t, opts)
	for n := 1; n <= 80; n++ {
		appendAll(t, l, numbered(n))
	}
	selection := l.Select(nil, 80, 80)
	for n := 81; n <= 120; n++ {
		appendAll(t, l, numbered(n))
	}
	records, err := selection.Next(1 << 20)
	if err != nil || len(records) < 30 || records[len(records)-1].Sequence != 80 {
		t.Errorf("%d events (%v), want those of 1 to 80 that are left", len(records), err)
	}
}

// The model is a list of all events that were ever appended.
func TestALogFollowsItsModelThroughRestarts(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		opts := options(dir)
		opts.MaxEvents = rapid.IntRange(8, 60).Draw(t, "max events")
		if rapid.Bool().Draw(t, "memory only") {
			opts.Dir = ""
		}
		start := func() *Log {
			l, err := Open(opts)
			if err == nil {
				err = l.TakeOver(context.Background())
			}
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := start()
		defer func() { l.Close() }()
		offsets := []Offset{l.Last()} // by sequence
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step < 7:
				var batch []*Record
				for range rapid.IntRange(1, 4).Draw(t, "batch") {
					batch = append(batch, numbered(len(offsets)+len(batch)))
				}
				last, err := l.Append(batch...)
				if err != nil {
					t.Fatal(err)
				}
				for i := range batch {
					offsets = append(offsets, Offset{last.Generation, last.Sequence - uint64(len(batch)-1-i)})
				}
			case step == 7 && opts.Dir != "":
				l.Close()
				l = start()
			}
			state := l.State()
			if state.Events > opts.MaxEvents && state.Segments > 1 {
				t.Fatalf("%d events are kept, the bound is %d", state.Events, opts.MaxEvents)
			}
			i := rapid.IntRange(0, len(offsets)-1).Draw(t, "offset")
			var got []string
			err := l.Since(offsets[i], func(r *Record, _ Offset) bool { got = append(got, string(r.Data)); return true })
			// Of the writer that gave the offset out something has to be left.
			vouched := slices.ContainsFunc(l.segments, func(s *segment) bool { return s.generation == offsets[i].Generation })
			kept := len(offsets)-1-i <= state.Events && vouched
			if kept && (err != nil || !slices.Equal(got, want(i+1, len(offsets)-1))) && len(got)+len(want(i+1, len(offsets)-1)) > 0 {
				t.Fatalf("after %v: %v (%v), want events %d to %d", offsets[i], got, err, i+1, len(offsets)-1)
			}
			if !kept && !errors.Is(err, ErrUnknownOffset) {
				t.Fatalf("after %v, which is not kept: %v", offsets[i], err)
			}
		}
	})
}

func TestOnlyOneProcessWritesAndTheNextWaitsForIt(t *testing.T) {
	dir := t.TempDir()
	old := open(t, options(dir))
	offset := appendAll(t, old, numbered(1))
	next, err := Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if got := since(t, next, Offset{offset.Generation, 0}); !slices.Equal(got, want(1, 1)) {
		t.Errorf("beside the writer %v can be read, want what it has written", got)
	}
	if _, err := next.Append(numbered(9)); !errors.Is(err, ErrClosed) {
		t.Errorf("a log that was not taken over takes an event: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := next.TakeOver(ctx); !errors.Is(err, ErrInUse) {
		t.Fatalf("taken over from a live writer: %v", err)
	}
	offset = appendAll(t, old, numbered(2)) // which the next one has not read
	taken := make(chan error, 1)
	go func() { taken <- next.TakeOver(context.Background()) }()
	old.Close()
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	if got := appendAll(t, next, numbered(3)); got.Sequence != 3 || got.Generation <= offset.Generation {
		t.Errorf("the next writer begins with %v after %v", got, offset)
	}
	if got := since(t, next, Offset{offset.Generation, 1}); !slices.Equal(got, want(2, 3)) {
		t.Errorf("after the first event: %v, want the second, of the old writer, and the third", got)
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, options(dir))
	appendAll(t, l, numbered(1))
	l.PutSession(Session{PID: "secret", SID: "s", Namespace: "/"})
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
		names = append(names, e.Name())
	}
	if len(names) != 3 {
		t.Errorf("files %v, want a segment, sessions and the lock", names)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, want 0700", info.Mode())
	}
}

func TestOptionsThatAreWrongAreAllNamed(t *testing.T) {
	_, err := Open(Options{Sync: "sometimes"})
	for _, name := range []string{"MaxEvents", "MaxBytes", "MaxAge", "Sync is sometimes", "SessionAge", "MaxSessions"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if _, err := Open(options(filepath.Join("/dev/null", "log"))); err == nil {
		t.Error("a directory that cannot be made is none")
	}
}

func TestASessionIsKnownToTheNextProcessAsItWasLast(t *testing.T) {
	dir := t.TempDir()
	l := open(t, options(dir))
	a := Session{PID: "a", SID: "1", Namespace: "/", Rooms: map[string]uint64{"1": 0, "x": 7}}
	l.PutSession(Session{PID: "a", SID: "1", Namespace: "/"})
	l.PutSession(a)
	l.PutSession(Session{PID: "b", SID: "2", Namespace: "/"})
	l.PutSession(Session{PID: "old", SID: "3", Namespace: "/", ClosedAt: time.Now().Add(-time.Hour)})
	l.DropSession("b")
	if got, ok := l.Session("a"); !ok || !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, want %+v", got, a)
	}
	l.Close()
	next := open(t, options(dir))
	got, ok := next.Session("a")
	if !ok || got.ClosedAt.IsZero() {
		t.Fatalf("the session is %+v (%v) after its process ended, want it closed", got, ok)
	}
	if got.ClosedAt = a.ClosedAt; !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, want %+v", got, a)
	}
	for _, pid := range []string{"b", "old", ""} {
		if s, ok := next.Session(pid); ok {
			t.Errorf("%q is %+v, want nothing", pid, s)
		}
	}
	if n := next.State().Sessions; n != 1 {
		t.Errorf("%d sessions are kept, want 1", n)
	}
}

func TestSessionsAreBoundedAndTheirFileToo(t *testing.T) {
	opts := options(t.TempDir())
	opts.MaxSessions = 50
	l := open(t, opts)
	now := time.Now()
	for i := range 20_000 {
		s := Session{PID: fmt.Sprint("p", i), SID: fmt.Sprint("s", i), Namespace: "/", Rooms: map[string]uint64{fmt.Sprint("s", i): uint64(i)}}
		if i%2 == 0 {
			s.ClosedAt = now.Add(-time.Minute + time.Duration(i)*time.Millisecond)
		}
		l.PutSession(s)
	}
	if n := l.State().Sessions; n != 50 {
		t.Errorf("%d sessions are kept, want 50", n)
	}
	if _, ok := l.Session("p19999"); !ok {
		t.Error("the newest session is not kept")
	}
	info, err := os.Stat(filepath.Join(opts.Dir, sessionsFile))
	if err != nil || info.Size() > compactBytes+4096 {
		t.Errorf("the file has %d bytes (%v)", info.Size(), err)
	}
	l.Close()
	if n := open(t, opts).State().Sessions; n != 50 {
		t.Errorf("%d sessions are read back, want 50", n)
	}
}

func TestASessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, options(t.TempDir()))
		l.PutSession(Session{PID: "gone", ClosedAt: time.Now()})
		l.PutSession(Session{PID: "here"})
		time.Sleep(2*time.Minute + time.Millisecond)
		if _, ok := l.Session("gone"); ok {
			t.Error("a session is known after its time")
		}
		if _, ok := l.Session("here"); !ok {
			t.Error("the session of a client that is here has expired")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := l.State().Sessions; n != 1 {
			t.Errorf("%d sessions are kept, want 1", n)
		}
		l.Close()
	})
}
