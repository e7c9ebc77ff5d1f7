package pluginhost

import (
	"strings"
	"unicode/utf8"

	"github.com/upkeephub/upkeep/internal/child"
)

// maxText bounds every text that a plugin sends, in bytes.
const maxText = 4 << 10

// cleanText makes foreign text fit for logs, JSON and terminals: what is not
// graphic and what is not UTF-8 is escaped, and what exceeds limit bytes is cut
// off with an ellipsis.
func cleanText(s string, limit int) string {
	const ellipsis = "…"
	long := len(s) > limit
	if long {
		s = cutAt(s, limit)
	}
	s = child.Sanitise([]byte(s))
	if long || len(s) > limit {
		return cutAt(s, limit-len(ellipsis)) + ellipsis
	}
	return s
}

// cutAt shortens s to at most n bytes without cutting a rune in half.
func cutAt(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// plain says whether s can be shown as it is.
func plain(s string) bool {
	return !strings.ContainsRune(s, '\t') && child.Sanitise([]byte(s)) == s
}
