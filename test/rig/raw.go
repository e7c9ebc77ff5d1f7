package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Raw is a client that speaks Engine.IO over a WebSocket itself, so that it
// can also say what no library would. Reading is the caller's: Read answers
// the server's pings while it waits.
type Raw struct {
	SID  string         // of the namespace
	Open map[string]any // Engine.IO's handshake

	conn  *websocket.Conn
	write sync.Mutex
}

var dialer = websocket.Dialer{HandshakeTimeout: 10 * time.Second, NetDialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}

// DialEngine opens a WebSocket and reads Engine.IO's handshake; no namespace
// is joined.
func DialEngine(ctx context.Context, port int) (*Raw, error) {
	return dialEngine(ctx, dialer, port)
}

func dialEngine(ctx context.Context, dialer websocket.Dialer, port int) (*Raw, error) {
	url := "ws://127.0.0.1:" + strconv.Itoa(port) + "/socket.io/?EIO=4&transport=websocket"
	conn, resp, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: %s", err, resp.Status)
		}
		return nil, fmt.Errorf("open a WebSocket: %w", err)
	}
	r := &Raw{conn: conn}
	open, err := r.Read(ctx)
	if err == nil && !strings.HasPrefix(open, "0") {
		err = fmt.Errorf("the first packet is %q", open)
	}
	if err == nil {
		err = json.Unmarshal([]byte(open[1:]), &r.Open)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("read Engine.IO's handshake: %w", err)
	}
	return r, nil
}

// DialRaw opens a WebSocket and joins the default namespace. The auth is
// JSON, or empty.
func DialRaw(ctx context.Context, port int, auth string) (*Raw, error) {
	return dialRaw(ctx, dialer, port, auth)
}

// DialRawFrom does so from another address of this machine, e.g. 127.0.0.2.
func DialRawFrom(ctx context.Context, address string, port int, auth string) (*Raw, error) {
	from := dialer
	from.NetDialContext = (&net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext
	return dialRaw(ctx, from, port, auth)
}

func dialRaw(ctx context.Context, dialer websocket.Dialer, port int, auth string) (*Raw, error) {
	r, err := dialEngine(ctx, dialer, port)
	if err != nil {
		return nil, err
	}
	if err := r.Send("40" + auth); err != nil {
		r.Close()
		return nil, err
	}
	joined, err := r.ReadUntil(ctx, func(p string) bool { return strings.HasPrefix(p, "40") || strings.HasPrefix(p, "44") })
	if err == nil && joined[1] == '4' {
		err = errors.New(joined)
	}
	var answer struct{ SID string }
	if err == nil {
		err = json.Unmarshal([]byte(joined[2:]), &answer)
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("join the namespace: %w", err)
	}
	r.SID = answer.SID
	return r, nil
}

// Send writes one text packet as it is.
func (r *Raw) Send(packet string) error {
	return r.SendMessage(websocket.TextMessage, []byte(packet))
}

// SendMessage writes one WebSocket message of any kind.
func (r *Raw) SendMessage(kind int, data []byte) error {
	r.write.Lock()
	defer r.write.Unlock()
	_ = r.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	return r.conn.WriteMessage(kind, data)
}

// SendBytes writes bytes to the socket below the WebSocket.
func (r *Raw) SendBytes(data []byte) error {
	r.write.Lock()
	defer r.write.Unlock()
	_ = r.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := r.conn.NetConn().Write(data)
	return err
}

// Emit sends an event.
func (r *Raw) Emit(event string, args ...any) error {
	packet, err := json.Marshal(append([]any{event}, args...))
	if err != nil {
		return err
	}
	return r.Send("42" + string(packet))
}

// Read returns the next packet that is no ping.
func (r *Raw) Read(ctx context.Context) (string, error) {
	// A read that was ended by ctx leaves the connection useless for reading.
	_ = r.conn.NetConn().SetReadDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { _ = r.conn.NetConn().SetReadDeadline(time.Unix(1, 0)) })()
	for {
		_, data, err := r.conn.ReadMessage()
		if err != nil {
			return "", err
		}
		if string(data) != "2" {
			return string(data), nil
		}
		if err := r.Send("3"); err != nil {
			return "", err
		}
	}
}

// ReadUntil reads packets until one fits.
func (r *Raw) ReadUntil(ctx context.Context, fits func(string) bool) (string, error) {
	for {
		p, err := r.Read(ctx)
		if err != nil || fits(p) {
			return p, err
		}
	}
}

// ReadEvent reads until an event of that name and returns its arguments.
func (r *Raw) ReadEvent(ctx context.Context, event string) ([]json.RawMessage, error) {
	var args []json.RawMessage
	_, err := r.ReadUntil(ctx, func(p string) bool {
		var fields []json.RawMessage
		if !strings.HasPrefix(p, "42[") || json.Unmarshal([]byte(p[2:]), &fields) != nil || len(fields) == 0 {
			return false
		}
		var name string
		if json.Unmarshal(fields[0], &name) != nil || name != event {
			return false
		}
		args = fields[1:]
		return true
	})
	return args, err
}

// Ping does an event round trip, ping to pong, and returns how long it took.
func (r *Raw) Ping(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := r.Emit("ping"); err != nil {
		return 0, err
	}
	_, err := r.ReadEvent(ctx, "pong")
	return time.Since(began), err
}

// Close closes the socket without a word, as a client does that dies.
func (r *Raw) Close() error { return r.conn.Close() }
