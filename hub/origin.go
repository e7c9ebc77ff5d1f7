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

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.TrimPrefix(strings.TrimSuffix(host, "]"), "["), port)
}
