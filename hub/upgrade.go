package hub

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// upgradeContext is the context of a request that became a WebSocket. It keeps what
// the session needs for its life, and nothing else of the request.
type upgradeContext struct {
	context.Context // context.Background()
	link            *link
	conn            net.Conn
	accepted        []byte // the response, which goes out with the first message
}

func (c *upgradeContext) Value(key any) any {
	if key == (linkKey{}) {
		return c.link
	}
	return nil
}

// upgrade makes a WebSocket of a request and hands it to the engine, for a new
// session or for one that polls. The library would do that too, but would keep the
// request, its buffers and its response as long as the session lives.
func (h *Hub) upgrade(w http.ResponseWriter, r *http.Request, l *link, e *endpoint) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if raw, err := base64.StdEncoding.DecodeString(key); err != nil || len(raw) != 16 || r.Method != http.MethodGet {
		fail(w, http.StatusBadRequest, "bad_upgrade", "the request is no WebSocket handshake: it needs GET and a Sec-WebSocket-Key of 16 bytes")
		return
	}
	if r.Header.Get("Sec-WebSocket-Version") != "13" {
		w.Header().Set("Sec-WebSocket-Version", "13")
		fail(w, http.StatusUpgradeRequired, "bad_upgrade", "this server speaks version 13 of the WebSocket protocol")
		return
	}
	upgraded := &upgradeContext{Context: context.Background(), link: l}
	request := (&http.Request{
		Method: r.Method, URL: r.URL, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		Header: sessionHeader(r.Header), Host: r.Host, RemoteAddr: r.RemoteAddr, RequestURI: r.RequestURI, TLS: r.TLS,
	}).WithContext(upgraded)
	ctx := types.NewHttpContext(newRecorder(), request)
	defer ctx.Flush() // ends its goroutine

	server, name := e.server, ctx.Query().Peek("transport")
	refuse := func(problem *types.CodeMessage, details map[string]any) {
		server.Emit("connection_error", &types.ErrorMessage{CodeMessage: problem, Req: ctx, Context: details})
		refuseUpgrade(w, problem)
	}
	var failed error
	server.ApplyMiddlewares(ctx, func(err error) { failed = err })
	if failed != nil {
		refuse(engine.BAD_REQUEST, map[string]any{"name": "MIDDLEWARE_FAILURE"})
		return
	}
	if problem, details := server.Verify(ctx, true); problem != nil {
		refuse(problem, details)
		return
	}
	if name != transports.WEBSOCKET {
		refuse(engine.BAD_REQUEST, map[string]any{"name": "TRANSPORT_HANDSHAKE_ERROR"})
		return
	}
	var session engine.Socket
	if sid := ctx.Query().Peek("sid"); sid != "" {
		var known bool
		session, known = server.Clients().Load(sid)
		if !known || session.Upgrading() || session.Upgraded() || session.Transport().Name() != transports.POLLING {
			refuse(engine.BAD_REQUEST, map[string]any{"name": "UPGRADE_FAILURE"})
			return
		}
	} else if ctx.Query().Peek("EIO") != "4" {
		refuse(engine.UNSUPPORTED_PROTOCOL_VERSION, map[string]any{"protocol": ctx.Query().Peek("EIO")})
		return
	}

	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fail(w, http.StatusInternalServerError, "bad_upgrade", "this connection cannot become a WebSocket")
		return
	}
	if buffered.Reader.Buffered() > 0 { // it may not speak before it is answered
		_ = conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	upgraded.conn, upgraded.accepted = conn, acceptance(key)
	if session == nil {
		if _, transport := server.Handshake(name, ctx); transport == nil {
			_ = conn.Close()
		}
		return
	}
	transport, err := server.CreateTransport(name, ctx)
	if err != nil {
		_ = conn.Close()
		return
	}
	session.MaybeUpgrade(transport)
}

// sessionHeader copies the header of a request without what was about the
// connection only.
func sessionHeader(from http.Header) http.Header {
	header := make(http.Header, len(from))
	for name, values := range from {
		switch {
		case name == "Connection", name == "Upgrade", name == "Origin", strings.HasPrefix(name, "Sec-Websocket-"):
		default:
			header[name] = values
		}
	}
	return header
}

func refuseUpgrade(w http.ResponseWriter, problem *types.CodeMessage) {
	status := http.StatusBadRequest
	if problem == engine.FORBIDDEN {
		status = http.StatusForbidden
	}
	body, err := json.Marshal(types.CodeMessage{Code: problem.Code, Message: problem.Message})
	if err != nil { // a bug of ours: it is a number and a text
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// acceptance is the response that makes a connection a WebSocket, RFC 6455, section
// 4.2.2.
func acceptance(key string) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	sum := sha1.Sum([]byte(key + guid))
	b := make([]byte, 0, 160)
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	return append(b, "\r\n\r\n"...)
}
