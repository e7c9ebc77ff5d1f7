package hub

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gorilla/websocket"
	"github.com/upkeephub/upkeep/hub/internal/attribution"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// admitToken says what the client that joins a namespace may do. The probe may do
// everything.
func (h *Hub) admitToken(s *socket.Socket) (access, error) {
	l := linkOf(s.Request().Context())
	auth := s.Handshake().Auth
	if secret, ok := auth[probeAuthKey].(string); ok && h.isProbe(secret) {
		l.probe.Store(true)
	}
	if l.probe.Load() {
		return access{roles: everyRole}, nil
	}
	granted, err := h.gate.admit(tokenOf(auth, s.Request().Request()))
	if err != nil {
		h.counters.errors.Add(1)
		l.account.Add(attribution.Refusals, 1)
		h.refusals.log("client refused", "reason", err.Error(), "client", l.remote(), "namespace", s.Nsp().Name())
		return granted, err
	}
	id := l.account.Identity()
	id.Token = granted.name
	l.account.Identify(id)
	l.expireAt(granted.expires)
	return granted, nil
}

// refusalOf is what a client is told that may not join.
func refusalOf(err error) *socket.ExtendedError {
	if refused, ok := err.(*tokenError); ok {
		return socket.NewExtendedError(refused.text, map[string]any{"code": refused.code})
	}
	return socket.NewExtendedError(err.Error(), nil)
}

// guardNamespace has a namespace other than the default one, whose handlers do the
// same, let out the answers to connects, ask for tokens, and keep out who is
// quarantined.
func (h *Hub) guardNamespace(args ...any) {
	nsp, ok := first(args).(socket.Namespace)
	if !ok {
		return
	}
	_ = nsp.On("connection", h.onVisit)
	nsp.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		var refusal *socket.ExtendedError
		defer func() {
			if v := recover(); v != nil {
				h.failed(nil, "connect", fmt.Errorf("panic: %v", v), debug.Stack())
				refusal = socket.NewExtendedError("internal error, try again", nil)
			}
			next(refusal)
		}()
		if _, err := h.admitToken(s); err != nil {
			refusal = refusalOf(err)
			return
		}
		refusal = h.quarantine.refusal(linkOf(s.Request().Context()))
	})
}

// expireAt has the session closed at a time, or earlier if that was said before,
// so that its client comes back with a new token or stays away. The zero time
// changes nothing.
func (l *link) expireAt(at time.Time) {
	if at.IsZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.expiry != nil && !at.Before(l.expires) {
		return
	}
	if l.expiry != nil {
		l.expiry.Stop()
	}
	l.expires = at
	l.expiry = time.AfterFunc(time.Until(at), func() { l.close("the token has expired", websocket.ClosePolicyViolation) })
}

// notAllowed is the answer to an event that needs a role which its sender lacks.
func notAllowed(event string, role Role) *answer {
	return &answer{"not_allowed", map[string]any{
		"event": event, "role": string(role), "message": fmt.Sprintf("%s needs a token with the role %s", event, role),
	}}
}

// needsRole refuses a request unless its token has a role. It reports whether the
// request may go on.
func (h *Hub) needsRole(w http.ResponseWriter, r *http.Request, role Role) bool {
	if !h.gate.enabled || h.isProbe(r.Header.Get(probeHeader)) {
		return true
	}
	granted, err := h.gate.admit(tokenIn(r))
	if refused, ok := err.(*tokenError); ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="upkeep"`)
		fail(w, http.StatusUnauthorized, refused.code, refused.text)
		return false
	}
	if !granted.roles.has(role) {
		fail(w, http.StatusForbidden, "not_allowed", fmt.Sprintf("the token lacks the role %s", role))
		return false
	}
	return true
}
