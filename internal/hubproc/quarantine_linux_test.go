package hubproc

import (
	"bytes"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestEveryHubKnowsFromTheBeginningWhoIsKeptOut(t *testing.T) {
	told := make(chan string, 64)
	h := keep(t, "good", func(o *Options) {
		o.Restarts.Limit = 100
		o.Log = hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, JSONFormat: true, Output: writerFunc(func(line []byte) (int, error) {
			if _, word, found := bytes.Cut(line, []byte("keeps out ")); found {
				word, _, _ = bytes.Cut(word, []byte(`"`))
				told <- string(word)
			}
			return len(line), nil
		})})
	})
	want := func(word, why string) {
		t.Helper()
		select {
		case got := <-told:
			if got != word {
				t.Fatalf("it keeps out %q, want %q: %s", got, word, why)
			}
		case <-time.After(patience):
			t.Fatalf("it was told nothing, want %q: %s", word, why)
		}
	}
	first := h.await(Serving, 1)
	want("0", "nobody, to begin with")
	until := time.Now().Add(time.Hour)
	list := []Quarantined{{Kind: "client", ID: "a", Address: "10.0.0.1", Until: until}, {Kind: "token", ID: "b", Until: until}}
	if n, err := h.SetQuarantine(t.Context(), list); err != nil || n != 2 {
		t.Errorf("SetQuarantine: %d, %v, want what the hub said", n, err)
	}
	want("2", "the hub in service, at once")
	kill(t, first.PID, syscall.SIGKILL)
	want("2", "the next hub, before it accepts")
	h.await(Serving, 2)
	if err := h.Restart(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	want("2", "after a handover as well")
	if err := h.Halt(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if n, err := h.SetQuarantine(t.Context(), list[:1]); err != nil || n != 0 {
		t.Errorf("without a hub: %d, %v, want it to be remembered", n, err)
	}
	if err := h.Restart(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	want("1", "what was said while there was no hub")
}
