package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

// addr is where the server of these tests serves.
var addr string

func TestMain(m *testing.M) { os.Exit(withServer(m)) }

// withServer builds the command, runs it for all tests on a port of the kernel's
// choice, and reports it as failed when it does not end well.
func withServer(m *testing.M) int {
	complain := func(what string, err error) int {
		os.Stderr.WriteString("conformance: " + what + ": " + err.Error() + "\n")
		return 1
	}
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return complain("make a folder", err)
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "conformance.exe")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return complain("build the server: "+string(out), err)
	}
	server := exec.Command(binary, "--addr", "127.0.0.1:0")
	var log bytes.Buffer
	server.Stderr = &log
	out, err := server.StdoutPipe()
	if err != nil {
		return complain("read its output", err)
	}
	if err := server.Start(); err != nil {
		return complain("start the server", err)
	}
	code := 1
	line, err := bufio.NewReader(out).ReadString('\n')
	if where, ok := strings.CutPrefix(strings.TrimSpace(line), "serving at "); ok {
		addr = where
		code = m.Run()
	} else {
		os.Stderr.WriteString("conformance: the server said " + line + " and not where it serves\n")
	}
	if err := stop(server.Process); err != nil {
		return complain("stop the server", err)
	}
	if err := server.Wait(); err != nil && stopIsClean {
		return complain("the server did not end well: "+log.String(), err)
	}
	return code
}

// polled makes one request with the session of a query, and returns status and body.
func polled(t *testing.T, method, path, query, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path+"?"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("%s %s?%s: %v", method, path, query, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s?%s: %v", method, path, query, err)
	}
	return response.StatusCode, string(content)
}

// opened decodes Engine.IO's open packet and checks that it has what it must have and
// nothing more.
func opened(t *testing.T, packet string, upgrades ...string) (sid string) {
	t.Helper()
	if !strings.HasPrefix(packet, "0") {
		t.Fatalf("the session begins with %q, want an open packet", packet)
	}
	decoder := json.NewDecoder(strings.NewReader(packet[1:]))
	decoder.DisallowUnknownFields()
	var open struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int      `json:"pingInterval"`
		PingTimeout  int      `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}
	if err := decoder.Decode(&open); err != nil {
		t.Fatalf("open packet %s: %v", packet, err)
	}
	if open.SID == "" || open.PingInterval != 300 || open.PingTimeout != 200 || open.MaxPayload != 1_000_000 {
		t.Errorf("open packet %s: want an id, 300, 200 and 1000000", packet)
	}
	if open.Upgrades == nil || strings.Join(open.Upgrades, " ") != strings.Join(upgrades, " ") {
		t.Errorf("open packet %s: upgrades are %q, want %q", packet, open.Upgrades, upgrades)
	}
	return open.SID
}

// poller begins a polling session and returns the query of its requests.
func poller(t *testing.T, path string) (query string) {
	t.Helper()
	const begin = "EIO=4&transport=polling"
	status, packet := polled(t, http.MethodGet, path, begin, "")
	if status != http.StatusOK {
		t.Fatalf("handshake: %d %s", status, packet)
	}
	return begin + "&sid=" + opened(t, packet, "websocket")
}

// client is a WebSocket to the server. One goroutine reads; it ends with the connection.
type client struct {
	t        *testing.T
	conn     *websocket.Conn
	messages chan message // closed when the connection has ended
}

type message struct {
	text   string
	binary bool
}

// dial opens a WebSocket, or reports the status with which it was refused.
func dial(t *testing.T, path, query string) (c *client, refused int) {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: patience}
	conn, response, err := dialer.DialContext(t.Context(), "ws://"+addr+path+"?"+query, nil)
	if err != nil {
		if response == nil {
			t.Fatalf("dial %s?%s: %v", path, query, err)
		}
		return nil, response.StatusCode
	}
	c = &client{t: t, conn: conn, messages: make(chan message, 1024)}
	go func() {
		defer close(c.messages)
		for {
			kind, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			c.messages <- message{string(data), kind == websocket.BinaryMessage}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		for range c.messages { // until the reader has ended
		}
	})
	return c, 0
}

// begin opens a session over a WebSocket.
func begin(t *testing.T, path string) *client {
	t.Helper()
	c, refused := dial(t, path, "EIO=4&transport=websocket")
	if refused != 0 {
		t.Fatalf("a WebSocket is refused with %d", refused)
	}
	opened(t, c.read().text)
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	c.write(websocket.TextMessage, []byte(text))
}

func (c *client) write(kind int, data []byte) {
	c.t.Helper()
	if err := c.conn.WriteMessage(kind, data); err != nil {
		c.t.Fatalf("send %q: %v", data, err)
	}
}

// read returns the next message, pings among them.
func (c *client) read() message {
	c.t.Helper()
	select {
	case m, ok := <-c.messages:
		if !ok {
			c.t.Fatal("the connection has ended; want a message")
		}
		return m
	case <-time.After(patience):
		c.t.Fatal("no message came")
	}
	panic("unreachable")
}

// next answers pings and returns the next other message.
func (c *client) next() message {
	c.t.Helper()
	for {
		m := c.read()
		if m.text != "2" || m.binary {
			return m
		}
		c.send("3")
	}
}

func (c *client) want(text string) {
	c.t.Helper()
	if got := c.next(); got.text != text || got.binary {
		c.t.Fatalf("got %q, want %q", got.text, text)
	}
}

func (c *client) wantBinary(text string) {
	c.t.Helper()
	if got := c.next(); got.text != text || !got.binary {
		c.t.Fatalf("got %q (binary %v), want the bytes %q", got.text, got.binary, text)
	}
}

// wantEnd waits until the server ends the connection, and ignores what it says before.
func (c *client) wantEnd() {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case _, ok := <-c.messages:
			if !ok {
				return
			}
		case <-timeout:
			c.t.Fatal("the connection is still there")
		}
	}
}

// join joins a namespace and returns when its "auth" has come.
func (c *client) join(namespace, auth, echoed string) {
	c.t.Helper()
	prefix := ""
	if namespace != "/" {
		prefix = namespace + ","
	}
	c.send("40" + prefix + auth)
	answer, ok := strings.CutPrefix(c.next().text, "40"+prefix)
	var joined map[string]string
	if !ok || json.Unmarshal([]byte(answer), &joined) != nil || len(joined) != 1 || joined["sid"] == "" {
		c.t.Fatalf("the connect is answered with %q, want an id and nothing else", answer)
	}
	c.want("42" + prefix + `["auth",` + echoed + `]`)
}
