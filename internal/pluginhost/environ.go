package pluginhost

import (
	"slices"
	"strings"
)

// inherited are the only variables of host's environment that plugins see; the
// rest may hold secrets.
var inherited = append([]string{"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}, inheritedHere...)

// cleanEnviron picks what a plugin may inherit from environ and adds marker.
func cleanEnviron(environ []string, marker string) []string {
	var env []string
	for _, pair := range environ {
		key, _, found := strings.Cut(pair, "=")
		if found && slices.Contains(inherited, key) {
			env = append(env, pair)
		}
	}
	if marker != "" {
		env = append(env, marker)
	}
	return env
}
