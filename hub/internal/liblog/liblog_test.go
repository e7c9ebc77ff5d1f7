package liblog_test

import (
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/hub/internal/liblog"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// The library's loggers are made while its packages are initialised; this fails
// when they were made before our writer was in place.
func TestThePanicThatTheLibraryLogsReachesTheSinkWithoutColours(t *testing.T) {
	var got []string
	liblog.SetSink(func(message string) { got = append(got, message) })
	defer liblog.SetSink(nil)

	emitter := types.NewEventEmitter()
	if err := emitter.On("event", func(...any) { panic("a bug of ours") }); err != nil {
		t.Fatal(err)
	}
	emitter.Emit("event")

	if len(got) != 1 {
		t.Fatalf("the sink got %d messages, want 1: %q", len(got), got)
	}
	if !strings.Contains(got[0], "a bug of ours") {
		t.Errorf("message does not name the panic: %q", got[0])
	}
	if strings.Contains(got[0], "\x1b") {
		t.Errorf("message still has colour codes: %q", got[0])
	}
	if len(got[0]) > 4096 {
		t.Errorf("message has %d bytes, want at most 4096", len(got[0]))
	}
}
