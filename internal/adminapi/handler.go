package adminapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/answer"
)

// Prefix is where the paths of the API begin.
const Prefix = "/api/v1"

const (
	// maxBody is how long the body of a request may be.
	maxBody = 64 << 10
	// answerTimeout bounds what a request waits for; a reload has plugins to ask,
	// and that of plugins has processes to start.
	answerTimeout = 5 * time.Second
	reloadTimeout = 8 * time.Second
	pluginTimeout = 20 * time.Second
)

// Options of Handler. The zero value refuses everybody.
type Options struct {
	// Owner: the requests come through a socket of ListenUnix, so that whoever
	// sends them owns host. No token is asked for then.
	Owner bool
	// Token that every other request has to carry; empty: all are refused.
	Token string
	// Hosts are names or addresses, without port, that the Host header may carry
	// beside this machine's loopback.
	Hosts []string
	// Logger for changes, panics and failed answers; nil: nothing is logged.
	Logger hclog.Logger
}

type api struct {
	ops    Operations
	opts   Options
	log    hclog.Logger
	out    answer.Writer
	mux    *http.ServeMux
	routes []route
}

// Handler serves the API under Prefix; other paths are answered with not_found,
// so mount it at Prefix + "/". Every mistake is told as an RFC 9457 problem, and
// a panic in it or in ops ends only the request.
func Handler(ops Operations, opts Options) http.Handler {
	a := &api{ops: ops, opts: opts, log: opts.Logger, mux: http.NewServeMux(), routes: routes()}
	if a.log == nil {
		a.log = hclog.NewNullLogger()
	}
	a.out = answer.Writer{Log: a.log}
	methods := map[string]map[string]route{}
	for _, rt := range a.routes {
		if methods[rt.path] == nil {
			methods[rt.path] = map[string]route{}
		}
		methods[rt.path][rt.method] = rt
	}
	for path, byMethod := range methods {
		a.mux.HandleFunc(Prefix+path, func(w http.ResponseWriter, r *http.Request) { a.dispatch(w, r, byMethod) })
	}
	a.mux.HandleFunc("/", a.nowhere)
	return a
}

// ServeHTTP answers one request.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.out.Guard(w, r, func() {
		if status, err := a.admit(r); err != nil {
			if status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="upkeep"`)
			}
			a.out.Problem(w, r, status, err)
			return
		}
		a.mux.ServeHTTP(w, r)
	})
}

// admit says whether the request may come in at all.
func (a *api) admit(r *http.Request) (status int, refused *problem.Error) {
	if !a.opts.Owner && !answer.OurHost(r.Host, a.opts.Hosts) {
		return http.StatusMisdirectedRequest, answer.ForeignHost("http://127.0.0.1 with the port of the admin listener")
	}
	if foreignOrigin(r) {
		return http.StatusForbidden, &problem.Error{
			Code: problem.ForeignOrigin, What: "the request comes from a web page of somebody else",
			Why:   "browsers send requests for any page that is open in them, so only programs and host's own pages may steer it",
			Steps: []string{"use the command line: host status"},
		}
	}
	if !a.opts.Owner && !a.knows(r.Header.Get("Authorization")) {
		return http.StatusUnauthorized, &problem.Error{
			Code: problem.Unauthorized, What: "the request does not carry the token of this host",
			Why:   "whoever has the token may steer host, and nobody else",
			Steps: []string{"send the header Authorization: Bearer TOKEN, with the content of the file token in the state directory", "or use the command line, which needs no token: host status"},
		}
	}
	return 0, nil
}

// knows compares the token in constant time.
func (a *api) knows(header string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(a.opts.Token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && a.opts.Token != "" && strings.EqualFold(scheme, "Bearer")
}

// foreignOrigin says whether a browser sent the request for another page than
// one of ours. Programs send no Origin.
func foreignOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}

// dispatch finds the route for the method, reads the body, and answers.
func (a *api) dispatch(w http.ResponseWriter, r *http.Request, byMethod map[string]route) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rt, ok := byMethod[method]
	if !ok {
		allowed := make([]string, 0, len(byMethod)+1)
		for m := range byMethod {
			allowed = append(allowed, m)
			if m == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		a.out.Problem(w, r, http.StatusMethodNotAllowed, &problem.Error{
			Code: problem.MethodNotAllowed, What: fmt.Sprintf("%s is no method of this path", r.Method), Why: "it has " + strings.Join(allowed, ", "),
			Steps: []string{"see " + Prefix + "/openapi.json for what there is"},
		})
		return
	}
	timeout := cmp.Or(rt.timeout, answerTimeout)
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout + answerTimeout)); err != nil {
		a.log.Debug("the time of an answer cannot be set", "path", r.URL.Path, "error", err) // the server's own holds
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	c := call{api: a, r: r.WithContext(ctx)}
	if rt.request != nil {
		body, status, err := readBody(w, r)
		if err != nil {
			a.out.Problem(w, r, status, err)
			return
		}
		c.body = body
	}
	code, document, err := rt.answer(&c)
	if rt.method != http.MethodGet {
		facts := []any{"method", rt.method, "path", r.URL.Path}
		if err != nil {
			facts = append(facts, "error", err)
		}
		a.log.Info("admin request", facts...)
	}
	if err != nil {
		told, status := explain(err)
		a.out.Problem(w, r, status, told)
		return
	}
	a.send(w, r, code, document)
}

// readBody reads the JSON body of a request that changes something. An empty
// one is an empty object.
func readBody(w http.ResponseWriter, r *http.Request) (body []byte, status int, refused *problem.Error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, &problem.Error{
			Code: problem.BadRequest, What: "the request is not marked as JSON", Why: "a form of a web page cannot be, and so cannot change anything here",
			Steps: []string{"send the header Content-Type: application/json"},
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		_, tooLong := errors.AsType[*http.MaxBytesError](err)
		why := "it did not arrive as a whole"
		if tooLong {
			why = fmt.Sprintf("it is longer than %d bytes", maxBody)
		}
		return nil, http.StatusRequestEntityTooLarge, &problem.Error{Code: problem.BadBody, What: "the body of the request cannot be read", Why: why, Err: err,
			Steps: []string{"send the few fields that " + Prefix + "/openapi.json lists"}}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	return body, 0, nil
}

// decode reads a body into a request, strictly.
func decode(body []byte, request any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(request)
	if err == nil && dec.More() {
		err = errors.New("there is more behind the object")
	}
	if err != nil {
		return &problem.Error{
			Code: problem.BadJSON, What: "the body of the request is not the JSON that is wanted", Why: strings.TrimPrefix(err.Error(), "json: "),
			Steps: []string{"send the fields that " + Prefix + "/openapi.json lists"},
		}
	}
	return nil
}

// nowhere answers for paths that do not exist.
func (a *api) nowhere(w http.ResponseWriter, r *http.Request) {
	a.out.Problem(w, r, http.StatusNotFound, &problem.Error{
		Code: problem.NotFound, What: "there is nothing at this path", Steps: []string{"see " + Prefix + "/openapi.json for what there is"},
	})
}

// explain makes an error one that people read, and finds its HTTP status.
func explain(err error) (*problem.Error, int) {
	if told, ok := errors.AsType[*problem.Error](err); ok {
		switch told.Code {
		case problem.BadRequest, problem.BadJSON:
			return told, http.StatusBadRequest
		case problem.NotFound:
			return told, http.StatusNotFound
		case problem.ConfigInvalid:
			return told, http.StatusUnprocessableEntity
		case problem.Internal:
			return told, http.StatusInternalServerError
		}
		return told, http.StatusConflict // not as host is now
	}
	p := &problem.Error{
		Code: problem.Internal, What: "host could not do it", Why: err.Error(),
		Steps: []string{"look at host's log for what happened around now", "try again"}, Err: err,
	}
	if errors.Is(err, context.DeadlineExceeded) {
		p.Why = "it took too long; it may still happen"
		return p, http.StatusGatewayTimeout
	}
	return p, http.StatusInternalServerError
}

func (a *api) send(w http.ResponseWriter, r *http.Request, status int, document any) {
	if raw, ok := document.(json.RawMessage); ok {
		a.out.Bytes(w, r, status, "application/json", raw)
		return
	}
	a.out.JSON(w, r, status, document)
}
