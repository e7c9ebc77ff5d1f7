package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// condition is one line of /livez or /readyz.
type condition struct {
	name   string
	ok     bool
	reason string // why it is not ok
}

// defaultBeatLimit is how old the beat of host's loop may be.
const defaultBeatLimit = 10 * time.Second

// Live says whether host's own loop turns, and if not, why. limit 0 takes 10 s.
func Live(s Snapshot, now time.Time, limit time.Duration) (ok bool, why string) {
	if limit <= 0 {
		limit = defaultBeatLimit
	}
	late := now.Sub(s.Beat)
	if s.Beat.IsZero() || late <= limit {
		return true, ""
	}
	return false, fmt.Sprintf("host's loop last turned %.0f s ago", late.Seconds())
}

// Ready says whether clients are served and host means to go on, and if not, why.
func Ready(s Snapshot) (ok bool, why string) {
	for _, c := range readiness(s) {
		if !c.ok {
			return false, c.name + ": " + c.reason
		}
	}
	return true, ""
}

// livez answers 200 while host's own loop turns. It does not depend on the hub
// or on plugins: to restart host would not help these.
func (a *api) livez(w http.ResponseWriter, r *http.Request) {
	ok, why := Live(a.src.Snapshot(), a.opts.Now(), a.opts.BeatLimit)
	a.probe(w, r, "livez", []condition{{name: "loop", ok: ok, reason: why}})
}

// readyz answers 200 while clients are served and host means to go on.
func (a *api) readyz(w http.ResponseWriter, r *http.Request) {
	a.probe(w, r, "readyz", readiness(a.src.Snapshot()))
}

func readiness(s Snapshot) []condition {
	hub := condition{name: "hub", ok: s.Hub.Accepting, reason: "it is " + s.Hub.State}
	if s.Hub.State == "" {
		hub.reason = "it does not accept clients"
	}
	return []condition{
		{name: "host", ok: s.Phase != Stopping && s.Phase != Held, reason: fmt.Sprintf("it is %s", s.Phase)},
		hub,
	}
}

// probe answers in the manner of Kubernetes' own components: the code decides,
// ?verbose lists the conditions, ?exclude=NAME leaves one out.
func (a *api) probe(w http.ResponseWriter, r *http.Request, name string, conditions []condition) {
	query := r.URL.Query()
	var exclude []string
	for _, value := range query["exclude"] {
		exclude = append(exclude, strings.Split(value, ",")...)
	}
	var lines strings.Builder
	failed := false
	for _, c := range conditions {
		switch {
		case slices.Contains(exclude, c.name):
			fmt.Fprintf(&lines, "[+]%s excluded: ok\n", c.name)
		case c.ok:
			fmt.Fprintf(&lines, "[+]%s ok\n", c.name)
		default:
			failed = true
			fmt.Fprintf(&lines, "[-]%s failed: %s\n", c.name, c.reason)
		}
	}
	for _, e := range exclude {
		if !slices.ContainsFunc(conditions, func(c condition) bool { return c.name == e }) {
			fmt.Fprintf(&lines, "warn: nothing to exclude is called %q\n", e)
		}
	}
	code, body := http.StatusOK, "ok"
	switch {
	case failed:
		code, body = http.StatusServiceUnavailable, lines.String()+name+" check failed\n"
	case query.Has("verbose"):
		body = lines.String() + name + " check passed\n"
	}
	a.out.Bytes(w, r, code, "text/plain; charset=utf-8", []byte(body))
}
