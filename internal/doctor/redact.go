package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// mask stands where a secret was.
const mask = "[redacted]"

// redactor takes secrets out of what others shall read.
type redactor struct{ literals []string }

// shortestSecret: shorter texts are no secrets, and would match everywhere.
const shortestSecret = 6

// newRedactor takes texts that are known to be secret, wherever they turn up.
func newRedactor(secrets []string) *redactor {
	r := &redactor{}
	for _, s := range secrets {
		if s = strings.TrimSpace(s); len(s) >= shortestSecret {
			r.literals = append(r.literals, s)
			if quoted, err := json.Marshal(s); err == nil && string(quoted[1:len(quoted)-1]) != s {
				r.literals = append(r.literals, string(quoted[1:len(quoted)-1])) // as JSON writes it
			}
		}
	}
	slices.SortFunc(r.literals, func(a, b string) int { return len(b) - len(a) }) // a secret within another goes last
	return r
}

// secretKey matches the names of things whose values are secret.
var secretKey = regexp.MustCompile(`(?i)(token|secret|passw(or)?d|passphrase|api[_-]?key|private[_-]?key|access[_-]?key|authorization|credential|cookie|\bauth\b|session[_-]?id|\bsid\b|\bdsn\b)`)

const secretName = `(?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|private[_-]?key|access[_-]?key|authorization|credentials?|cookie)`

// What secrets look like in running text. The groups stay.
var secretTexts = []*regexp.Regexp{
	regexp.MustCompile(`(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?-----END [A-Z ]*PRIVATE KEY-----`),
	regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}`),
	regexp.MustCompile(`([a-z][a-z0-9+.-]*://[^/\s:@"']*:)[^/\s@"']+(@)`),
	regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`),
	regexp.MustCompile(`(?i)(` + secretName + `[A-Za-z0-9_-]*["']?\s*[:=]\s*["']?)[^\s"',;&}]+`),
	regexp.MustCompile(`(?i)(--?[a-z0-9-]*` + secretName + `[a-z0-9-]*\s+)[^\s-][^\s"',;&}]*`),
}

// text redacts lines that people read.
func (r *redactor) text(data []byte) []byte {
	out := string(data)
	for _, secret := range r.literals {
		out = strings.ReplaceAll(out, secret, mask)
	}
	for _, pattern := range secretTexts {
		out = pattern.ReplaceAllString(out, "${1}"+mask+"${2}")
	}
	return []byte(out)
}

// json redacts a document by the names of its keys, and every text in it; what
// is no JSON is treated as text.
func (r *redactor) json(data []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil || dec.More() {
		return r.text(data)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r.value("", doc)); err != nil {
		return r.text(data)
	}
	return out.Bytes()
}

// value redacts one value under the key.
func (r *redactor) value(key string, v any) any {
	if secretKey.MatchString(key) && v != nil && v != "" {
		switch v.(type) {
		case bool: // e.g. "token_required": true
		default:
			return mask
		}
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if key == "client_versions" { // by session id, which would let others take part in a session
				out[fmt.Sprintf("client-%d", i+1)] = r.value("", v[k])
				continue
			}
			out[string(r.text([]byte(k)))] = r.value(k, v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		hide := false
		for i, item := range v {
			out[i] = r.value("", item)
			if text, ok := item.(string); ok { // a command line: --token X
				if hide {
					out[i] = mask
				}
				hide = strings.HasPrefix(text, "-") && !strings.Contains(text, "=") && secretKey.MatchString(text)
			}
		}
		return out
	case string:
		return string(r.text([]byte(v)))
	}
	return v
}

// SoundsSecret says whether a variable or key of that name holds a secret.
func SoundsSecret(name string) bool { return secretKey.MatchString(name) }
