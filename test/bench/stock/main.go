// Command stock is the relay on the plain zishang520/socket.io server, with its
// default options: what the bench compares Upkeep's data plane with, which is
// built on the same library. It sends each claude_event to everybody but its
// sender and acknowledges it; it keeps nothing and watches nothing.
//
//	stock PORT
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: stock PORT")
		os.Exit(2)
	}
	if err := serve(net.JoinHostPort("127.0.0.1", os.Args[1])); err != nil {
		fmt.Fprintln(os.Stderr, "stock:", err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	io := socket.NewServer(nil, nil)
	err := io.On("connection", func(clients ...any) {
		s, ok := clients[0].(*socket.Socket)
		if !ok {
			return
		}
		_ = s.On("claude_event", func(args ...any) {
			n := len(args)
			if n == 0 {
				return
			}
			ack, wanted := args[n-1].(socket.Ack)
			if wanted {
				args = args[:n-1]
			}
			_ = s.Broadcast().Emit("claude_event", args...)
			if wanted {
				ack([]any{}, nil)
			}
		})
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", io.ServeHandler(nil))
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return (&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}).Serve(listener)
}
