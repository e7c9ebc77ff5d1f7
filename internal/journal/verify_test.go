package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// lines of a segment, without ends.
func lines(t *testing.T, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

func rewrite(t *testing.T, path string, all [][]byte) {
	t.Helper()
	if err := os.WriteFile(path, append(bytes.Join(all, []byte("\n")), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rehashed is a record that somebody changed who knows how hashes are made.
func rehashed(t *testing.T, line []byte, change func(*Record)) []byte {
	t.Helper()
	r, err := parse(line)
	if err != nil {
		t.Fatal(err)
	}
	change(&r)
	out, err := r.line()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVerifyNamesTheFirstRecordThatWasAltered(t *testing.T) {
	for _, c := range []struct {
		why   string
		alter func(t *testing.T, all [][]byte) [][]byte
		seq   uint64
		says  string
	}{
		{"a word is another", func(t *testing.T, all [][]byte) [][]byte {
			all[4] = bytes.Replace(all[4], []byte(`"n":3`), []byte(`"n":7`), 1)
			return all
		}, 5, "does not fit its hash"},
		{"a word of the last record is another", func(t *testing.T, all [][]byte) [][]byte {
			all[10] = bytes.Replace(all[10], []byte(`"n":9`), []byte(`"n":7`), 1)
			return all
		}, 11, "does not fit its hash"},
		{"its hash was made anew, too", func(t *testing.T, all [][]byte) [][]byte {
			all[4] = rehashed(t, all[4], func(r *Record) { r.Incident = "inc-7" })
			return all
		}, 5, "exchanged"},
		{"one is missing", func(t *testing.T, all [][]byte) [][]byte { return append(all[:4:4], all[5:]...) }, 5, "missing"},
		{"three are missing", func(t *testing.T, all [][]byte) [][]byte { return append(all[:4:4], all[7:]...) }, 5, "up to record 7"},
		{"one is there twice", func(t *testing.T, all [][]byte) [][]byte { return append(all[:5:5], all[4:]...) }, 5, "put in"},
		{"two changed places", func(t *testing.T, all [][]byte) [][]byte {
			all[4], all[5] = all[5], all[4]
			return all
		}, 5, "missing"},
		{"a line is no record", func(t *testing.T, all [][]byte) [][]byte {
			all[4] = []byte("nothing to see here")
			return all
		}, 5, "no record"},
		{"the beginning is missing", func(t *testing.T, all [][]byte) [][]byte { return all[3:] }, 3, "no record says that they were removed"},
		{"the first record is altered", func(t *testing.T, all [][]byte) [][]byte {
			all[0] = bytes.Replace(all[0], []byte(`"version":1`), []byte(`"version":2`), 1)
			return all
		}, 1, "does not fit its hash"},
	} {
		t.Run(c.why, func(t *testing.T) {
			dir := t.TempDir()
			written(t, dir, 10, nil)
			path := segmentPath(dir, 1)
			rewrite(t, path, c.alter(t, lines(t, path)))
			v := mustVerify(t, dir)
			if v.Altered == nil || v.Altered.Seq != c.seq || !strings.Contains(v.Altered.Error(), c.says) || v.Altered.Segment == "" {
				t.Errorf("%v, want record %d named, and %q", v.Altered, c.seq, c.says)
			}
		})
	}
}

func TestVerifyNamesASegmentThatWasTakenOut(t *testing.T) {
	dir := t.TempDir()
	written(t, dir, 400, small)
	numbers, err := segments(dir)
	if err != nil || len(numbers) < 4 {
		t.Fatal(numbers, err)
	}
	first, _, err := lastOf(dir, numbers[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(segmentPath(dir, numbers[2])); err != nil {
		t.Fatal(err)
	}
	if v := mustVerify(t, dir); v.Altered == nil || v.Altered.Seq != first.Seq+1 || !strings.Contains(v.Altered.What, "missing") {
		t.Errorf("%+v, want record %d missing", v.Altered, first.Seq+1)
	}
	for _, n := range numbers[:2] {
		if err := os.Remove(segmentPath(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	if v := mustVerify(t, dir); v.Altered == nil || !strings.Contains(v.Altered.What, "no record says") {
		t.Errorf("%+v: segments that were removed by hand are missed", v.Altered)
	}
}

func TestWhatTheLedgerRemembersCannotBeTakenFromTheEnd(t *testing.T) {
	dir := t.TempDir()
	written(t, dir, 10, nil)
	path := segmentPath(dir, 1)
	all := lines(t, path)
	last, err := parse(all[10])
	if err != nil {
		t.Fatal(err)
	}
	known := Head{last.Seq, last.Hash}
	if v, err := Verify(dir, known); err != nil || v.Altered != nil {
		t.Fatalf("%v, %v", v.Altered, err)
	}
	rewrite(t, path, all[:8])
	if v, err := Verify(dir, known); err != nil || v.Altered == nil || v.Altered.Seq != 9 {
		t.Errorf("%+v, %v, want record 9 missed", v.Altered, err)
	}
	if v := mustVerify(t, dir); v.Altered != nil {
		t.Errorf("%+v: without the ledger nobody can know", v.Altered)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	written(t, dir, 12, nil) // another journal in its place
	if v, err := Verify(dir, known); err != nil || v.Altered == nil || v.Altered.Seq != known.Seq {
		t.Errorf("%+v, %v, want the exchanged journal noticed at record %d", v.Altered, err, known.Seq)
	}
}

func TestOneByteThatDiffersIsAlwaysFoundAndNamed(t *testing.T) {
	dir := t.TempDir()
	written(t, dir, 20, nil)
	path := segmentPath(dir, 1)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(good)-2).Draw(t, "at") // the very last end of line is a torn one
		bit := byte(1) << rapid.IntRange(0, 7).Draw(t, "bit")
		bad := bytes.Clone(good)
		bad[at] ^= bit
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		want := uint64(bytes.Count(good[:at], []byte("\n")) + 1)
		v, err := Verify(dir, Head{})
		if err != nil {
			t.Fatal(err)
		}
		if v.Altered == nil || v.Altered.Seq != want {
			t.Fatalf("byte %d differs, in record %d: %v", at, want, v.Altered)
		}
	})
}

func FuzzAnySegmentIsReadAndJudged(f *testing.F) {
	dir := f.TempDir()
	f.Add([]byte(`{"seq":1,"kind":"segment","prev":"","hash":""}` + "\n"))
	f.Add([]byte("\n\n\x00\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir, Head{}); err != nil {
			t.Fatal(err)
		}
		if err := Read(dir, Filter{}, func(Record) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if _, err := tailOf(dir, 1); err != nil {
			t.Fatal(err)
		}
	})
}
