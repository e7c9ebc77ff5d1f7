package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// A client may send its CONNECT the moment OPEN arrives, and its first event the
// moment CONNECT is answered. The library loses some of both.
func TestNoConnectAndNoFirstEventIsLost(t *testing.T) {
	const total, parallel = 2000, 64
	r := start(t, Options{})
	begin := make(chan struct{}, parallel)
	failures := make(chan error, total)
	var all sync.WaitGroup
	for range total {
		begin <- struct{}{}
		all.Go(func() {
			failures <- connectAtOnce(r.addr)
			<-begin
		})
	}
	all.Wait()
	close(failures)
	lost := 0
	for err := range failures {
		if err != nil {
			lost++
			t.Log(err)
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d connects failed", lost, total)
	}
	if got := r.Statistics(); got.ClientsServed != total || got.Errors != 0 {
		t.Errorf("%d clients served, %d errors; want %d and 0", got.ClientsServed, got.Errors, total)
	}
	eventually(t, "all clients are gone", func() bool {
		return r.Statistics().ConnectedClients == 0 && r.admitted.Load() == 0
	})
}

func connectAtOnce(addr string) error {
	conn, _, err := websocket.DefaultDialer.Dial(wsURL(addr), nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := conn.ReadMessage(); err != nil {
		return fmt.Errorf("no OPEN: %w", err)
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte("40")); err != nil {
		return err
	}
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		switch {
		case bytes.HasPrefix(message, []byte("40")):
			if err := conn.WriteMessage(websocket.TextMessage, []byte(`42["ping"]`)); err != nil {
				return err
			}
		case bytes.HasPrefix(message, []byte(`42["pong"`)):
			return nil
		}
	}
}

func TestAPanickingHandlerDisturbsNobody(t *testing.T) {
	r := start(t, Options{}, func(h *Hub) {
		h.handlers["boom"] = func(*client, []any) (*answer, error) { panic("a bug") }
		h.handlers["fail"] = func(*client, []any) (*answer, error) { return nil, errors.New("no disk") }
	})
	p, bystander := r.connect(t, ""), r.connect(t, "")
	p.send(`42["boom"]`)
	p.roundTrip()
	if got := r.Statistics(); got.EventsFailed != 1 || got.Errors != 1 || got.EventsProcessed != 1 {
		t.Errorf("after a panic: %d failed, %d errors, %d processed; want 1, 1, 1", got.EventsFailed, got.Errors, got.EventsProcessed)
	}
	p.send(`42["fail"]`)
	p.roundTrip()
	if got := r.Statistics(); got.EventsFailed != 2 || got.Errors != 2 {
		t.Errorf("after an error: %d failed, %d errors; want 2 and 2", got.EventsFailed, got.Errors)
	}
	bystander.roundTrip()
	if log := r.log.String(); !strings.Contains(log, "a bug") || !strings.Contains(log, "no disk") {
		t.Errorf("the log does not tell what failed: %s", log)
	}
}

func TestAPanickingMiddlewareIsToldToTheClient(t *testing.T) {
	r := start(t, Options{}, func(h *Hub) {
		h.middlewares = append(h.middlewares, func(s *socket.Socket) error {
			switch s.Handshake().Auth["do"] {
			case "panic":
				panic("a bug")
			case "refuse":
				return errors.New("not today")
			}
			return nil
		})
	})
	for do, want := range map[string]string{"panic": "internal error", "refuse": "not today"} {
		p := r.dial(t, nil)
		p.send(`40{"do":"` + do + `"}`)
		go p.read()
		select {
		case reason := <-p.refused:
			if !strings.Contains(reason, want) {
				t.Errorf("%s: refused with %s, want %q", do, reason, want)
			}
		case <-time.After(patience):
			t.Fatalf("%s: no connect_error came", do)
		}
	}
	if got := r.Statistics(); got.EventsFailed != 1 || got.ConnectedClients != 0 {
		t.Errorf("%d events failed, %d clients connected; want 1 and 0", got.EventsFailed, got.ConnectedClients)
	}
	r.connect(t, "")
}

func TestAMalformedEventCountsAgainstItsSenderWhoStays(t *testing.T) {
	r := start(t, Options{})
	p, bystander := r.connect(t, ""), r.connect(t, "")
	malformed := []string{
		`42["claude_event"]`, `42["claude_event",null]`, `42["claude_event","text"]`, `42["claude_event",5]`,
		`42["claude_event",[1,2]]`, `42["claude_event",true]`, `421["claude_event"]`,
		`42["connect"]`, `42["disconnect"]`, `42["connect_error",{}]`, `42["disconnecting"]`,
		`42["newListener"]`, `42["removeListener"]`, `42[5,{}]`,
	}
	for i, message := range malformed {
		p.send(message)
		p.roundTrip()
		if got := r.Statistics(); got.Errors != uint64(i+1) || got.EventsFailed != 0 {
			t.Fatalf("after %s: %d errors, %d failed; want %d and 0", message, got.Errors, got.EventsFailed, i+1)
		}
	}
	const storm = 5000
	for range storm {
		p.send(`42["claude_event"]`)
	}
	p.roundTrip()
	bystander.roundTrip()
	if got := r.Statistics(); got.Errors != uint64(len(malformed)+storm) || got.ConnectedClients != 2 {
		t.Errorf("after a storm: %d errors, %d clients; want %d and 2", got.Errors, got.ConnectedClients, len(malformed)+storm)
	}
	if lines := strings.Count(r.log.String(), "malformed event"); lines > 3 {
		t.Errorf("the storm left %d lines in the log", lines)
	}
	p.send(`42["unknown event",{}]`)
	p.send(`42["error","ours?"]`)
	p.roundTrip()
	if got := r.Statistics(); got.Errors != uint64(len(malformed)+storm) {
		t.Errorf("an event that nobody handles counted as an error")
	}
}

func TestAMalformedPacketClosesItsSenderAlone(t *testing.T) {
	packets := []string{
		"", "x", "9", "4", "49", "42", "42{", "42[]", `42["a"]trailing`, `42[{}]`, `42["a",]`, "42null", `42/x["a"]`,
		`4299999999999999999999["ping"]`, `452-["a",{"_placeholder":true,"num":5}]`, `450-["a"]`, `45-["a"]`, `4599-["a"]`, `461-["a"]`, "b", "40", "44{}", "b!!!",
		`42[` + strings.Repeat("[", 20_000), `42["` + "\x00", "0", "2", "5", "6x",
	}
	closing := map[string]bool{"0": false, "5": false, "6x": false} // types that are merely pointless
	for _, packet := range packets {
		t.Run(fmt.Sprintf("%.20q", packet), func(t *testing.T) {
			r := start(t, Options{})
			p, bystander := r.connect(t, ""), r.connect(t, "")
			p.send(packet)
			if _, stays := closing[packet]; stays {
				p.roundTrip()
			} else if strings.HasPrefix(packet, "452") { // waits for its attachments, gets text
				p.send(`42["ping"]`)
				p.closeCode()
				eventually(t, "the error is counted", func() bool { return r.Statistics().Errors == 1 })
			} else {
				p.closeCode()
				want := uint64(1)
				if packet == "2" {
					want = 0 // a wrong heartbeat is a transport error
				}
				eventually(t, "the error is counted", func() bool { return r.Statistics().Errors == want })
			}
			bystander.roundTrip()
			if got := r.Statistics(); got.EventsFailed != 0 {
				t.Errorf("%d events failed, want none", got.EventsFailed)
			}
		})
	}
}

func TestAnEventBeforeTheConnectClosesItsSender(t *testing.T) {
	r := start(t, Options{})
	p := r.dial(t, nil)
	p.send(`42["ping"]`)
	go p.read()
	p.closeCode()
	eventually(t, "the error is counted", func() bool { return r.Statistics().Errors == 1 })
}

func TestAnotherNamespaceIsRefusedPolitely(t *testing.T) {
	r := start(t, Options{})
	p := r.dial(t, nil)
	p.send("40/admin,")
	go p.read()
	select {
	case reason := <-p.refused:
		if !strings.Contains(reason, "Invalid namespace") {
			t.Errorf("refused with %s", reason)
		}
	case <-time.After(patience):
		t.Fatal("no connect_error came")
	}
}

func TestAnOversizedMessageIsClosedWith1009(t *testing.T) {
	r := start(t, Options{MaxPayloadBytes: 2000})
	p, bystander := r.connect(t, ""), r.connect(t, "")
	// The hub may hang up before all of it is written.
	_ = p.conn.WriteMessage(websocket.TextMessage, []byte(`42["claude_event",{"x":"`+strings.Repeat("x", 100_000)+`"}]`))
	if code := p.closeCode(); code != websocket.CloseMessageTooBig {
		t.Errorf("closed with %d, want 1009", code)
	}
	bystander.roundTrip()
	if got := r.Statistics(); got.Errors != 1 || got.EventsFailed != 0 {
		t.Errorf("%d errors, %d failed; want 1 and 0", got.Errors, got.EventsFailed)
	}
}

func TestABrokenFrameIsClosedWith1002(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, "")
	if _, err := p.conn.NetConn().Write([]byte{0x81, 0x01, 'x'}); err != nil { // not masked
		t.Fatal(err)
	}
	if code := p.closeCode(); code != websocket.CloseProtocolError {
		t.Errorf("closed with %d, want 1002", code)
	}
	eventually(t, "the error is counted", func() bool { return r.Statistics().Errors == 1 })
}

func TestACloseFrameIsAnswered(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, "")
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")
	if err := p.conn.WriteControl(websocket.CloseMessage, message, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if code := p.closeCode(); code != websocket.CloseNormalClosure {
		t.Errorf("answered with %d, want 1000", code)
	}
	eventually(t, "nothing is left of the client", func() bool {
		s := r.Statistics()
		return s.ConnectedClients == 0 && s.ClientDescriptors == 0 && s.Errors == 0
	})
}

func TestAPingFrameIsAnswered(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, "")
	answered := make(chan string, 1)
	p.write.Lock()
	p.conn.SetPongHandler(func(data string) error { answered <- data; return nil })
	err := p.conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(patience))
	p.write.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case data := <-answered:
		if data != "are you there" {
			t.Errorf("answered with %q", data)
		}
	case <-time.After(patience):
		t.Error("no pong came")
	}
}

func TestASlowConsumerIsCutAndABystanderNoticesNothing(t *testing.T) {
	r := start(t, Options{})
	slow := r.dial(t, nil)
	if err := slow.conn.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	slow.send("40") // and reads no more
	eventually(t, "the slow client has joined", func() bool { return r.Statistics().ConnectedClients == 1 })
	bystander, sender := r.connect(t, ""), r.connect(t, "")
	filler := strings.Repeat("x", 900_000)
	for i := 0; r.Statistics().ConnectedClients == 3; i++ {
		if i == 60 {
			t.Fatal("54 MB wait for a client that does not read")
		}
		sender.send(fmt.Sprintf(`42%d["claude_event",{"type":"big","i":%d,"x":"%s"}]`, i, i, filler))
		sender.nextAck(fmt.Sprintf("%d[]", i))
		if got := bystander.next("claude_event").object(t)["i"]; got != float64(i) {
			t.Fatalf("the bystander got event %v, want %d", got, i)
		}
	}
	bystander.roundTrip()
	if log := r.log.String(); !strings.Contains(log, "client cut off") || !strings.Contains(log, "8 MiB") {
		t.Error("the log does not say why the slow client was cut off")
	}
	if got := r.Statistics(); got.Errors != 0 {
		t.Errorf("%d errors, want none: slow is not malformed", got.Errors)
	}
}

func TestAClientThatTakesNothingIsCutByTheWriteDeadline(t *testing.T) {
	r := start(t, Options{}, func(h *Hub) {
		h.bounds.write = 100 * time.Millisecond
		h.bounds.bytes = 1 << 40
	})
	stuck := r.dial(t, nil)
	if err := stuck.conn.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	stuck.send("40") // and reads no more
	eventually(t, "the stuck client has joined", func() bool { return r.Statistics().ConnectedClients == 1 })
	sender := r.connect(t, "")
	filler := strings.Repeat("x", 900_000)
	for i := 0; i < 60 && r.Statistics().ConnectedClients == 2; i++ { // more than the kernel takes
		sender.send(fmt.Sprintf(`42%d["claude_event",{"type":"big","x":"%s"}]`, i, filler))
		sender.nextAck(fmt.Sprintf("%d[]", i))
	}
	eventually(t, "the stuck client is gone", func() bool { return r.Statistics().ConnectedClients == 1 })
	if log := r.log.String(); !strings.Contains(log, "one write took longer than 100ms") {
		t.Errorf("the log does not say why: %.500s", log)
	}
	sender.roundTrip()
}

func TestAPollerThatDoesNotPollIsCut(t *testing.T) {
	r := start(t, Options{})
	p := r.poll(t) // and polls no more
	sender := r.connect(t, "")
	filler := strings.Repeat("x", 900_000)
	for i := 0; i < 12; i++ {
		sender.send(fmt.Sprintf(`42%d["claude_event",{"type":"big","x":"%s"}]`, i, filler))
		sender.nextAck(fmt.Sprintf("%d[]", i))
	}
	eventually(t, "the poller is gone", func() bool { return r.Statistics().ConnectedClients == 1 })
	if status, _ := p.get(); status != http.StatusBadRequest {
		t.Errorf("a poll of the cut session is answered %d, want 400", status)
	}
	if log := r.log.String(); !strings.Contains(log, "client cut off") {
		t.Error("the log does not say why the poller was cut off")
	}
}

// A handler that does not return must not let its client fill the memory.
func TestAClientIsNotReadFasterThanItsEventsAreHandled(t *testing.T) {
	release := make(chan struct{})
	r := start(t, Options{}, func(h *Hub) {
		h.handlers["wait"] = func(*client, []any) (*answer, error) { <-release; return nil, nil }
	})
	p := r.connect(t, "")
	p.send(`42["wait"]`)
	written := make(chan int, 1)
	go func() { // the kernel takes a few MB, then the writes must block
		n := 0
		filler := []byte(`42["claude_event",{"x":"` + strings.Repeat("x", 500_000) + `"}]`)
		for range 100 {
			_ = p.conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			if p.conn.WriteMessage(websocket.TextMessage, filler) != nil {
				break
			}
			n++
		}
		written <- n
	}()
	if n := <-written; n == 100 {
		t.Error("50 MB were taken from a client whose events are not handled")
	}
	close(release)
}

func TestAHeartbeatHangsWithThePathOfEvents(t *testing.T) {
	r := start(t, Options{})
	if _, err := r.Heartbeat(t.Context()); err != nil {
		t.Fatalf("a healthy hub: %v", err)
	}
	r.relay.mu.Lock()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := r.Heartbeat(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with the relay's lock held: %v, want deadline exceeded", err)
		}
	}
	r.tasks.mu.Lock()
	running := r.tasks.running
	r.tasks.mu.Unlock()
	if running != 2 { // the server and one beat
		t.Errorf("%d goroutines run, want 2: blocked beats must not pile up", running)
	}
	r.relay.mu.Unlock()
	got, err := r.Heartbeat(t.Context())
	if err != nil || got.TakenAt.IsZero() {
		t.Errorf("after the lock was released: %+v, %v", got, err)
	}
}
