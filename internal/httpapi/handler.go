package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/problem"
)

// Options of Handler. The zero value serves everybody who can connect.
type Options struct {
	// CheckHost refuses requests whose Host header names neither this machine's
	// loopback nor one of Hosts, except on /health, /livez and /readyz. Leave it
	// off on a socket that only our own processes reach.
	CheckHost bool
	// Hosts are names or addresses, without port, that requests may carry.
	Hosts []string
	// Logger for panics and failed answers; nil: nothing is logged.
	Logger hclog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// BeatLimit is how old Snapshot.Beat may be while /livez says yes; 0: 10 s.
	BeatLimit time.Duration
	// GoVersion that is shown; empty: runtime.Version.
	GoVersion string
}

type api struct {
	src  Source
	opts Options
	log  hclog.Logger
	// endpoints by path; the same answer for GET and HEAD.
	endpoints map[string]func(http.ResponseWriter, *http.Request)
}

// Handler answers GET and HEAD on /health, /livez, /readyz, /status,
// /diagnostics and /metrics. What it cannot answer it explains as
// application/problem+json (RFC 9457), and a panic in it or in src ends only the
// request.
func Handler(src Source, opts Options) http.Handler {
	a := &api{src: src, opts: opts, log: opts.Logger}
	if a.log == nil {
		a.log = hclog.NewNullLogger()
	}
	if a.opts.Now == nil {
		a.opts.Now = time.Now
	}
	if a.opts.GoVersion == "" {
		a.opts.GoVersion = runtime.Version()
	}
	a.endpoints = map[string]func(http.ResponseWriter, *http.Request){
		"/health":      a.health,
		"/livez":       a.livez,
		"/readyz":      a.readyz,
		"/status":      a.status,
		"/diagnostics": a.diagnostics,
		"/metrics":     a.metrics(),
	}
	return a
}

// paths lists the endpoints.
func (a *api) paths() []string {
	return []string{"/health", "/livez", "/readyz", "/status", "/diagnostics", "/metrics"}
}

// public endpoints say nothing worth a trick with host names, and are asked by
// load balancers under whatever name these like.
var public = []string{"/health", "/livez", "/readyz"}

// ServeHTTP answers one request.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		a.log.Error("answering a request panicked", "path", r.URL.Path, "error", p, "stack", string(debug.Stack()))
		a.refuse(w, r, http.StatusInternalServerError, &problem.Error{
			Code: problem.Internal, What: "the request could not be answered", Why: "a bug in host; its log has the details",
			Steps: []string{"report it with the lines around \"answering a request panicked\" in host's log"},
		})
	}()
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	if a.opts.CheckHost && !slices.Contains(public, r.URL.Path) && !a.ourHost(r.Host) {
		a.refuse(w, r, http.StatusMisdirectedRequest, &problem.Error{
			Code: problem.ForeignHost, What: "the request is for another host name",
			Why:   "host answers here only under the names of this machine, so that no web page can ask through a name of its own",
			Steps: []string{"use http://localhost with this port"},
		})
		return
	}
	endpoint := a.endpoints[r.URL.Path]
	switch {
	case endpoint == nil:
		a.refuse(w, r, http.StatusNotFound, &problem.Error{
			Code: problem.NotFound, What: "there is nothing at this path", Why: "the endpoints are " + strings.Join(a.paths(), ", "),
			Steps: []string{"ask for one of the endpoints"}, Context: map[string]any{"endpoints": a.paths()},
		})
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		head.Set("Allow", "GET, HEAD")
		a.refuse(w, r, http.StatusMethodNotAllowed, &problem.Error{
			Code: problem.MethodNotAllowed, What: "this endpoint only tells", Why: "it answers GET and HEAD",
			Steps: []string{"use GET"},
		})
	default:
		endpoint(w, r)
	}
}

// ourHost says whether a Host header names this machine. Requests without one
// do not come from browsers.
func (a *api) ourHost(header string) bool {
	name := header
	if host, _, err := net.SplitHostPort(header); err == nil {
		name = host
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if name == "" || strings.EqualFold(name, "localhost") {
		return true
	}
	if addr, err := netip.ParseAddr(name); err == nil && addr.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(a.opts.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// refuse answers with a problem, as RFC 9457 wants it.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, code int, p *problem.Error) {
	p.At = a.opts.Now()
	body, err := p.ProblemJSON(code, r.URL.Path)
	if err != nil {
		panic(fmt.Sprintf("httpapi: the problem %s cannot be written as JSON: %v", p.Code, err))
	}
	a.send(w, r, code, problem.ContentType, append(body, '\n'))
}

// json answers with a JSON document.
func (a *api) json(w http.ResponseWriter, r *http.Request, code int, document any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		panic(fmt.Sprintf("httpapi: %s cannot be written as JSON: %v", r.URL.Path, err))
	}
	a.send(w, r, code, "application/json", body.Bytes())
}

// send answers with a body, of which HEAD gets the length.
func (a *api) send(w http.ResponseWriter, r *http.Request, code int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		a.log.Debug("the answer did not reach its reader", "path", r.URL.Path, "error", err)
	}
}

// moment is everything that one answer is made of.
type moment struct {
	Snapshot
	now     time.Time
	view    View
	uptime  float64 // seconds
	started string
}

func (a *api) moment() moment {
	m := moment{Snapshot: a.src.Snapshot(), now: a.opts.Now()}
	m.view = Judge(m.Snapshot, m.now)
	m.uptime = round3(max(0, m.now.Sub(m.Server.Started).Seconds()))
	m.started = stamp(m.Server.Started)
	return m
}
