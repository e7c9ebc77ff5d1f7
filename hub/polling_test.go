package hub

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestAPollerIsServed(t *testing.T) {
	r := start(t, Options{})
	p, other := r.poll(t), r.connect(t, "")
	answer := r.waitingPoll(p)
	other.send(`42["claude_event",{"type":"a"}]`)
	if got := <-answer; !strings.HasPrefix(got, `200 42["claude_event",{`) {
		t.Errorf("the waiting poll was answered %q", got)
	}
	if status, text := p.post("42[\"ping\"]\x1e421[\"claude_event\",{\"type\":\"b\"}]"); status != http.StatusOK || text != "ok" {
		t.Errorf("post: %d %s", status, text)
	}
	other.next("claude_event")
	_, packets := p.get()
	if !strings.Contains(packets, `42["pong"`) || !strings.HasSuffix(packets, "\x1e431[]") {
		t.Errorf("the next poll brings %q, want pong and acknowledgement", packets)
	}
}

func TestMalformedPostsCloseTheSessionWith400(t *testing.T) {
	for _, body := range []string{"abc", "", "\x1e", "9", "42[\"ping\"]\x1ex"} {
		r := start(t, Options{})
		p := r.poll(t)
		answer := r.waitingPoll(p)
		if status, _ := p.post(body); status != http.StatusBadRequest {
			t.Errorf("%q: answered %d, want 400", body, status)
		}
		if got := <-answer; got != "200 1" {
			t.Errorf("%q: the waiting poll was answered %q, want a close packet", body, got)
		}
		if status, _ := p.get(); status != http.StatusBadRequest {
			t.Errorf("%q: a later poll is answered %d, want 400", body, status)
		}
		if got := r.Statistics(); got.Errors != 1 || got.EventsFailed != 0 || got.ConnectedClients != 0 {
			t.Errorf("%q: %d errors, %d failed, %d clients; want 1, 0, 0", body, got.Errors, got.EventsFailed, got.ConnectedClients)
		}
	}
}

func TestOversizedPostsAreRefusedWith413(t *testing.T) {
	r := start(t, Options{MaxPayloadBytes: 2000})
	p := r.poll(t)
	body := `42["claude_event",{"x":"` + strings.Repeat("x", 3000) + `"}]`
	if status, _ := p.post(body); status != http.StatusRequestEntityTooLarge {
		t.Errorf("with a length: answered %d, want 413", status)
	}
	request, err := http.NewRequest("POST", p.base, struct{ *strings.Reader }{strings.NewReader(body)}) // no length: chunked
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = -1
	response, err := p.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := readAnswer(t, response); status != http.StatusRequestEntityTooLarge {
		t.Errorf("chunked: answered %d, want 413", status)
	}
	if status, _ := p.post(`42["ping"]`); status != http.StatusOK {
		t.Errorf("the session did not survive: %d", status)
	}
	if got := r.Statistics(); got.Errors == 0 || got.HistorySize != 0 {
		t.Errorf("%d errors, %d events kept; want an error and no event", got.Errors, got.HistorySize)
	}
}

func TestTwoPollsAtOnceCloseTheSession(t *testing.T) {
	r := start(t, Options{})
	p := r.poll(t)
	answer := r.waitingPoll(p)
	if status, _ := p.get(); status != http.StatusBadRequest {
		t.Errorf("the second poll is answered %d, want 400", status)
	}
	if got := <-answer; got != "200 1" {
		t.Errorf("the first poll is answered %q, want a close packet", got)
	}
	eventually(t, "the session is over", func() bool { return r.Statistics().ConnectedClients == 0 })
}

func TestAPollThatIsGivenUpEndsTheSession(t *testing.T) {
	r := start(t, Options{})
	p := r.poll(t)
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(p.base, DefaultPath)
	fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: localhost\r\n\r\n", DefaultPath, query)
	eventually(t, "the hub holds the poll", func() bool { return r.sessions()[0].transport().(*polling).polled() })
	conn.Close()
	eventually(t, "the session is over", func() bool { return r.Statistics().ConnectedClients == 0 })
}

func TestAClientThatSaysGoodbyeIsGone(t *testing.T) {
	r := start(t, Options{})
	p := r.poll(t)
	answer := r.waitingPoll(p)
	for _, body := range []string{"41", "1"} {
		if status, _ := p.post(body); status != http.StatusOK {
			t.Errorf("%s: %d", body, status)
		}
	}
	if got := <-answer; !strings.HasPrefix(got, "200 ") {
		t.Errorf("the waiting poll was answered %q", got)
	}
	if len(r.sessions()) != 0 || r.Statistics().ConnectedClients != 0 || r.Statistics().Errors != 0 {
		t.Errorf("%d sessions are left, statistics %+v", len(r.sessions()), r.Statistics())
	}
}

// What is sent while a client upgrades arrives once, in order.
func TestAnUpgradeLosesNothing(t *testing.T) {
	r := start(t, Options{})
	p, sender := r.poll(t), r.connect(t, "")
	const n = 500
	go func() {
		for i := range n {
			sender.send(fmt.Sprintf(`42["claude_event",{"type":"t","i":%d}]`, i))
		}
	}()
	var got []string
	take := func(packets string) {
		for _, packet := range strings.Split(packets, "\x1e") {
			if strings.HasPrefix(packet, "42") {
				got = append(got, packet)
			}
		}
	}
	_, packets := p.get()
	take(packets)

	sid := p.base[strings.Index(p.base, "&sid=")+len("&sid="):]
	conn, _, err := websocket.DefaultDialer.Dial(wsURL(r.addr)+"&sid="+sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	write := func(text string) {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("2probe")
	if _, answer, err := conn.ReadMessage(); err != nil || string(answer) != "3probe" {
		t.Fatalf("the probe is answered %q, %v", answer, err)
	}
	for range 5 { // the last one is made to return by a noop, if nothing else does
		_, packets := p.get()
		take(packets)
	}
	write("5")
	for len(got) < n {
		_, message, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("after %d events: %v", len(got), err)
		}
		take(string(message))
	}
	for i, packet := range got {
		if !strings.Contains(packet, fmt.Sprintf(`"i":%d,`, i)) {
			t.Fatalf("event %d is %s", i, packet)
		}
	}
	write(`42["ping"]`)
	if _, message, err := conn.ReadMessage(); err != nil || !strings.HasPrefix(string(message), `42["pong"`) {
		t.Errorf("after the upgrade, ping is answered %q, %v", message, err)
	}
}

func TestWhatWaitsForAPollIsHandedToTheWebSocket(t *testing.T) {
	r := start(t, Options{})
	p, sender := r.poll(t), r.connect(t, "")
	sid := p.base[strings.Index(p.base, "&sid=")+len("&sid="):]
	conn, _, err := websocket.DefaultDialer.Dial(wsURL(r.addr)+"&sid="+sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.WriteMessage(websocket.TextMessage, []byte("2probe"))
	if _, answer, err := conn.ReadMessage(); err != nil || string(answer) != "3probe" {
		t.Fatalf("the probe is answered %q, %v", answer, err)
	}
	for i := range 3 { // no poll waits
		sender.send(fmt.Sprintf(`42%d["claude_event",{"type":"t","i":%d}]`, i, i))
		sender.nextAck(fmt.Sprintf("%d[]", i))
	}
	_ = conn.WriteMessage(websocket.TextMessage, []byte("5"))
	for i := range 3 {
		_, message, err := conn.ReadMessage()
		if err != nil || !strings.Contains(string(message), fmt.Sprintf(`"i":%d,`, i)) {
			t.Fatalf("message %d is %q, %v", i, message, err)
		}
	}
}

func TestABodyThatNeverComesIsNotWaitedForByOthers(t *testing.T) {
	r := start(t, Options{})
	p := r.poll(t)
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, query, _ := strings.Cut(p.base, DefaultPath)
	fmt.Fprintf(conn, "POST %s%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n42", DefaultPath, query)
	if status, _ := p.post(`42["ping"]`); status != http.StatusOK {
		t.Errorf("a post beside one whose body never comes: %d", status)
	}
	fmt.Fprint(conn, strings.Repeat("x", 98))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("the late body is answered %v, %v", response, err)
	}
}

// python-engineio never reconnects after a close packet, but does after a failed
// poll.
func TestAPythonPollerIsToldInTheWayItUnderstands(t *testing.T) {
	r := start(t, Options{})
	p, sender := r.poll(t), r.connect(t, "")
	p.client.Transport = python{p.client.Transport}
	answer := r.waitingPoll(p)
	if _, err := r.ClearConnections(t.Context(), "test", 0); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; !strings.HasPrefix(got, "400 ") {
		t.Errorf("the waiting poll was answered %q, want 400", got)
	}
	sender.closeCode()

	p, sender = r.poll(t), r.connect(t, "")
	p.client.Transport = python{p.client.Transport}
	sender.send(`421["claude_event",{"type":"last"}]`) // no poll waits for it
	sender.nextAck("1[]")
	cleared := make(chan error, 1)
	go func() { _, err := r.ClearConnections(context.Background(), "test", 0); cleared <- err }()
	sender.closeCode()
	if status, packets := p.get(); status != http.StatusOK || !strings.Contains(packets, `"last"`) || strings.HasSuffix(packets, "\x1e1") {
		t.Errorf("the poll brings %d %q, want the event and no close packet", status, packets)
	}
	if status, _ := p.get(); status != http.StatusBadRequest {
		t.Errorf("the next poll is answered %d, want 400", status)
	}
	if err := <-cleared; err != nil {
		t.Error(err)
	}
}

// python makes requests that say they come from Python.
type python struct{ http.RoundTripper }

func (p python) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", "python-requests/2.28.1")
	return p.RoundTripper.RoundTrip(r)
}
