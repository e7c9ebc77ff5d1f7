package spelling

import (
	"strings"
	"testing"
)

func TestTheNearestWordIsTheOneThatWasMeantOrNone(t *testing.T) {
	known := []string{"port", "host", "check_interval", "history_size", "plugins"}
	for word, want := range map[string]string{
		"prot": "port", "hots": "host", "pot": "port", "ports": "port", "plugin": "plugins",
		"check_intreval": "check_interval", "checkinterval": "check_interval", "histroy_sise": "history_size",
		"": "", "p": "", "xyzzy": "", "PORT": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
}

func TestOfTwoNearWordsTheNearerOneWins(t *testing.T) {
	if got := Nearest("recoverys", []string{"recoveries", "recovery"}); got != "recovery" {
		t.Errorf("got %q", got)
	}
}

func TestLongWordsAreComparedWithinABound(t *testing.T) {
	word := strings.Repeat("a", 300)
	if got := Nearest(word, []string{strings.Repeat("a", 300-maxSlips-1), strings.Repeat("b", 300)}); got != "" {
		t.Errorf("more than %d slips are another word, got one of %d bytes", maxSlips, len(got))
	}
}

// FuzzDistance holds the distance to what every distance keeps.
func FuzzDistance(f *testing.F) {
	f.Add("port", "prot")
	f.Add("", "a")
	f.Add("\xff\x00", "é")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 200 || len(b) > 200 {
			return
		}
		const limit = 1000
		d := distance(a, b, limit)
		if back := distance(b, a, limit); back != d {
			t.Errorf("%q to %q is %d and back %d", a, b, d, back)
		}
		if (d == 0) != (a == b) || d < max(len(a), len(b))-min(len(a), len(b)) || d > max(len(a), len(b)) {
			t.Errorf("%q to %q is %d", a, b, d)
		}
	})
}
