package hub

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// pollingTransport makes the hub's own long-polling transports.
type pollingTransport struct{}

func (*pollingTransport) Name() string          { return transports.POLLING }
func (*pollingTransport) HandlesUpgrades() bool { return false }
func (*pollingTransport) UpgradesTo() []string  { return []string{transports.WEBSOCKET} }

func (*pollingTransport) New(ctx *types.HttpContext) transports.Transport {
	p := &polling{
		Transport: transports.MakeTransport(),
		link:      linkOf(ctx.Context()),
		answered:  make(chan struct{}),
		out:       newOutbox(),
	}
	p.Prototype(p)
	p.Construct(ctx)
	p.SetWritable(true) // for good: what waits, waits here, bounded
	return p
}

// polling carries one session over HTTP long polling: GET requests that wait for
// packets, POST requests that bring some. Against the library's own transport it
// always answers a waiting poll before it ends, refuses payloads it cannot read,
// bounds what waits for a client that does not poll, and hands that over when the
// session upgrades. Responses are written to a recorder (see engine_http.go), so
// no method blocks on the network. It starts a goroutine only to wait for the last
// poll of a session that is being closed.
type polling struct {
	transports.Transport
	link *link

	mu       sync.Mutex
	poll     *types.HttpContext // the GET that waits; nil: none
	posting  bool               // a POST is being handled
	rate     rate               // of the POST that is being handled
	out      outbox             // waits for the next poll
	heir     *webSocket         // took over; nil: nobody did
	closing  bool               // the next poll is the last
	left     bool               // the client has ended the session itself
	answered chan struct{}      // closed when a closing session has told its client
}

var _ transports.Transport = (*polling)(nil)

func (p *polling) Name() string          { return transports.POLLING }
func (p *polling) HandlesUpgrades() bool { return false }

// OnRequest takes a request of the session. It does not wait for its answer.
func (p *polling) OnRequest(ctx *types.HttpContext) {
	if ctx.Method() == http.MethodPost {
		p.onPost(ctx)
		return
	}
	p.onPoll(ctx)
}

func (p *polling) onPoll(ctx *types.HttpContext) {
	p.mu.Lock()
	if p.poll != nil {
		p.mu.Unlock()
		p.OnError("two polls at once", nil)
		respond(ctx, http.StatusBadRequest, "a poll of this session waits already")
		return
	}
	p.poll = ctx
	if p.readyLocked() || p.closing {
		p.answerLocked()
	}
	waits := p.poll != nil
	p.mu.Unlock()
	if !waits {
		return
	}
	gone := func(...any) { p.pollGone(ctx) }
	_ = ctx.Once("close", gone)
	if ctx.IsDone() { // perhaps before we listened
		gone()
	}
}

// pollGone ends the session when a poll was given up by its client.
func (p *polling) pollGone(ctx *types.HttpContext) {
	p.mu.Lock()
	abandoned := p.poll == ctx
	if abandoned {
		p.poll = nil
	}
	p.mu.Unlock()
	if abandoned {
		p.OnError("the poll was given up", nil)
	}
}

func (p *polling) onPost(ctx *types.HttpContext) {
	p.mu.Lock()
	busy := p.posting
	p.posting = true
	p.mu.Unlock()
	if busy {
		p.OnError("two posts at once", nil)
		respond(ctx, http.StatusBadRequest, "a post of this session is being handled already")
		return
	}
	status, text := p.receive(ctx)
	p.mu.Lock()
	p.posting = false
	p.mu.Unlock()
	respond(ctx, status, text)
}

// receive handles the packets of a POST and says how to answer it. The body is in
// memory already and no larger than allowed.
func (p *polling) receive(ctx *types.HttpContext) (status int, text string) {
	body, err := io.ReadAll(ctx.Request().Body)
	if err != nil {
		return http.StatusBadRequest, "the body cannot be read"
	}
	if over := p.rate.take(p.link, 1+bytes.Count(body, recordSeparator), len(body)); over != nil {
		p.link.tell(over)
		p.OnError("limit exceeded", over)
		return http.StatusTooManyRequests, over.text
	}
	data := types.NewStringBuffer(body)
	packets, err := p.Parser().DecodePayload(data)
	if err != nil || len(packets) == 0 || ctx.Headers().Peek("Content-Type") == "application/octet-stream" {
		p.link.refuse("a payload cannot be read")
		p.OnError("malformed payload", err)
		return http.StatusBadRequest, "the payload cannot be read"
	}
	p.link.account.AddBatch(len(packets), 0, len(body))
	for i, pk := range packets {
		if pk.Type == packet.CLOSE {
			p.mu.Lock()
			p.left = true
			p.mu.Unlock()
			p.OnClose()
			break
		}
		p.OnPacket(pk)
		if (i+1)%settleMessages == 0 {
			p.link.settle(ctx.Done())
		}
	}
	p.link.settle(ctx.Done())
	return http.StatusOK, "ok"
}

// recordSeparator stands between the packets of a payload.
var recordSeparator = []byte{0x1e}

// Send queues packets, or answers the waiting poll with them; it never blocks. The
// engine calls it with its flush lock held, so it must not report "ready".
func (p *polling) Send(packets []*packet.Packet) {
	var ready readyList
	for _, pk := range packets {
		f, err := frameOf(pk)
		if err != nil {
			p.link.spawn(func() { p.OnError("a packet cannot be encoded", err) })
			break
		}
		p.mu.Lock()
		// A noop only makes a waiting poll return, which is what an upgrade waits for.
		if pk.Type != packet.NOOP || p.poll != nil {
			p.enqueueLocked([]*frame{f}, false, &ready)
		}
		p.mu.Unlock()
	}
	p.link.hub.writers.add(ready)
	p.Emit("drain")
}

// enqueue queues the frames of one message, or answers the waiting poll with them.
// Volatile ones are left out unless a poll waits.
func (p *polling) enqueue(frames []*frame, volatile bool, ready *readyList) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enqueueLocked(frames, volatile, ready)
}

func (p *polling) enqueueLocked(frames []*frame, volatile bool, ready *readyList) {
	if p.heir != nil {
		p.heir.enqueue(frames, volatile, ready)
		return
	}
	if volatile && (p.poll == nil || p.out.held) {
		return
	}
	switch verdict, reason := p.out.add(frames, p.link.hub.bounds, p.out.oldest()); verdict {
	case dropped:
		p.link.dropped()
	case refused:
		if !p.closing {
			p.closing = true
			p.link.cut(reason)
			p.link.spawn(func() { p.OnError("slow consumer", nil) })
		}
		p.out.clear()
	}
	if p.poll != nil && p.readyLocked() {
		p.answerLocked()
	}
}

func (p *polling) readyLocked() bool { return len(p.out.frames) > 0 && !p.out.held }

// hold lets nothing out before the answer to the namespace connect.
func (p *polling) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		p.heir.hold()
		return
	}
	p.out.hold()
}

// drained returns a channel that is closed once little waits to be sent.
func (p *polling) drained() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		return p.heir.drained()
	}
	return p.out.whenDrained()
}

// release lets out the answer to a namespace connect and what follows it.
func (p *polling) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		p.heir.release()
		return
	}
	p.out.release()
	if p.poll != nil && p.readyLocked() {
		p.answerLocked()
	}
}

// bequeath hands what waits to the WebSocket that replaces this transport, and
// everything that is sent here from now on.
func (p *polling) bequeath(heir *webSocket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		return
	}
	p.heir = heir
	heir.inherit(p.out)
	p.out = newOutbox()
}

// answerLocked answers the waiting poll with what waits and, when the session ends,
// in the way that makes its client reconnect.
func (p *polling) answerLocked() {
	ctx := p.poll
	p.poll = nil
	body := make([]byte, 0, p.out.bytes+1)
	for _, f := range p.out.frames {
		body = appendPolled(body, f)
	}
	p.out.clear()
	if p.closing {
		p.toldLocked()
		switch {
		case p.left && len(body) == 0:
			body = appendPolled(body, noopFrame)
		case len(body) > 0:
			// The next poll learns it: the session is unknown by then. A stock client
			// would handle the close before the events that came with it, and then get
			// these again.
		case !givesUpOnClose(ctx):
			body = appendPolled(body, closeFrame)
		default:
			respond(ctx, http.StatusBadRequest, "the session is closed")
			return
		}
	}
	header := ctx.ResponseHeaders()
	header.Set("Content-Type", "text/plain; charset=UTF-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	_ = ctx.SetStatusCode(http.StatusOK)
	_, _ = ctx.Write(body)
}

// closeFrame is Engine.IO's close packet.
var closeFrame = newFrame(websocket.TextMessage, []byte("1"))

// noopFrame is Engine.IO's noop packet, which only ends a poll.
var noopFrame = newFrame(websocket.TextMessage, []byte("6"))

// givesUpOnClose reports whether the poller is python-engineio, which takes a close
// packet for its own wish to leave and never reconnects; a failed poll makes it
// reconnect. Its HTTP libraries name Python in the User-Agent.
func givesUpOnClose(ctx *types.HttpContext) bool {
	return strings.Contains(strings.ToLower(ctx.UserAgent()), "python")
}

func (p *polling) toldLocked() {
	select {
	case <-p.answered:
	default:
		close(p.answered)
	}
}

// DoClose answers the waiting poll with what waits and a close packet. When no
// poll waits, one is about to come: the session is kept for it, for closeTimeout.
// fn makes the engine forget the session.
func (p *polling) DoClose(fn types.Callable) {
	p.mu.Lock()
	p.closing = true
	p.out.release()
	if p.poll != nil {
		p.answerLocked()
	}
	if fn == nil || p.heir != nil { // the session is gone or lives on elsewhere
		p.toldLocked()
	}
	p.mu.Unlock()
	finish := func() {
		if fn != nil {
			fn()
		}
		p.OnClose()
	}
	select {
	case <-p.answered:
		finish()
		return
	default:
	}
	p.link.spawn(func() {
		timer := time.NewTimer(closeTimeout)
		defer timer.Stop()
		select {
		case <-p.answered:
		case <-p.link.ended:
		case <-timer.C:
		}
		finish()
	})
}

// OnClose reports the end of the session, after its client is told.
func (p *polling) OnClose() {
	p.mu.Lock()
	p.closing = true
	if p.poll != nil {
		p.answerLocked()
	}
	p.toldLocked()
	p.mu.Unlock()
	p.Transport.OnClose()
}

// respond answers a request of Engine.IO with a short text.
func respond(ctx *types.HttpContext, status int, text string) {
	header := ctx.ResponseHeaders()
	header.Set("Content-Type", "text/html") // what Engine.IO clients know
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("Cache-Control", "no-store")
	_ = ctx.SetStatusCode(status)
	_, _ = io.WriteString(ctx, text)
}
