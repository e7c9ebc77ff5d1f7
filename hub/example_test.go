package hub_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/gorilla/websocket"
	"github.com/upkeephub/upkeep/hub"
)

// A hub in place of a plain Socket.IO server: the namespaces, rooms and handlers are
// the program's own. The upper part is the whole server; the lower is a client, which
// speaks the protocol by hand.
func Example() {
	chat, err := hub.New(hub.Options{Plain: true, AllowedOrigins: []string{"*"}})
	if err != nil {
		log.Fatal(err)
	}
	chat.Of("/").OnConnect(func(client *hub.Socket) {
		client.Join("lobby")
		client.On("say", func(args []any, ack hub.Ack) {
			_ = chat.Of("/").To("lobby").Emit("said", args...)
			ack("ok")
		})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- chat.Serve(listener) }()

	client, _, err := websocket.DefaultDialer.Dial("ws://"+listener.Addr().String()+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		log.Fatal(err)
	}
	read := func() string {
		_, message, err := client.ReadMessage()
		if err != nil {
			log.Fatal(err)
		}
		return string(message)
	}
	read() // Engine.IO's handshake
	_ = client.WriteMessage(websocket.TextMessage, []byte("40"))
	read() // the default namespace is joined
	_ = client.WriteMessage(websocket.TextMessage, []byte(`421["say",{"text":"hello"}]`))
	fmt.Println(read()[:len(`42["said",{"text":"hello"}`)])
	fmt.Println(read())

	_ = client.Close()
	chat.Stop(context.Background(), "the example ends", 0)
	fmt.Println(<-served)
	// Output:
	// 42["said",{"text":"hello"}
	// 431["ok"]
	// <nil>
}
