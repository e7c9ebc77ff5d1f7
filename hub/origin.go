package hub

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// hostRule says which Host headers are this server's own. A browser that was
// lured to a name of an attacker's, which resolves to this machine, sends that
// name, and is refused.
type hostRule struct {
	configured string // as configured, without port
	hostname   string // of this machine
	bound      []netip.Addr
}

// allows reports whether a Host header, with or without port, is ours: localhost,
// any loopback address, the configured host, an address that is bound; and where
// something else than loopback is bound, any address and this machine's name.
// HTTP/1.0 clients send none, which no browser does.
func (r hostRule) allows(header string) bool {
	if header == "" {
		return true
	}
	host := hostOf(header)
	if strings.EqualFold(host, "localhost") || (r.configured != "" && strings.EqualFold(host, r.configured)) {
		return true
	}
	open := false
	for _, addr := range r.bound {
		open = open || !addr.IsLoopback()
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return open && r.hostname != "" && strings.EqualFold(host, r.hostname)
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() || open {
		return true
	}
	for _, bound := range r.bound {
		if bound == addr {
			return true
		}
	}
	return false
}

// hostOf cuts port, brackets and a final dot from a Host header.
func hostOf(header string) string {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.TrimPrefix(strings.TrimSuffix(host, "]"), "[")
	return strings.TrimSuffix(host, ".")
}

// sameOrigin reports whether a request comes from a page of this server, or from a
// program, which sends no Origin.
func sameOrigin(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 {
		return false
	}
	origin, err := url.Parse(values[0])
	if err != nil || origin.Host == "" || origin.Path != "" || origin.User != nil || origin.RawQuery != "" {
		return false
	}
	port, known := map[string]string{"http": "80", "https": "443"}[origin.Scheme]
	return known && strings.EqualFold(withPort(origin.Host, port), withPort(r.Host, port))
}

// originAllowed reports whether a request may come from where it says: from a page
// of this server or of an allowed site, or from a program.
func (h *Hub) originAllowed(r *http.Request) bool {
	return sameOrigin(r) || h.siteAllowed(r)
}

// siteAllowed reports whether a request comes from a page of an allowed site.
func (h *Hub) siteAllowed(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) != 1 {
		return false
	}
	for _, allowed := range h.opts.AllowedOrigins {
		if allowed == anyOrigin || strings.EqualFold(allowed, values[0]) {
			return true
		}
	}
	return false
}

// anyOrigin allows the pages of every site.
const anyOrigin = "*"

// isOrigin reports whether a text is one that a browser sends as Origin.
func isOrigin(text string) bool {
	if text == anyOrigin {
		return true
	}
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == text
}

// allowOrigin writes the CORS headers of an answer, and answers the question that a
// browser asks before an unusual request; it reports whether that was all.
func (h *Hub) allowOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	if !h.opts.EnableCORS && len(h.opts.AllowedOrigins) == 0 {
		return false
	}
	header := w.Header()
	header.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !h.siteAllowed(r) && !(h.opts.EnableCORS && sameOrigin(r)) {
		return false
	}
	header.Set("Access-Control-Allow-Origin", origin)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
	header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	header.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.TrimPrefix(strings.TrimSuffix(host, "]"), "["), port)
}

// validPath reports whether text is a path that begins and ends with a slash, and
// nothing else of a URL.
func validPath(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && len(text) > 1 && strings.HasPrefix(text, "/") && strings.HasSuffix(text, "/") &&
		!strings.HasPrefix(text, "//") && parsed.Path == text
}
