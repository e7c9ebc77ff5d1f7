package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestFixedTokensAreReadByLinesOrCommas(t *testing.T) {
	for why, text := range map[string]string{
		"lines":  "dashboard:history+status:0123456789abcdef\nagent:publish:with:colons:in:it\nlistener::aaaaaaaaaaaaaaaa\n",
		"commas": "dashboard:history+status:0123456789abcdef,agent:publish:with:colons:in:it,listener::aaaaaaaaaaaaaaaa",
		"lines of another system, some of them empty": "\r\ndashboard:history+status:0123456789abcdef\r\n\r\nagent:publish:with:colons:in:it\r\nlistener::aaaaaaaaaaaaaaaa",
	} {
		cfg, _, err := Load(Sources{Flags: map[string]any{"server.tokens.fixed": text}})
		want := []ClientToken{
			{"dashboard", []string{"history", "status"}, "0123456789abcdef"}, {"agent", []string{"publish"}, "with:colons:in:it"},
			{"listener", []string{}, "aaaaaaaaaaaaaaaa"},
		}
		if got := cfg.Server.Tokens.ClientTokens(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %+v, %v\nwant %+v", why, got, err, want)
		}
		if !cfg.Server.Tokens.Required() {
			t.Errorf("%s: clients need no token", why)
		}
	}
	if Default().Server.Tokens.Required() || len(Default().Server.Tokens.ClientTokens()) > 0 {
		t.Error("by default clients need a token")
	}
}

func TestNoTokenIsShownThatIsRefused(t *testing.T) {
	for _, text := range []string{
		"agent:publish:sesame-open-your-door,agent:publish:another-one-of-these", "agent:admin:sesame-open-your-door",
		"agent:publish:sesame open your door", "sesame-open-your-door", "a::sesame-open-your-door,b::sesame-open-your-door",
	} {
		_, _, err := Load(Sources{Environ: []string{"UPKEEP_SERVER__TOKENS__FIXED=" + text}})
		if err == nil {
			t.Errorf("%q is accepted", text)
		} else if shown := err.Error(); strings.Contains(shown, "sesame") {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
}
