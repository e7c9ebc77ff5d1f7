package hub

import (
	"slices"
	"sync"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// visit is a client's stay in a namespace other than the default one.
type visit struct {
	socket *socket.Socket
	left   chan struct{} // closed when the client has left the namespace
}

// onVisit is called when a client has joined a namespace other than the default one,
// on the queue that also handles its events there.
func (h *Hub) onVisit(args ...any) {
	s, ok := first(args).(*socket.Socket)
	if !ok {
		return
	}
	l := linkOf(s.Request().Context())
	v := &visit{socket: s, left: make(chan struct{})}
	var once sync.Once
	leave := func() {
		once.Do(func() {
			l.endVisit(v)
			close(v.left)
		})
	}
	_ = s.On("disconnect", func(...any) { leave() })
	if !l.beginVisit(v) || !s.Connected() { // the session ended meanwhile; the library may not know
		s.Disconnect(false)
		leave()
	}
	l.announce(s.Nsp().Name())
}

// settling is client.settling, in another namespace.
func (v *visit) settling() <-chan struct{} { return settling(v.socket) }

// beginVisit reports false when the session is over already.
func (l *link) beginVisit(v *visit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.visits = append(slices.Clone(l.visits), v) // settle reads the old one
	return true
}

func (l *link) endVisit(v *visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits = slices.DeleteFunc(slices.Clone(l.visits), func(other *visit) bool { return other == v })
}
