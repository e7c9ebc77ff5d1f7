package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const (
	enginePath = "/engine.io/"
	socketPath = "/socket.io/"
)

// The Engine.IO half of the protocol is the same at both paths.
func atBothPaths(t *testing.T, check func(t *testing.T, path string)) {
	for _, path := range []string{enginePath, socketPath} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			check(t, path)
		})
	}
}

func TestAPollingSessionOpensWithThePublishedSettings(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) { poller(t, path) })
}

func TestAWebSocketSessionOpensWithThePublishedSettings(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) { begin(t, path) })
}

func TestAHandshakeWithoutItsQueryOrWithAnotherMethodIsABadRequest(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		for _, test := range []struct{ method, query, why string }{
			{"GET", "transport=polling", "no version"},
			{"GET", "EIO=abc&transport=polling", "no such version"},
			{"GET", "EIO=4", "no transport"},
			{"GET", "EIO=4&transport=abc", "no such transport"},
			{"POST", "EIO=4&transport=polling", "a session begins with GET"},
			{"PUT", "EIO=4&transport=polling", "no such method"},
		} {
			if status, body := polled(t, test.method, path, test.query, ""); status != http.StatusBadRequest {
				t.Errorf("%s %s: %d %s, want 400: %s", test.method, test.query, status, body, test.why)
			}
		}
		for _, query := range []string{"transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"} {
			if _, refused := dial(t, path, query); refused != http.StatusBadRequest {
				t.Errorf("a WebSocket with %s: %d, want 400", query, refused)
			}
		}
	})
}

func TestPollingEchoesTextSeveralPacketsAndBytes(t *testing.T) {
	for _, payload := range []string{"4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA=="} {
		query := poller(t, enginePath)
		if status, answer := polled(t, "POST", enginePath, query, payload); status != 200 || answer != "ok" {
			t.Fatalf("post %q: %d %q, want 200 ok", payload, status, answer)
		}
		if status, got := polled(t, "GET", enginePath, query, ""); status != 200 || got != payload {
			t.Errorf("polled %d %q, want %q", status, got, payload)
		}
	}
}

func TestAnInvalidPayloadIsABadRequestAndEndsThePollingSession(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		query := poller(t, path)
		if status, answer := polled(t, "POST", path, query, "abc"); status != 400 {
			t.Errorf("post: %d %q, want 400", status, answer)
		}
		wantGone(t, path, query)
	})
}

// wantGone checks that a session is over and forgotten.
func wantGone(t *testing.T, path, query string) {
	t.Helper()
	if status, answer := polled(t, "GET", path, query, ""); status != 400 {
		t.Errorf("polled %d %q after the end of the session, want 400", status, answer)
	}
}

// waiting starts a poll, and sends its answer: the status and the body. It is not known
// when the server has it, so tests of two requests at once try again where one has
// missed the other.
func waiting(ctx context.Context, t *testing.T, path, query string) <-chan string {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+path+"?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			answer <- "error: " + err.Error()
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			answer <- "error: " + err.Error()
			return
		}
		answer <- fmt.Sprint(response.StatusCode, " ", string(body))
	}()
	return answer
}

// meeting tries until two requests have met.
func meeting(t *testing.T, try func() (met bool, got string)) {
	t.Helper()
	var got string
	for range 50 {
		var met bool
		if met, got = try(); met {
			return
		}
	}
	t.Fatalf("never as it must be; last: %s", got)
}

func TestOfTwoPollsAtOnceOneIsToldThatTheSessionEndsAndTheOtherRefused(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		meeting(t, func() (bool, string) {
			query := poller(t, path)
			a, b := waiting(t.Context(), t, path, query), waiting(t.Context(), t, path, query+"&t=second")
			got := []string{<-a, <-b}
			slices.Sort(got)
			met := got[0] == "200 1" && strings.HasPrefix(got[1], "400 ")
			if met {
				wantGone(t, path, query)
			}
			return met, fmt.Sprintf("%q", got)
		})
	})
}

func TestACancelledPollEndsTheSession(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		meeting(t, func() (bool, string) {
			query := poller(t, path)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET %s?%s HTTP/1.1\r\nHost: %s\r\n\r\n", path, query, addr)
			conn.Close()
			status, body := polled(t, "GET", path, query, "")
			if status == 400 {
				wantGone(t, path, query)
			}
			return status == 400, fmt.Sprint(status, " ", body)
		})
	})
}

func TestAWebSocketEchoesTextAndBytes(t *testing.T) {
	c := begin(t, enginePath)
	c.send("4hello")
	c.want("4hello")
	c.write(websocket.BinaryMessage, []byte{1, 2, 3, 4})
	c.wantBinary("\x01\x02\x03\x04")
}

func TestAnInvalidMessageEndsTheWebSocket(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		c := begin(t, path)
		c.send("abc")
		c.wantEnd()
	})
}

func TestHeartbeatsOfAPollingSessionComeAndAreAnswered(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		query := poller(t, path)
		for range 3 {
			if status, got := polled(t, "GET", path, query, ""); status != 200 || got != "2" {
				t.Fatalf("polled %d %q, want a ping", status, got)
			}
			if status, got := polled(t, "POST", path, query, "3"); status != 200 {
				t.Fatalf("a pong is answered with %d %q, want 200", status, got)
			}
		}
	})
}

func TestAPollingSessionWithoutPongsEnds(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		query := poller(t, path)
		deadline := time.Now().Add(patience)
		for {
			status, got := polled(t, "GET", path, query, "")
			if status == 400 {
				return
			}
			if status != 200 || got != "2" && got != "1" || time.Now().After(deadline) {
				t.Fatalf("polled %d %q, want a ping, a close, and then 400", status, got)
			}
		}
	})
}

func TestHeartbeatsOfAWebSocketComeAndAreAnswered(t *testing.T) {
	c := begin(t, enginePath)
	for range 3 {
		if got := c.read(); got.text != "2" {
			t.Fatalf("got %q, want a ping", got.text)
		}
		c.send("3")
	}
}

func TestAWebSocketWithoutPongsEnds(t *testing.T) {
	begin(t, enginePath).wantEnd()
}

func TestAPollingClientThatLeavesHasItsPollEndedAndItsSessionForgotten(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		meeting(t, func() (bool, string) {
			query := poller(t, path)
			poll := waiting(t.Context(), t, path, query)
			status, answer := polled(t, "POST", path, query, "1")
			got := <-poll
			met := status == 200 && got == "200 6"
			if met {
				wantGone(t, path, query)
			}
			return met, fmt.Sprintf("posted %d %q, polled %q", status, answer, got)
		})
	})
}

func TestAWebSocketClientThatLeavesIsHungUpOn(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		c := begin(t, path)
		c.send("1")
		c.wantEnd()
	})
}

// upgrade turns a polling session into a WebSocket that echoes.
func upgrade(t *testing.T) (c *client, query string) {
	t.Helper()
	query = poller(t, enginePath)
	c, refused := dial(t, enginePath, strings.Replace(query, "polling", "websocket", 1))
	if refused != 0 {
		t.Fatalf("the upgrade is refused with %d", refused)
	}
	c.send("2probe")
	c.want("3probe")
	for {
		status, got := polled(t, "GET", enginePath, query, "")
		if status != 200 {
			t.Fatalf("polled %d %q, want a noop that lets the client stop", status, got)
		}
		if strings.HasSuffix(got, "6") {
			break
		}
		if status, got := polled(t, "POST", enginePath, query, "3"); got != "ok" { // it was a ping
			t.Fatalf("a pong is answered with %d %q", status, got)
		}
	}
	c.send("5")
	c.send("4hello")
	c.want("4hello")
	return c, query
}

func TestAPollingSessionBecomesAWebSocket(t *testing.T) { upgrade(t) }

func TestAfterTheUpgradeNeitherPollsNorWebSocketsDisturbTheSession(t *testing.T) {
	c, query := upgrade(t)
	if status, got := polled(t, "GET", enginePath, query, ""); status != 400 {
		t.Errorf("a poll after the upgrade is answered with %d %q, want 400", status, got)
	}
	if _, refused := dial(t, enginePath, strings.Replace(query, "polling", "websocket", 1)); refused != 400 {
		t.Errorf("another WebSocket after the upgrade: %d, want 400", refused)
	}
	c.send("4again")
	c.want("4again")
}

func TestAnOversizeMessageEndsTheWebSocketAndAnOversizePostIsRefused(t *testing.T) {
	large := "4" + strings.Repeat("x", 1_000_000)
	c := begin(t, enginePath)
	c.send(large)
	c.wantEnd()
	if status, _ := polled(t, "POST", enginePath, poller(t, enginePath), large); status != 413 {
		t.Errorf("an oversize post is answered with %d, want 413", status)
	}
}

func TestPagesOfEveryOriginMayConnect(t *testing.T) {
	atBothPaths(t, func(t *testing.T, path string) {
		for _, method := range []string{"GET", "OPTIONS"} {
			request, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path+"?EIO=4&transport=polling", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Origin", "https://elsewhere.example")
			request.Header.Set("Access-Control-Request-Method", "POST")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if allowed := response.Header.Get("Access-Control-Allow-Origin"); response.StatusCode/100 != 2 || allowed != "https://elsewhere.example" {
				t.Errorf("%s: %d, allowed for %q; want every origin", method, response.StatusCode, allowed)
			}
		}
	})
}
