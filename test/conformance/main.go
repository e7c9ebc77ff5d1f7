// Command conformance serves what the official protocol suites of Socket.IO and
// Engine.IO ask of a server, on the package hub and with their settings:
//
//	go run ./test/conformance --addr 127.0.0.1:3000
//
// At /socket.io/ it is the server of the Socket.IO suite: the default namespace and
// /custom send "auth" with what the client authenticated itself with, answer "message"
// with "message-back", and acknowledge "message-with-ack" with its arguments. At
// /engine.io/ it is that of the Engine.IO suite: every message comes back. Heartbeats
// are due every 300 ms and have to be answered within 200 ms, messages have at most
// 1 000 000 bytes, a namespace is to be joined within a second, and pages of every
// origin may connect. It ends with SIGINT or SIGTERM.
//
// It owns the settings and the handlers and nothing else. Its goroutines are the
// hub's. The tests beside it build it, run it, and check by hand-made requests what the
// suites check.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/hub"
)

const (
	pingInterval = 300 * time.Millisecond
	pingTimeout  = 200 * time.Millisecond
	joinTimeout  = time.Second
	maxPayload   = 1_000_000
	stopTimeout  = 5 * time.Second
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:3000", "the address to serve at; port 0 is any free one")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *addr, stdout); err != nil {
		fmt.Fprintln(stderr, "conformance: error:", err)
		return 1
	}
	return 0
}

// serve serves until ctx ends. It writes the address once clients can connect.
func serve(ctx context.Context, addr string, stdout io.Writer) error {
	h, err := hub.New(hub.Options{
		Plain:           true,
		AllowedOrigins:  []string{"*"},
		PingInterval:    pingInterval,
		PingTimeout:     pingTimeout,
		JoinTimeout:     joinTimeout,
		MaxPayloadBytes: maxPayload,
		RecoveryWindow:  -1, // the suites count the arguments of every event
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"/", "/custom"} {
		h.Of(name).OnConnect(welcome)
	}
	if err := h.HandleEngine("/engine.io/", echo); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w; give another --addr", err)
	}
	fmt.Fprintln(stdout, "serving at", listener.Addr())
	stopped := make(chan struct{})
	served, end := context.WithCancel(ctx)
	go func() {
		defer close(stopped)
		<-served.Done()
		bounded, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		h.Stop(bounded, "asked to stop", 0)
	}()
	err = h.Serve(listener)
	end()
	<-stopped
	if errors.Is(err, hub.ErrStopped) { // asked to stop before it began
		return nil
	}
	return err
}

// welcome serves a client of the Socket.IO suite.
func welcome(client *hub.Socket) {
	client.On("message", func(args []any, _ hub.Ack) { _ = client.Emit("message-back", args...) })
	client.On("message-with-ack", func(args []any, ack hub.Ack) { ack(args...) })
	auth := client.Auth()
	if auth == nil {
		auth = map[string]any{}
	}
	_ = client.Emit("auth", auth)
}

// echo serves a client of the Engine.IO suite.
func echo(session *hub.Session) {
	session.OnMessage(session.Send)
}
