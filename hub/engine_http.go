package hub

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/upkeephub/upkeep/hub/internal/attribution"
	"github.com/zishang520/socket.io/servers/engine/v3"
)

// endpoint is an Engine.IO server at a path: the one of Socket.IO, or one of
// HandleEngine.
type endpoint struct {
	server  engine.BaseServer
	handler http.Handler // the library's
}

// mount serves an endpoint at a path.
func (h *Hub) mount(path string, e *endpoint) {
	h.endpoints = append(h.endpoints, e)
	h.routes[path] = route{
		methods: []string{http.MethodGet, http.MethodPost},
		engine:  true,
		serve:   func(w http.ResponseWriter, r *http.Request) { h.serveEngine(w, r, e) },
	}
}

// serveEngine stands between the network and the library: it admits sessions, ties
// requests to them, reads bodies within bounds, and lets the library answer into
// memory, because it answers polls from other goroutines, even after the request
// is gone.
func (h *Hub) serveEngine(w http.ResponseWriter, r *http.Request, e *endpoint) {
	if !h.originAllowed(r) {
		fail(w, http.StatusForbidden, "foreign_origin",
			"the Origin header names another site than the request; connect from a page of this server, or without Origin")
		return
	}
	upgrade := websocket.IsWebSocketUpgrade(r)
	var l *link
	if sid := r.URL.Query().Get("sid"); sid != "" {
		if l = e.sessionOf(sid); l == nil {
			l = newLink(h) // the library answers that it does not know the session
		}
	} else {
		if h.quarantine.refuseHandshake(w, r) {
			return
		}
		var ok bool
		if l, ok = h.admit(r); ok {
			l.endpoint = e
		} else {
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusServiceUnavailable, "server_full",
				"no more clients are admitted at present; try again later")
			return
		}
		defer func() {
			if !l.opened() {
				l.release()
			}
		}()
	}
	if upgrade {
		h.upgrade(w, r, l, e)
		return
	}
	// The library would check the origin once more, without knowing default ports.
	r = l.attach(r)
	r.Header = r.Header.Clone()
	r.Header.Del("Origin")
	if r.Method == http.MethodPost {
		body, status := readBody(w, r, h.opts.MaxPayloadBytes, h.opts.BodyTimeout)
		if status != 0 {
			if status == http.StatusRequestEntityTooLarge {
				l.refuse("a payload is larger than allowed")
			}
			fail(w, status, "bad_body", http.StatusText(status)+": send at most max_payload bytes, and without pauses")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
	}
	answer := newRecorder()
	e.handler.ServeHTTP(answer, r)
	answer.copyTo(w)
}

// admit makes the link of a new session, unless the hub is full or stopping. The
// probe is always admitted and takes no place.
func (h *Hub) admit(r *http.Request) (*link, bool) {
	l := newLink(h)
	if h.stopping.Load() {
		return nil, false
	}
	l.offsets.Store(h.opts.recovers() && takesOffsets(r.Header))
	if h.isProbe(r.Header.Get(probeHeader)) {
		l.probe.Store(true)
		return l, true
	}
	if h.admitted.Add(1) > h.maxConnections {
		h.admitted.Add(-1)
		return nil, false
	}
	l.admitted = true
	l.account = h.blame.Open(attribution.Identity{Address: addressOf(r.RemoteAddr)})
	return l, true
}

// readBody reads a body of at most limit bytes, which has to come in time. It returns the
// status to answer with when that fails, else 0.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, timeout time.Duration) ([]byte, int) {
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(timeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	// Else the deadline would end the watch for the client's hanging up.
	_ = control.SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, http.StatusRequestTimeout
	}
	return body, 0
}

// recorder is a response in memory. The library may write it from any goroutine,
// at any time; what comes after copyTo is refused.
type recorder struct {
	mu     sync.Mutex
	header http.Header
	status int
	body   []byte
	sealed bool
}

func newRecorder() *recorder { return &recorder{header: make(http.Header)} }

// Header is the library's alone until the response is complete: it writes a
// response once, and its handler returns only then or when the request is gone.
func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status == 0 && !r.sealed {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return 0, http.ErrHandlerTimeout
	}
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.body = append(r.body, p...)
	return len(p), nil
}

// copyTo sends what was recorded. When there is nothing, the request was given up
// and gets no answer.
func (r *recorder) copyTo(w http.ResponseWriter) {
	r.mu.Lock()
	r.sealed = true
	status, body := r.status, r.body
	r.mu.Unlock()
	if status == 0 {
		return
	}
	// The header was complete before the status was written.
	header := w.Header()
	for key, values := range r.header {
		header[key] = values
	}
	boundWrite(w)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// responseTimeout bounds how long a response may take to leave.
const responseTimeout = 10 * time.Second

// boundWrite gives a response responseTimeout to leave.
func boundWrite(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(responseTimeout))
}
