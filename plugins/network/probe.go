package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/gorilla/websocket"

	"github.com/upkeephub/upkeep/sdk"
)

const (
	// trips are the event round trips of a probe, pause the time before each. A
	// hub that gets to run only now and then answers a whole burst of questions
	// in one of its moments; asked after a pause, it has to be awake again.
	trips = 2
	pause = 130 * time.Millisecond
	// maxFrame bounds a message of the hub, in bytes.
	maxFrame = 1 << 20
	// farewell is how long the polite end of a probe may take.
	farewell = 100 * time.Millisecond
)

// probe is one conversation with one address.
type probe struct {
	address string
	target  sdk.Target
	timeout time.Duration // for all answers together
}

// stepError names the step of the conversation that failed.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// run connects, joins the default namespace, and sends two pings as any client
// may. It ends with ctx, and takes at most timeout besides its own pauses.
func (p probe) run(ctx context.Context) outcome {
	ctx, cancel := context.WithTimeout(ctx, p.timeout+trips*pause)
	defer cancel()
	out := outcome{address: p.address}
	began := time.Now()
	conn, err := p.dial(ctx)
	if err != nil {
		out.err = p.explain(ctx, err, began)
		return out
	}
	c := conversation{conn}
	defer c.end()
	// A context that is cancelled early interrupts a read or write under way.
	defer context.AfterFunc(ctx, func() { _ = conn.NetConn().SetDeadline(time.Unix(1, 0)) })()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetReadDeadline(deadline)
		_ = conn.SetWriteDeadline(deadline)
	}
	if err := c.open(p.target.ProbeSecret); err != nil {
		out.err = p.explain(ctx, err, began)
		return out
	}
	out.connect = time.Since(began)
	for n := range trips {
		took, err := c.roundTrip(ctx)
		if err != nil {
			out.err = p.explain(ctx, err, began)
			return out
		}
		// The faster one counts: a single hiccup of a scheduler is no illness.
		if n == 0 || took < out.roundTrip {
			out.roundTrip = took
		}
	}
	return out
}

// dial opens the WebSocket; the first step of Engine.IO travels in its URL.
func (p probe) dial(ctx context.Context) (*websocket.Conn, error) {
	address := reachable(p.address)
	scheme := "ws"
	if p.target.TLS {
		scheme = "wss"
	}
	path := p.target.Path
	if path == "" {
		path = defaultPath
	}
	target := url.URL{Scheme: scheme, Host: address, Path: path, RawQuery: "EIO=4&transport=websocket"}
	header := http.Header{}
	if p.target.ProbeSecret != "" {
		header.Set(sdk.ProbeHeader, p.target.ProbeSecret)
	}
	var connectErr error
	uninterrupted := func() bool { return true }
	dialer := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, address)
			connectErr = err
			if err == nil { // gorilla/websocket heeds the deadline of ctx, but not its early end
				uninterrupted = context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err
		},
		// The certificate is for the name that clients use; this is the address.
		// Whether somebody answers is the question here, not who.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	conn, response, err := dialer.DialContext(ctx, target.String(), header)
	if !uninterrupted() && err == nil {
		_ = conn.Close()
		err = ctx.Err()
	}
	switch {
	case connectErr != nil:
		return nil, &stepError{"connect", connectErr}
	case err != nil && response != nil:
		return nil, &stepError{"WebSocket handshake", fmt.Errorf("the answer is HTTP %s", response.Status)}
	case err != nil:
		return nil, &stepError{"WebSocket handshake", err}
	}
	conn.SetReadLimit(maxFrame)
	return conn, nil
}

// reachable turns an address bound on all interfaces into one to connect to,
// which is also a Host that the hub takes.
func reachable(address string) string {
	bound, err := netip.ParseAddrPort(address)
	if err != nil || !bound.Addr().IsUnspecified() {
		return address
	}
	loopback := netip.IPv6Loopback()
	if bound.Addr().Is4() {
		loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(loopback, bound.Port()).String()
}

// explain makes an error that people read: a time-out says how long was waited.
func (p probe) explain(ctx context.Context, err error, began time.Time) error {
	var failed *stepError
	if !errors.As(err, &failed) {
		return err
	}
	// What interrupts a read at the deadline may be the end of ctx or the
	// connection's own deadline, and shows in several ways.
	var timeout net.Error
	late := errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
	if late {
		return &stepError{failed.step, fmt.Errorf("no answer within %v", time.Since(began).Round(10*time.Millisecond))}
	}
	return err
}

// conversation speaks Engine.IO 4 and Socket.IO 5 over a WebSocket.
type conversation struct {
	conn *websocket.Conn
}

// open waits for Engine.IO's greeting and joins the default namespace.
func (c conversation) open(secret string) error {
	const greeting, joining = "Engine.IO handshake", "namespace connect"
	text, err := c.read()
	if err != nil {
		return &stepError{greeting, err}
	}
	var session struct {
		SID string `json:"sid"`
	}
	if text[0] != '0' || json.Unmarshal([]byte(text[1:]), &session) != nil || session.SID == "" {
		return &stepError{greeting, fmt.Errorf("the hub said %.80q: want 0 and an object with sid", text)}
	}
	auth, err := json.Marshal(map[string]string{sdk.ProbeAuthKey: secret})
	if err != nil {
		return &stepError{joining, err}
	}
	if err := c.write("40" + string(auth)); err != nil {
		return &stepError{joining, err}
	}
	for {
		text, err := c.next()
		if err != nil {
			return &stepError{joining, err}
		}
		switch {
		case len(text) > 0 && text[0] == '0':
			return nil
		case len(text) > 0 && text[0] == '4':
			return &stepError{joining, fmt.Errorf("the hub refused it: %.200s", text[1:])}
		}
	}
}

// roundTrip pauses, sends a ping event and waits for the pong event; what the
// hub says in between is not for a probe.
func (c conversation) roundTrip(ctx context.Context) (time.Duration, error) {
	const step = "event round trip"
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return 0, &stepError{step, ctx.Err()}
	}
	asked := time.Now()
	if err := c.write(`42["ping"]`); err != nil {
		return 0, &stepError{step, err}
	}
	for {
		text, err := c.next()
		if err != nil {
			return 0, &stepError{step, err}
		}
		if len(text) > 0 && text[0] == '2' && eventName(text[1:]) == "pong" {
			return time.Since(asked), nil
		}
	}
}

// eventName reads the name out of ["name", …]; "" if there is none.
func eventName(text string) string {
	var event []json.RawMessage
	var name string
	if json.Unmarshal([]byte(text), &event) == nil && len(event) > 0 {
		_ = json.Unmarshal(event[0], &name)
	}
	return name
}

// next returns the next Socket.IO packet, and answers Engine.IO's pings on the way.
func (c conversation) next() (string, error) {
	for {
		text, err := c.read()
		if err != nil {
			return "", err
		}
		switch text[0] {
		case '4':
			if text == "41" {
				return "", errors.New("the hub left the namespace")
			}
			return text[1:], nil
		case '2':
			if err := c.write("3" + text[1:]); err != nil {
				return "", err
			}
		case '1':
			return "", errors.New("the hub closed the session")
		case '6': // noop
		default:
			return "", fmt.Errorf("the hub said %.80q, which is no packet of Engine.IO 4", text)
		}
	}
}

// read returns the next message, never an empty one.
func (c conversation) read() (string, error) {
	for {
		kind, message, err := c.conn.ReadMessage()
		if err != nil {
			return "", err
		}
		if kind == websocket.BinaryMessage { // an attachment of somebody's event
			continue
		}
		if len(message) == 0 {
			return "", errors.New("the hub sent an empty message")
		}
		return string(message), nil
	}
}

func (c conversation) write(text string) error {
	return c.conn.WriteMessage(websocket.TextMessage, []byte(text))
}

// end takes leave of namespace and connection, as far as the hub still listens.
func (c conversation) end() {
	limit := time.Now().Add(farewell)
	_ = c.conn.SetWriteDeadline(limit)
	_ = c.write("41")
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), limit)
	_ = c.conn.Close()
}
