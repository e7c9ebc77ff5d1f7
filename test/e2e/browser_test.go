package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// browser starts a driver of clients on a page of a real browser, and returns the
// page's origin, too.
func browser(t testing.TB) (*rig.Driver, string) {
	t.Helper()
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	d := driver(t, func(root string) (*rig.Driver, error) { return rig.DriveBrowser(root, port) })
	return d, "http://127.0.0.1:" + strconv.Itoa(port)
}

// browserLimit bounds the start of a browser on a busy machine, and the first thing
// that it does.
const browserLimit = 60 * time.Second

// A page of another site, over each transport: it connects, sends and receives, and
// when its hub is killed it comes back as who it was and has missed nothing.
func TestABrowserComesBackAfterAKillOfTheHubAndHasMissedNothing(t *testing.T) {
	d, origin := browser(t)
	h := serve(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{
		"server": map[string]any{"allowed_origins": []string{origin}},
	})}})
	sender := node(t)
	open(t, sender, rig.Open{Client: "sender", URL: h.Base(), Transport: "websocket"})

	transports := []string{"websocket", "polling", "upgrade"}
	before := map[string]rig.Note{}
	for _, transport := range transports {
		if err := d.Open(within(t, browserLimit), rig.Open{Client: transport, URL: h.Base(), Transport: transport}); err != nil {
			t.Fatal(err)
		}
		before[transport] = await(t, d, 0, browserLimit, transport, "connect")
	}
	if n := await(t, d, 0, browserLimit, "upgrade", "upgrade"); n.Transport != "websocket" {
		t.Errorf("the browser has upgraded to %s, want websocket", n.Transport)
	}
	if got := before["polling"].Transport; got != "polling" {
		t.Errorf("the browser polls over %s", got)
	}

	publish := func(first, last int) {
		t.Helper()
		for n := first; n <= last; n++ {
			if _, err := sender.Ack(within(t, 20*time.Second), "sender", "claude_event", map[string]any{"n": n}); err != nil {
				t.Fatal(err)
			}
		}
	}
	received := func(client string, from int) (numbers []int) {
		for _, n := range d.Notes(from) {
			if n.Client == client && n.What == "event" && n.Name == "claude_event" {
				o, err := n.Object()
				if err != nil {
					t.Fatal(err)
				}
				numbers = append(numbers, int(number(o, "n")))
			}
		}
		return numbers
	}
	publish(1, 5)
	// What a page sends reaches the others, and is acknowledged.
	if _, err := d.Ack(within(t, browserLimit), "polling", "claude_event", map[string]any{"n": 6}); err != nil {
		t.Fatal(err)
	}
	awaitNumbers(t, "before the kill", received, map[string][]int{"websocket": upTo(6), "polling": upTo(5), "upgrade": upTo(6)})

	mark, senderMark := d.Mark(), sender.Mark()
	old := hubOf(t, h)
	anotherHub(t, h, old, signal(t, old, syscall.SIGKILL), 20*time.Second)
	await(t, sender, senderMark, browserLimit, "sender", "connect")
	publish(7, 12) // some before, some after each of them is back
	for _, transport := range transports {
		await(t, d, mark, browserLimit, transport, "disconnect")
		n := await(t, d, mark, browserLimit, transport, "connect")
		if !n.Recovered || n.SID != before[transport].SID {
			t.Errorf("%s: recovered %v as %s, want the session %s back", transport, n.Recovered, n.SID, before[transport].SID)
		}
	}
	awaitNumbers(t, "after the kill", received, map[string][]int{
		"websocket": upTo(12), "polling": slices.DeleteFunc(upTo(12), func(n int) bool { return n == 6 }), "upgrade": upTo(12),
	})
	for _, n := range d.Notes(0) {
		if n.What == "error" {
			t.Errorf("the page has an error: %s", n.Reason)
		}
	}
}

func upTo(last int) (numbers []int) {
	for n := 1; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// awaitNumbers waits until each client has received these numbers, in this order and
// no other ones.
func awaitNumbers(t testing.TB, when string, received func(client string, from int) []int, want map[string][]int) {
	t.Helper()
	eventually(t, browserLimit, when+" each page gets everything once and in order", func() error {
		for client, numbers := range want {
			if got := received(client, 0); !slices.Equal(got, numbers) {
				return fmt.Errorf("%s: %v, want %v", client, got, numbers)
			}
		}
		return nil
	})
}

// A page that nobody allowed gets no session over any transport, and a browser reads
// nothing of the answers.
func TestABrowserKeepsPagesOfOtherSitesOut(t *testing.T) {
	d, _ := browser(t)
	h := serve(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{
		"server": map[string]any{"allowed_origins": []string{"http://127.0.0.1:1"}},
	})}})
	for _, transport := range []string{"websocket", "polling"} {
		if err := d.Open(within(t, browserLimit), rig.Open{
			Client: transport, URL: h.Base(), Transport: transport, Options: map[string]any{"reconnection": false},
		}); err != nil {
			t.Fatal(err)
		}
		await(t, d, 0, browserLimit, transport, "connect_error")
	}
	for _, n := range d.Notes(0) {
		if n.What == "connect" {
			t.Errorf("a page of another site has connected over %s", n.Transport)
		}
	}
	if served := number(object(t, h, "/stats"), "connections", "total_served"); served != 0 {
		t.Errorf("%v clients were served, want none", served)
	}
}
