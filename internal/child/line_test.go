package child

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestSanitiseEscapesWhatHurtsATerminal(t *testing.T) {
	for _, c := range []struct{ in, want, why string }{
		{"", "", "empty stays empty"},
		{"plain text, \\ and \"quotes\"", "plain text, \\ and \"quotes\"", "nothing to escape"},
		{"a\tb", "a\tb", "stack traces are indented with tabs"},
		{"a\rb\x00\x7f", `a\x0db\x00\x7f`, "control characters"},
		{"\x1b]0;title\a", `\x1b]0;title\x07`, "terminal sequences"},
		{"\u0085\u009b1m", `\u0085\u009b1m`, "C1 controls start sequences too"},
		{"a\u202eb\u2028c", `a\u202eb\u2028c`, "turns the text around; a line end for some"},
		{"caf\xe9 日本 é", `caf\xe9 日本 é`, "invalid UTF-8 beside valid"},
		{"\U000e0001", `\U000e0001`, "invisible beyond the basic plane"},
		{`{"m":"x"}`, `{"m":"x"}`, "JSON stays JSON"},
	} {
		if got := Sanitise([]byte(c.in)); got != c.want {
			t.Errorf("Sanitise(%q) = %q, want %q: %s", c.in, got, c.want, c.why)
		}
	}
}

func FuzzSanitisedLineIsGraphic(f *testing.F) {
	f.Add([]byte("a\x1b\xff\u202e"))
	f.Fuzz(func(t *testing.T, line []byte) {
		got := Sanitise(line)
		if !utf8.ValidString(got) {
			t.Fatalf("Sanitise(%q) = %q is not UTF-8", line, got)
		}
		for _, r := range got {
			if r != '\t' && !unicode.IsGraphic(r) {
				t.Fatalf("Sanitise(%q) = %q holds %U", line, got, r)
			}
		}
		if again := Sanitise([]byte(got)); again != got {
			t.Fatalf("sanitised twice: %q, then %q", got, again)
		}
	})
}

func TestBucketLetsABurstThroughAndThenTheRate(t *testing.T) {
	b := bucket{rate: 200, burst: 1000}
	now := time.Unix(1000, 0)
	passed := func(offered int, cost float64) (n int) {
		for range offered {
			if b.take(now, cost) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		after time.Duration
		cost  float64
		want  int
		why   string
	}{
		{0, 1, 1000, "the burst"},
		{0, 1, 0, "empty"},
		{500 * time.Millisecond, 1, 100, "half a second of rate"},
		{time.Hour, 1, 1000, "never more than the burst"},
		{time.Second, 65, 3, "a long line costs more"},
		{time.Hour, 5000, 1, "dearer than the bucket: passes when it is full"},
	} {
		now = now.Add(c.after)
		if got := passed(2000, c.cost); got != c.want {
			t.Errorf("after %v at %v a line: %d passed, want %d: %s", c.after, c.cost, got, c.want, c.why)
		}
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	tail := newTail(2)
	for _, line := range []string{"one", "two", "", strings.Repeat("3", 5000)} {
		tail.add([]byte(line))
	}
	got := tail.lines()
	if len(got) != 2 || got[0] != "two" || len(got[1]) != tailLineLimit {
		t.Errorf("tail is %.40q, want two and a cut three: empty lines tell nothing", got)
	}
}

func TestMarkerSurvivesTheEnvironment(t *testing.T) {
	for _, m := range []Marker{
		{Dir: "/var/lib/upkeep/8765", PID: 42, StartTicks: 4711},
		{Dir: "/odd:place=with:all", PID: 1},
	} {
		got, err := ParseMarker(m.String())
		if err != nil || got != m {
			t.Errorf("%q became %+v (%v), want %+v", m, got, err, m)
		}
	}
	for _, bad := range []string{"", "/dir", "1:2", "1:2:", "x:2:/d", "0:2:/d", "-1:2:/d", "1:x:/d"} {
		if m, err := ParseMarker(bad); err == nil {
			t.Errorf("ParseMarker(%q) = %+v, want an error", bad, m)
		}
	}
}
