package httpapi

import (
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
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
	// GoVersion for upkeep_build_info; empty: runtime.Version.
	GoVersion string
}

// Handler answers GET and HEAD on /health, /livez, /readyz, /status,
// /diagnostics and /metrics.
func Handler(src Source, opts Options) http.Handler {
	return http.NotFoundHandler()
}
