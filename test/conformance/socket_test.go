package main_test

import (
	"testing"

	"github.com/gorilla/websocket"
)

func TestANamespaceIsJoinedWithAndWithoutAuth(t *testing.T) {
	for _, namespace := range []string{"/", "/custom"} {
		begin(t, socketPath).join(namespace, "", "{}")
		begin(t, socketPath).join(namespace, `{"token":"123"}`, `{"token":"123"}`)
	}
}

func TestAnUnknownNamespaceIsRefusedAndTheConnectionKept(t *testing.T) {
	c := begin(t, socketPath)
	c.send("40/random")
	c.want(`44/random,{"message":"Invalid namespace"}`)
	c.join("/", "", "{}")
}

func TestWhoSaysSomethingElseThanConnectIsDisconnected(t *testing.T) {
	for _, first := range []string{"4abc", `42["message"]`, "41"} {
		c := begin(t, socketPath)
		c.send(first)
		c.wantEnd()
	}
}

func TestWhoJoinsNothingIsDisconnected(t *testing.T) {
	c := begin(t, socketPath)
	for m := range c.messages { // pongs keep the session, so that the connect timeout ends it
		if m.text != "2" {
			t.Fatalf("got %q, want nothing but pings", m.text)
		}
		_ = c.conn.WriteMessage(websocket.TextMessage, []byte("3"))
	}
}

func TestWhoLeavesTheDefaultNamespaceKeepsItsConnection(t *testing.T) {
	c := begin(t, socketPath)
	c.join("/", "", "{}")
	c.send("41")
	if got := c.read(); got.text != "2" {
		t.Fatalf("got %q after leaving, want the next ping", got.text)
	}
	c.send("3")
	c.join("/", "", "{}")
}

func TestWhoLeavesANamespaceStaysInTheOther(t *testing.T) {
	c := begin(t, socketPath)
	c.join("/", "", "{}")
	c.join("/custom", "", "{}")
	c.send(`42/custom,["message","there"]`)
	c.want(`42/custom,["message-back","there"]`)
	c.send("41/custom")
	c.send(`42["message","here"]`)
	c.want(`42["message-back","here"]`)
}

// Joining both at once: no answer and no event overtakes, and none is lost.
func TestNamespacesThatAreJoinedAtOnceGetEachItsOwn(t *testing.T) {
	for range 20 {
		c := begin(t, socketPath)
		c.send("40")
		c.send("40/custom,")
		got := map[string]int{}
		for range 4 {
			text := c.next().text
			if len(text) > 10 {
				text = text[:10]
			}
			got[text]++
		}
		if got[`40/custom,`] != 1 || got[`42/custom,`] != 1 || got[`42["auth",`] != 1 || len(got) != 4 {
			t.Fatalf("got %v, want two connects and two auths", got)
		}
	}
}

func TestTextComesBackAsItWasSent(t *testing.T) {
	c := begin(t, socketPath)
	c.join("/", "", "{}")
	c.send(`42["message",1,"2",{"3":[true]}]`)
	c.want(`42["message-back",1,"2",{"3":[true]}]`)
	c.send(`42["message",12345678901234567890,1.50,null]`)
	c.want(`42["message-back",12345678901234567890,1.50,null]`)
}

func TestBytesComeBackAsTheyWereSent(t *testing.T) {
	c := begin(t, socketPath)
	c.join("/", "", "{}")
	c.send(`452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
	c.write(websocket.BinaryMessage, []byte{1, 2, 3})
	c.write(websocket.BinaryMessage, []byte{4, 5, 6})
	c.want(`452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
	c.wantBinary("\x01\x02\x03")
	c.wantBinary("\x04\x05\x06")
}

func TestAnEventIsAcknowledgedWithItsArguments(t *testing.T) {
	c := begin(t, socketPath)
	c.join("/", "", "{}")
	c.send(`42456["message-with-ack",1,"2",{"3":[false]}]`)
	c.want(`43456[1,"2",{"3":[false]}]`)
}

func TestAnEventWithBytesIsAcknowledgedWithBytes(t *testing.T) {
	c := begin(t, socketPath)
	c.join("/", "", "{}")
	c.send(`452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
	c.write(websocket.BinaryMessage, []byte{1, 2, 3})
	c.write(websocket.BinaryMessage, []byte{4, 5, 6})
	c.want(`462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
	c.wantBinary("\x01\x02\x03")
	c.wantBinary("\x04\x05\x06")
}

func TestAMalformedPacketEndsTheConnection(t *testing.T) {
	for _, packet := range []string{"4abc", "42{}", `42abc["message-with-ack",1,"2"]`, `4["message"]`, "42[", "43[]"} {
		c := begin(t, socketPath)
		c.join("/", "", "{}")
		c.send(packet)
		c.wantEnd()
	}
}
