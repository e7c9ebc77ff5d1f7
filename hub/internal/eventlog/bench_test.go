package eventlog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// event200 carries the event that the hub's figures are measured with.
func event200() *Record {
	return &Record{
		Time: time.Now(), Namespace: "/", Except: []string{"J2qVbZ0hNxqPzXw3AAAB", "upkeep:probes"}, Listed: true, Kind: "hook",
		Data: fmt.Appendf(nil, `["claude_event",{"type":"hook","data":%q}]`, strings.Repeat("x", 160)),
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, bench := range []struct {
		name  string
		dir   bool
		sync  SyncPolicy
		batch int
	}{
		{"memory", false, SyncNever, 1}, {"never", true, SyncNever, 1},
		{"interval", true, SyncInterval, 1}, {"interval, 16 at once", true, SyncInterval, 16}, {"always", true, SyncAlways, 1}, {"always, 16 at once", true, SyncAlways, 16},
	} {
		b.Run(bench.name, func(b *testing.B) {
			opts := options("")
			opts.Sync = bench.sync
			if bench.dir {
				opts.Dir = b.TempDir()
			}
			l := open(b, opts)
			batch := make([]*Record, bench.batch)
			for i := range batch {
				batch[i] = event200()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += bench.batch {
				if _, err := l.Append(batch...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	opts := options(b.TempDir())
	l := open(b, opts)
	for range opts.MaxEvents {
		appendAll(b, l, event200())
	}
	l.Close()
	b.SetBytes(l.bytes)
	for b.Loop() {
		l, err := Open(opts)
		if err != nil {
			b.Fatal(err)
		}
		l.Close()
	}
}

func BenchmarkSince100(b *testing.B) {
	l := open(b, options(b.TempDir()))
	for range 50_000 {
		appendAll(b, l, event200())
	}
	last := l.Last()
	o := Offset{last.Generation, last.Sequence - 100}
	b.ReportAllocs()
	for b.Loop() {
		if got := since(b, l, o); len(got) != 100 {
			b.Fatal(len(got))
		}
	}
}

func BenchmarkNewest100Of10000(b *testing.B) {
	l := open(b, options(b.TempDir()))
	for range 50_000 {
		appendAll(b, l, event200())
	}
	b.ReportAllocs()
	for b.Loop() {
		selection := l.Select([]string{"hook"}, 100, 10_000)
		if got, err := selection.Next(1 << 20); len(got) != 100 || selection.Total != 10_000 || err != nil {
			b.Fatal(len(got), selection.Total, err)
		}
	}
}

func BenchmarkPutSession(b *testing.B) {
	l := open(b, options(b.TempDir()))
	s := Session{PID: strings.Repeat("p", 20), SID: strings.Repeat("s", 20), Namespace: "/", Rooms: map[string]uint64{strings.Repeat("s", 20): 12345}}
	b.ReportAllocs()
	for b.Loop() {
		l.PutSession(s)
	}
}
