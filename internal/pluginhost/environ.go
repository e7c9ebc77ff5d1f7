package pluginhost

import (
	"slices"
	"strings"
)

// inherited are the only variables of host's environment that plugins see; the
// rest may hold secrets.
var inherited = append([]string{"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}, inheritedHere...)

// cleanEnviron picks what a plugin may inherit from environ, with those that
// further names, and adds marker. Our own variables never pass: they may hold
// tokens, and the handshake is ours to make.
func cleanEnviron(environ, further []string, marker string) []string {
	var env []string
	for _, pair := range environ {
		key, _, found := strings.Cut(pair, "=")
		ours := strings.HasPrefix(key, "UPKEEP_") || strings.HasPrefix(key, "PLUGIN_")
		if found && !ours && (slices.Contains(inherited, key) || slices.Contains(further, key)) {
			env = append(env, pair)
		}
	}
	if marker != "" {
		env = append(env, marker)
	}
	return env
}
