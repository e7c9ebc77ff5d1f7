package hub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/proto/handshake"
)

const probeHeader = handshake.ProbeHeader

// compatibilityBytes bounds the body of POST /compatibility.
const compatibilityBytes = 64 << 10

// route is what the hub serves at one path.
type route struct {
	methods []string
	serve   http.HandlerFunc
	// anyHost: asked by machines under any name, such as a kubelet.
	anyHost bool
	// engine: served as the protocol of Engine.IO says, which knows fewer statuses.
	engine bool
	// role is needed where clients need a token; empty: none is.
	role Role
}

func (h *Hub) makeRoutes() map[string]route {
	read := []string{http.MethodGet, http.MethodHead}
	if h.opts.Plain {
		return map[string]route{}
	}
	routes := map[string]route{
		"/version":       {methods: read, serve: h.serveVersion},
		"/stats":         {methods: read, serve: h.serveStats, role: RoleStatus},
		"/compatibility": {methods: []string{http.MethodPost}, serve: h.serveCompatibility},
	}
	for _, path := range []string{"/health", "/livez", "/readyz"} {
		routes[path] = route{methods: read, serve: h.askHost, anyHost: true}
	}
	for _, path := range []string{"/status", "/diagnostics", "/metrics"} {
		routes[path] = route{methods: read, serve: h.askHost, role: RoleStatus}
	}
	return routes
}

// Handler returns what the hub serves on its listeners: Socket.IO, and the
// read-only endpoints. Serve uses it; it can also be mounted elsewhere, at the
// root, but then the limits of Serve on headers and connections are the caller's.
func (h *Hub) Handler() http.Handler { return http.HandlerFunc(h.serveHTTP) }

func (h *Hub) serveHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		v := recover()
		if v == nil || v == http.ErrAbortHandler {
			return
		}
		h.counters.errors.Add(1)
		h.log.Error("http handler failed", "path", r.URL.Path, "error", fmt.Sprint(v), "stack", string(debug.Stack()))
		fail(w, http.StatusInternalServerError, "internal_error", "the request failed by a fault of the server")
	}()
	boundWrite(w) // the deadline of the answer before this one may have passed
	route, known := h.routes[r.URL.Path]
	if !route.anyHost && !h.hosts.Load().allows(r.Host) {
		fail(w, http.StatusMisdirectedRequest, "foreign_host",
			"the Host header does not name this server; use localhost, the configured host, or an address it is bound to")
		return
	}
	if known && h.allowOrigin(w, r) {
		return
	}
	if !known {
		h.serveUnknown(w)
		return
	}
	if !slices.Contains(route.methods, r.Method) {
		w.Header().Set("Allow", strings.Join(route.methods, ", "))
		status := http.StatusMethodNotAllowed
		if route.engine {
			status = http.StatusBadRequest
		}
		fail(w, status, "method_not_allowed",
			fmt.Sprintf("%s takes %s", r.URL.Path, strings.Join(route.methods, " and ")))
		return
	}
	if route.role != "" && !h.needsRole(w, r, route.role) {
		return
	}
	route.serve(w, r)
}

func (h *Hub) serveUnknown(w http.ResponseWriter) {
	paths := make([]string, 0, len(h.routes))
	for path, route := range h.routes {
		paths = append(paths, route.methods[0]+" "+path)
	}
	slices.Sort(paths)
	reply(w, http.StatusNotFound, map[string]any{
		"error":      "nothing is served at this path",
		"error_code": "not_found",
		"available":  paths,
	})
}

func (h *Hub) serveVersion(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{
		"server_version":            h.opts.ServerVersion,
		"server_id":                 h.opts.ServerID,
		"socketio_version":          socketIOVersion,
		"compatibility_matrix":      compatibilityMatrix(h.opts.ServerVersion),
		"supported_client_versions": []string{clientConstraint},
		"features":                  features,
	})
}

func (h *Hub) serveStats(w http.ResponseWriter, _ *http.Request) {
	s := h.Statistics()
	var lastActivity any
	if !s.LastActivity.IsZero() {
		lastActivity = timestamp(s.LastActivity)
	}
	reply(w, http.StatusOK, map[string]any{
		"server_info": map[string]any{
			"version": h.opts.ServerVersion,
			"id":      h.opts.ServerID,
			"uptime":  h.uptime(s.TakenAt),
		},
		"connections": map[string]any{
			"current_clients": s.ConnectedClients,
			"total_served":    s.ClientsServed,
			"client_versions": s.ClientVersions,
		},
		"events": map[string]any{
			"total_processed": s.EventsProcessed,
			"history_size":    s.HistorySize,
			"last_activity":   lastActivity,
		},
		"errors": s.Errors,
	})
}

func (h *Hub) serveCompatibility(w http.ResponseWriter, r *http.Request) {
	body, status := readBody(w, r, compatibilityBytes, h.opts.BodyTimeout)
	if status != 0 {
		fail(w, status, "bad_body", http.StatusText(status)+": send a small JSON object")
		return
	}
	var request map[string]any
	if err := json.Unmarshal(body, &request); err != nil || request == nil {
		fail(w, http.StatusBadRequest, "bad_json", `the body is not a JSON object; send {"client_version": "0.7.0"}`)
		return
	}
	reply(w, http.StatusOK, judge(h.opts.ServerVersion, request["client_version"]))
}

// fail answers with an error for people and its code for programs.
func fail(w http.ResponseWriter, status int, code, text string) {
	reply(w, status, map[string]any{"error": text, "error_code": code, "timestamp": timestamp(time.Now())})
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a bug of ours; every value here can be encoded
		panic(err)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	boundWrite(w)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
