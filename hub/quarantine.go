package hub

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/upkeephub/upkeep/hub/internal/attribution"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// MaxQuarantined is how many may be kept out at a time.
const MaxQuarantined = 256

// Quarantined is somebody who is kept out for a while.
type Quarantined struct {
	// Kind is client, address or token, and ID what a Suspect of that kind has.
	Kind, ID string
	// Address of a client, empty of the others: who connects from there while the
	// client is kept out is disconnected as soon as much of what it sends is refused,
	// for it may be the same one under a new id.
	Address string
	// Until is when it may come back.
	Until time.Time
}

// quarantineCode is what clients are told that are kept out, for programs.
const quarantineCode = "quarantined"

// probation is how many refusals or failures a newcomer from the address of a
// quarantined client may have.
const probation = 50

// quarantine is who is kept out.
type quarantine struct {
	hub     *Hub
	version atomic.Uint64 // of the list
	list    atomic.Pointer[[]Quarantined]
}

// SetQuarantine says who is kept out from now on, in place of the list before, and
// disconnects those that are here in such a way that stock clients do not come back
// by themselves. It returns how many. Of more than MaxQuarantined the last ones are
// left out. The probe is never kept out. A list with a lower version than the one
// before changes nothing, so that lists may overtake each other.
func (h *Hub) SetQuarantine(version uint64, list []Quarantined) int {
	q := &h.quarantine
	for {
		before := q.version.Load()
		if version < before {
			return 0
		}
		if q.version.CompareAndSwap(before, version) {
			break
		}
	}
	list = append([]Quarantined(nil), list[:min(len(list), MaxQuarantined)]...)
	if len(list) == 0 {
		q.list.Store(nil)
		return 0
	}
	q.list.Store(&list)
	expelled := 0
	for _, l := range h.sessions() {
		if _, out := q.holds(l.account.Identity()); out && l.expel() {
			expelled++
		}
	}
	return expelled
}

// holds says whether somebody is kept out, and for how long.
func (q *quarantine) holds(id attribution.Identity) (left time.Duration, out bool) {
	list := q.list.Load()
	if list == nil {
		return 0, false
	}
	now := time.Now()
	for _, e := range *list {
		match := ""
		switch e.Kind {
		case "client":
			match = id.Client
		case "address":
			match = id.Address
		case "token":
			match = id.Token
		}
		if match != "" && match == e.ID && now.Before(e.Until) {
			return e.Until.Sub(now), true
		}
	}
	return 0, false
}

// watch disconnects a newcomer from the address of a quarantined client once it
// behaves as that one did.
func (q *quarantine) watch(l *link) {
	list := q.list.Load()
	if list == nil || l.probe.Load() || l.offences.Add(1) != probation {
		return
	}
	address, now := l.account.Identity().Address, time.Now()
	for _, e := range *list {
		if e.Kind == "client" && e.Address == address && address != "" && now.Before(e.Until) {
			q.hub.log.Warn("client disconnected: it does what a quarantined client of its address did", "client", l.remote())
			l.spawn(func() { l.expel() })
			return
		}
	}
}

// expel ends a session so that a stock client stays away: it is told that the server
// has disconnected it.
func (l *link) expel() bool {
	l.mu.Lock()
	conn, c, over := l.conn, l.client, l.over
	if l.cause == "" {
		l.cause = "it is quarantined"
	}
	l.mu.Unlock()
	if conn == nil || over || l.probe.Load() {
		return false
	}
	if t, ok := conn.Transport().(*webSocket); ok {
		t.setCloseCode(websocket.ClosePolicyViolation)
	}
	if c != nil {
		c.socket.Disconnect(true)
	}
	conn.Close(true)
	return true
}

// refuseHandshake answers a handshake from an address that is kept out. It reports
// whether it did.
func (q *quarantine) refuseHandshake(w http.ResponseWriter, r *http.Request) bool {
	if q.list.Load() == nil {
		return false
	}
	left, out := q.holds(attribution.Identity{Address: addressOf(r.RemoteAddr)})
	if !out || q.hub.isProbe(r.Header.Get(probeHeader)) {
		return false
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(left.Seconds())+1))
	fail(w, http.StatusForbidden, quarantineCode, "this address is kept out for a while because of what came from it; "+
		"an operator can let it in again: host quarantine list")
	return true
}

// refusal is what a client gets that may not join because it is kept out; nil: it may.
func (q *quarantine) refusal(l *link) *socket.ExtendedError {
	left, out := q.holds(l.account.Identity())
	if !out || l.probe.Load() {
		return nil
	}
	return socket.NewExtendedError(fmt.Sprintf("kept out for %.0f s more because of what this client did", left.Seconds()),
		map[string]any{"code": quarantineCode, "retry_after": int(left.Seconds()) + 1})
}
