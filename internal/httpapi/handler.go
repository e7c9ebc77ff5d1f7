package httpapi

import (
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/answer"
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
	// Modules that the program was built from, for /diagnostics.
	Modules []Module
	// Configuration in force, for /diagnostics, with secrets masked; nil: none is shown.
	Configuration func() []Setting
}

// Setting is a key of the configuration, its value, and what it comes from.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

// Module is a module that the program was built from, with its checksum.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum"`
}

type api struct {
	src  Source
	opts Options
	out  answer.Writer
	// endpoints by path; the same answer for GET and HEAD.
	endpoints map[string]func(http.ResponseWriter, *http.Request)
}

// Handler answers GET and HEAD on /health, /livez, /readyz, /status,
// /diagnostics and /metrics. What it cannot answer it explains as
// application/problem+json (RFC 9457), and a panic in it or in src ends only the
// request.
func Handler(src Source, opts Options) http.Handler {
	a := &api{src: src, opts: opts}
	if a.opts.Logger == nil {
		a.opts.Logger = hclog.NewNullLogger()
	}
	if a.opts.Now == nil {
		a.opts.Now = time.Now
	}
	if a.opts.Configuration == nil {
		a.opts.Configuration = func() []Setting { return nil }
	}
	a.out = answer.Writer{Log: a.opts.Logger, Now: a.opts.Now}
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
	a.out.Guard(w, r, func() { a.dispatch(w, r) })
}

func (a *api) dispatch(w http.ResponseWriter, r *http.Request) {
	// Requests without a Host header do not come from browsers.
	if a.opts.CheckHost && r.Host != "" && !slices.Contains(public, r.URL.Path) && !answer.OurHost(r.Host, a.opts.Hosts) {
		a.out.Problem(w, r, http.StatusMisdirectedRequest, answer.ForeignHost("http://localhost with this port"))
		return
	}
	endpoint := a.endpoints[r.URL.Path]
	switch {
	case endpoint == nil:
		a.out.Problem(w, r, http.StatusNotFound, &problem.Error{
			Code: problem.NotFound, What: "there is nothing at this path", Why: "the endpoints are " + strings.Join(a.paths(), ", "),
			Steps: []string{"ask for one of the endpoints"}, Context: map[string]any{"endpoints": a.paths()},
		})
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		a.out.Problem(w, r, http.StatusMethodNotAllowed, &problem.Error{
			Code: problem.MethodNotAllowed, What: "this endpoint only tells", Why: "it answers GET and HEAD",
			Steps: []string{"use GET"},
		})
	default:
		endpoint(w, r)
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
