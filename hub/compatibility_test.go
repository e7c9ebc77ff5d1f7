package hub

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestClientsFrom070OnAreCompatible(t *testing.T) {
	const unknown = unknownVersion
	tests := []struct {
		given      any
		compatible bool
		version    string
		warns      bool
		why        string
	}{
		{"0.7.0", true, "0.7.0", false, "the oldest that works"},
		{"0.7.0-dev", true, "0.7.0-dev", false, "an uninstalled client calls itself so"},
		{"0.7.0.dev1", true, "0.7.0.dev1", false, "the same in Python's spelling"},
		{"0.7.0rc1", true, "0.7.0rc1", false, "a Python pre-release of 0.7.0"},
		{"0.7.0a1.dev3+g1234.d2026", true, "0.7.0a1.dev3+g1234.d2026", false, "all Python has"},
		{"0.7.0.post1", true, "0.7.0.post1", false, "a Python post-release"},
		{"v0.7.0", true, "v0.7.0", false, "with a v"},
		{"V0.7.0rc1", true, "V0.7.0rc1", false, "with a V"},
		{" 0.7.1 ", true, " 0.7.1 ", false, "blanks around it"},
		{"0.7", true, "0.7", false, "two numbers"},
		{"1", true, "1", false, "one number"},
		{"0.7.0.1", true, "0.7.0.1", false, "four numbers"},
		{"0.10.0", true, "0.10.0", false, "numbers are compared, not text"},
		{"3.4.20", true, "3.4.20", false, "much newer"},
		{"1!0.1.0", true, "1!0.1.0", false, "a later epoch is newer"},
		{"0!0.1.0", false, "0!0.1.0", true, "epoch 0 is no epoch"},
		{"0.6.9", false, "0.6.9", true, "older"},
		{"0.6.99rc1", false, "0.6.99rc1", true, "older, in Python's spelling"},
		{"0.0.0", false, "0.0.0", true, "as old as it gets"},
		{nil, true, unknown, false, "no version is no reason to warn"},
		{"unknown", true, unknown, false, "as good as none"},
		{"", true, unknown, true, "empty cannot be read"},
		{"latest", true, unknown, true, "a word cannot be read"},
		{"0.7.x", true, unknown, true, "a pattern cannot be read"},
		{">=0.7.0", true, unknown, true, "a range cannot be read"},
		{"0.7.0; rm -rf", true, unknown, true, "rubbish cannot be read"},
		{"99999999999999999999.0.0", true, unknown, true, "a number beyond 64 bits"},
		{"0.7.0-" + strings.Repeat("x", 100), true, unknown, true, "too long"},
		{7.0, true, unknown, true, "a number is no text"},
		{map[string]any{}, true, unknown, true, "an object is no text"},
	}
	for _, test := range tests {
		got := judge("1.2.3", test.given)
		if got.Compatible != test.compatible || got.ClientVersion != test.version || (len(got.Warnings) > 0) != test.warns {
			t.Errorf("%v: compatible %v, version %q, warnings %q; want %v, %q, a warning: %v: %s", test.given,
				got.Compatible, got.ClientVersion, got.Warnings, test.compatible, test.version, test.warns, test.why)
		}
		if got.Warnings == nil || len(got.SupportedFeatures) == 0 || got.Requirements.MinPython == "" {
			t.Errorf("%v: the object is incomplete: %+v", test.given, got)
		}
	}
}

func TestAnyVersionIsJudgedByItsNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		major, minor, patch := rapid.IntRange(0, 2), rapid.IntRange(0, 12), rapid.IntRange(0, 99)
		a, b, c := major.Draw(t, "major"), minor.Draw(t, "minor"), patch.Draw(t, "patch")
		suffix := rapid.SampledFrom([]string{"", "-dev", ".dev4", "rc2", "-rc.1", "b1", ".post2", "+local.1"}).Draw(t, "suffix")
		version := strconv.Itoa(a) + "." + strconv.Itoa(b) + "." + strconv.Itoa(c) + suffix
		if got, want := judge("1.0.0", version).Compatible, a > 0 || b >= 7; got != want {
			t.Fatalf("%s is compatible: %v, want %v", version, got, want)
		}
	})
}

func FuzzReleaseOf(f *testing.F) {
	for _, seed := range []string{"0.7.0", "1!2.3rc1.post4.dev5+x", "v", "...", "0.7.0-", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if release, ok := releaseOf(text); ok && release == nil {
			t.Errorf("%q is readable but has no release", text)
		}
	})
}
