package child

import "testing"

func FuzzParseStatNeverPanics(f *testing.F) {
	f.Add([]byte("1 (a) b) (c) S 7 1 1 0 -1 4194560 1 2 3 4 30 12 0 0 20 0 1 0 4242 1 1"))
	f.Add([]byte("1 (x"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = parseStat(data) })
}

func TestParseStatReadsBehindAHostileName(t *testing.T) {
	stat, err := parseStat([]byte("1 (a) Z 9 9) S 7 1 1 0 -1 4194560 1 2 3 4 30 12 0 0 20 0 1 0 4242 1 1\n"))
	if want := (Stat{State: 'S', PPID: 7, CPUTicks: 42, StartTicks: 4242}); err != nil || stat != want {
		t.Errorf("stat is %+v (%v), want %+v", stat, err, want)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1 2 3", "1 (x) S one 1 1 0 -1 4194560 1 2 3 4 30 12 0 0 20 0 1 0 4242"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) finds nothing wrong", bad)
		}
	}
}
