package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatIsAppendedIsReadBackInOrderAndTheChainHolds(t *testing.T) {
	dir := t.TempDir()
	written(t, dir, 10, nil)
	if got, want := notes(t, dir), []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	v := sound(t, dir)
	if v.Records != 11 || v.First != 1 || v.Last != 11 || v.Segments != 1 {
		t.Errorf("verified %+v, want the header and 10 records", v)
	}
	written(t, dir, 2, nil)
	if v := sound(t, dir); v.Last != 13 {
		t.Errorf("after another run the last record is %d, want 13: a journal goes on where it ended", v.Last)
	}
}

func TestFiltersChooseByIncidentKindAndTime(t *testing.T) {
	dir := t.TempDir()
	at := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	r := run(t, dir, func(o *Options) { o.Now = at.Now })
	r.sync() // the header is there
	for i := range 6 {
		r.Append(Kind([]string{"a", "b"}[i%2]), fmt.Sprintf("inc-%d", i%3), note{N: i})
		at.pass(time.Minute)
	}
	r.sync()
	defer r.stop()
	for _, c := range []struct {
		why    string
		filter Filter
		want   int
	}{
		{"all but the header are of a or b", Filter{Kinds: []Kind{"a", "b"}}, 6},
		{"of the kind b", Filter{Kinds: []Kind{"b"}}, 3},
		{"of one incident", Filter{Incident: "inc-1"}, 2},
		{"of the last three minutes", Filter{Since: at.Now().Add(-3 * time.Minute)}, 3},
		{"of the first two, and the header", Filter{Until: at.Now().Add(-5 * time.Minute)}, 3},
		{"of another incident", Filter{Incident: "inc-9"}, 0},
	} {
		got, err := Newest(dir, c.filter, 100)
		if err != nil || len(got) != c.want {
			t.Errorf("%s: %d records, %v; want %d", c.why, len(got), err, c.want)
		}
	}
	if last, err := Newest(dir, Filter{}, 2); err != nil || len(last) != 2 || last[1].Seq != 7 || last[0].Seq != 6 {
		t.Errorf("the newest two are %+v, %v", last, err)
	}
	if none, err := Newest(filepath.Join(dir, "nowhere"), Filter{}, 5); err != nil || len(none) != 0 {
		t.Errorf("a folder that is not there has %d records, %v", len(none), err)
	}
}

func TestSegmentsAreBoundedAndTheChainHoldsOverWhatWasRemoved(t *testing.T) {
	dir := t.TempDir()
	written(t, dir, 400, small)
	v := sound(t, dir)
	if v.First == 1 || v.Removed != v.First-1 || v.Segments < 3 {
		t.Errorf("verified %+v, want old segments removed and said", v)
	}
	var total int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
		if info.Size() > 4<<10+1<<10 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %d bytes and mode %v", e.Name(), info.Size(), info.Mode())
		}
	}
	if total > 32<<10 {
		t.Errorf("all segments together have %d bytes, want at most 32 KiB", total)
	}
	if got := notes(t, dir); got[len(got)-1] != 399 {
		t.Errorf("the newest note is %d, want 399", got[len(got)-1])
	}
	written(t, dir, 50, small)
	sound(t, dir)
}

func TestOldSegmentsAreRemovedAlsoWhileNothingIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := run(t, dir, func(o *Options) { o.MaxAge = 8 * 24 * time.Hour })
		for i := range 4 {
			r.Append("note", "", note{N: i})
			r.sync()
			time.Sleep(25 * time.Hour) // virtual: one segment a day
		}
		synctest.Wait()
		if v := sound(t, dir); v.First != 1 || v.Segments != 4 {
			t.Errorf("after 4 days: %+v, want all four segments", v)
		}
		time.Sleep(30 * 24 * time.Hour)
		synctest.Wait()
		if v := sound(t, dir); v.First == 1 || v.Segments != 1 {
			t.Errorf("after a month of silence: %+v, want the active segment alone", v)
		}
		r.stop()
	})
}

func TestATornLastLineIsRepairedAndSaid(t *testing.T) {
	for name, tear := range map[string]func([]byte) []byte{
		"cut off in the middle":      func(b []byte) []byte { return b[:len(b)-40] },
		"the end of line is missing": func(b []byte) []byte { return b[:len(b)-1] },
		"zeros after it":             func(b []byte) []byte { return append(b, make([]byte, 100)...) },
		"zeros with an end of line":  func(b []byte) []byte { return append(append(b, make([]byte, 100)...), '\n') },
		"half a line after it":       func(b []byte) []byte { return append(b, `{"seq":7,"time":"2026`...) },
		"nothing but the beginning":  func([]byte) []byte { return []byte(`{"seq":1,`) },
		"nothing":                    func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			written(t, dir, 5, nil)
			path := segmentPath(dir, 1)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			torn := tear(before)
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			kept := len(notes(t, dir))
			if v := mustVerify(t, dir); v.Altered != nil {
				t.Errorf("before the repair: %v, want no accusation: a kill can do this", v.Altered)
			}
			r := run(t, dir, nil)
			r.Append("note", "", note{N: 99})
			r.sync()
			r.stop()
			v := sound(t, dir)
			if len(torn) > 0 && (v.Repaired != 1 || !strings.Contains(r.log.String(), "it is repaired")) {
				t.Errorf("verified %+v, log %q, want the repair said in both", v, r.log)
			}
			if got := notes(t, dir); len(got) != kept+1 || got[kept] != 99 {
				t.Errorf("notes %v, want the %d whole ones and the new one", got, kept)
			}
		})
	}
}

func TestSyncSaysThatTheRecordsAreOnDisk(t *testing.T) {
	dir := t.TempDir()
	var synced atomic.Int32
	r := run(t, dir, func(o *Options) {
		o.SyncEvery = time.Hour
		o.open = func(path string) (file, error) { return openWatched(path, nil, func() { synced.Add(1) }) }
	})
	r.Append("note", "", note{N: 1})
	r.sync()
	if synced.Load() == 0 {
		t.Error("Sync returned, and the file was not synced")
	}
	if s := r.State(); s.Synced != s.Head || s.Head.Seq != 2 {
		t.Errorf("state %+v, want everything synced", s)
	}
	r.stop()
	if err := r.Sync(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("Sync after the end: %v, want ErrEnded", err)
	}
}

// watched is a file that can refuse, and that tells when it is synced.
type watched struct {
	*os.File
	refuse func(n int) (int, error) // nil, or an error: nothing, or so many bytes of n are written
	synced func()
}

func openWatched(path string, refuse func(int) (int, error), synced func()) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &watched{f, refuse, synced}, nil
}

func (w *watched) Write(p []byte) (int, error) {
	if w.refuse != nil {
		if some, err := w.refuse(len(p)); err != nil {
			n, _ := w.File.Write(p[:some])
			return n, err
		}
	}
	return w.File.Write(p)
}

func (w *watched) Sync() error {
	if w.synced != nil {
		w.synced()
	}
	return w.File.Sync()
}

func TestAFullDiskCostsRecordsThatAreCountedAndSaidAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	var full atomic.Bool
	r := run(t, dir, func(o *Options) {
		o.open = func(path string) (file, error) {
			return openWatched(path, func(n int) (int, error) {
				if full.Load() {
					return n / 2, syscall.ENOSPC
				}
				return 0, nil
			}, nil)
		}
	})
	r.Append("note", "", note{N: 1})
	r.sync()
	full.Store(true)
	for i := range 3 {
		r.Append("note", "", note{N: 10 + i})
	}
	if err := r.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Sync on a full disk: %v", err)
	}
	if s := r.State(); s.Lost != 3 || s.Err == "" {
		t.Errorf("state %+v, want 3 lost records and the reason", s)
	}
	full.Store(false)
	r.Append("note", "", note{N: 2})
	r.sync()
	r.stop()
	if got := notes(t, dir); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("notes %v, want those of a disk that had room", got)
	}
	if v := sound(t, dir); v.Lost != 3 || v.Repaired != 0 {
		t.Errorf("verified %+v, want 3 lost and nothing torn", v)
	}
	for _, want := range []string{"host goes on without it", "written again"} {
		if strings.Count(r.log.String(), want) != 1 {
			t.Errorf("the log says %q %d times, want once:\n%s", want, strings.Count(r.log.String(), want), r.log)
		}
	}
}

func TestAFolderThatCannotBeMadeIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	r := run(t, dir, nil)
	r.Append("note", "", note{N: 1})
	if err := r.Sync(t.Context()); err == nil {
		t.Fatal("synced a journal that has no folder")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	r.Append("note", "", note{N: 2})
	r.sync()
	r.stop()
	if v := sound(t, dir); v.Lost != 1 || !slices.Equal(notes(t, dir), []int{2}) {
		t.Errorf("verified %+v, notes %v", v, notes(t, dir))
	}
}

func TestAppendNeverBlocksAndSaysWhatDidNotFit(t *testing.T) {
	dir := t.TempDir()
	o := DefaultOptions()
	o.Dir = dir
	j := New(o)
	for i := range queued + 5 { // nobody writes yet
		j.Append("note", "", note{N: i})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := len(notes(t, dir)); got != queued {
		t.Errorf("%d records are written, want those that fit, %d", got, queued)
	}
	if v := sound(t, dir); v.Lost != 5 {
		t.Errorf("verified %+v, want 5 lost records said", v)
	}
}

func TestARecordThatIsTooLargeIsThereWithoutItsData(t *testing.T) {
	dir := t.TempDir()
	r := run(t, dir, func(o *Options) { o.MaxRecord = 1024 })
	r.Append("note", "inc-1", note{Text: strings.Repeat("y", 5000)})
	r.Append("note", "inc-1", func() {}) // cannot be written as JSON
	r.sync()
	r.stop()
	got, err := Newest(dir, Filter{Incident: "inc-1"}, 10)
	if err != nil || len(got) != 2 || !strings.Contains(string(got[0].Data), "left_out") || !strings.Contains(string(got[1].Data), "left_out") {
		t.Errorf("%+v, %v", got, err)
	}
	sound(t, dir)
}

func TestManyAppendAtOnce(t *testing.T) {
	dir := t.TempDir()
	r := run(t, dir, nil)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				r.Append("note", "", note{N: i*50 + n})
			}
			if err := r.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	r.stop()
	if got := len(notes(t, dir)); got != 400 {
		t.Errorf("%d notes, want 400", got)
	}
	sound(t, dir)
}
