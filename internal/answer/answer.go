// Package answer is how every HTTP handler of host admits and answers: it tells
// our own host name from a foreign one, turns a panic into the end of one request,
// and writes JSON and problem documents with the same headers. It knows no
// endpoint and nothing of a host. The handlers of internal/httpapi and
// internal/adminapi use it. It starts no goroutine.
package answer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/problem"
)

// Writer writes the answers of one handler.
type Writer struct {
	// Log for panics and for answers that did not reach their reader. Required.
	Log hclog.Logger
	// Now stamps problems that have no time; nil: time.Now.
	Now func() time.Time
}

// Guard runs serve for one request. No cache may keep the answer or guess at its
// type, and a panic is logged and answered as internal_error.
func (a Writer) Guard(w http.ResponseWriter, r *http.Request, serve func()) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		a.Log.Error("answering a request panicked", "path", r.URL.Path, "error", p, "stack", string(debug.Stack()))
		a.Problem(w, r, http.StatusInternalServerError, &problem.Error{
			Code: problem.Internal, What: "the request could not be answered", Why: "a bug in host; its log has the details",
			Steps: []string{"report it with the lines around \"answering a request panicked\" in host's log"},
		})
	}()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	serve()
}

// Problem answers with an RFC 9457 document. A context that JSON cannot carry is
// left out.
func (a Writer) Problem(w http.ResponseWriter, r *http.Request, status int, p *problem.Error) {
	if p.At.IsZero() && a.Now != nil {
		stamped := *p
		stamped.At = a.Now()
		p = &stamped
	}
	body, err := p.ProblemJSON(status, r.URL.Path)
	if err != nil {
		body, _ = (&problem.Error{Code: p.Code, What: p.What, Why: p.Why, Steps: p.Steps, At: p.At}).ProblemJSON(status, r.URL.Path)
	}
	a.Bytes(w, r, status, problem.ContentType, append(body, '\n'))
}

// JSON answers with a document. One that cannot be written is a bug, and panics.
func (a Writer) JSON(w http.ResponseWriter, r *http.Request, status int, document any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		panic(fmt.Sprintf("%s cannot be written as JSON: %v", r.URL.Path, err))
	}
	a.Bytes(w, r, status, "application/json", body.Bytes())
}

// Bytes answers with a body, of which HEAD gets the length.
func (a Writer) Bytes(w http.ResponseWriter, r *http.Request, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		a.Log.Debug("the answer did not reach its reader", "path", r.URL.Path, "error", err)
	}
}

// OurHost says whether a Host header names this machine: its loopback, or one of
// hosts (names or addresses without port). An empty header names nobody.
func OurHost(header string, hosts []string) bool {
	name := header
	if host, _, err := net.SplitHostPort(header); err == nil {
		name = host
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	if addr, err := netip.ParseAddr(name); err == nil && addr.IsLoopback() {
		return true
	}
	return name != "" && slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// ForeignHost is the problem of a request for another host name; try is the URL
// to use instead.
func ForeignHost(try string) *problem.Error {
	return &problem.Error{
		Code: problem.ForeignHost, What: "the request is for another host name",
		Why:   "host answers here only under the names of this machine, so that no web page can ask through a name of its own",
		Steps: []string{"use " + try},
	}
}
