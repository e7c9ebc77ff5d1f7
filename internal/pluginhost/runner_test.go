package pluginhost

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestHostConnectsToNothingButThisMachine(t *testing.T) {
	for _, c := range []struct {
		network, address string
		ok               bool
		why              string
	}{
		{"unix", "/run/x/plugin1", true, "the usual way"},
		{"tcp", "127.0.0.1:1234", true, "the way of Windows"},
		{"tcp", "[::1]:1234", true, "the same over IPv6"},
		{"tcp", "10.0.0.1:1234", false, "another machine"},
		{"tcp", "0.0.0.0:1234", false, "every machine"},
		{"tcp", "localhost:1234", false, "a name would have to be asked for"},
		{"udp", "127.0.0.1:1234", false, "gRPC needs a stream"},
	} {
		r := &processRunner{}
		_, _, err := r.PluginToHost(c.network, c.address)
		if (err == nil) != c.ok || (r.addr != nil) != c.ok {
			t.Errorf("%s %s: %v, want accepted %v: %s", c.network, c.address, err, c.ok, c.why)
		}
	}
}

func TestPrintedLinesAreCutCleanedAndCounted(t *testing.T) {
	var lines []string
	s := &printSink{line: func(l string) { lines = append(lines, l) }}
	write := func(text string) {
		t.Helper()
		if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(text), err)
		}
	}
	write("half a ")
	write("line\n\nwith \x1b color\n" + strings.Repeat("x", 10<<10) + "\n")
	if len(lines) != 3 || lines[0] != "half a line" || lines[1] != `with \x1b color` || len(lines[2]) != maxLogText {
		t.Errorf("got %d lines: %.200q", len(lines), lines)
	}
	for n := range 1000 {
		write(fmt.Sprintln(n))
	}
	if len(lines) > maxPrintedASecond {
		t.Errorf("%d lines passed within a second, want at most %d", len(lines), maxPrintedASecond)
	}
	s.second = s.second.Add(-time.Second) // a second later
	write("after\n")
	if n := len(lines); lines[n-1] != "after" || !strings.Contains(lines[n-2], "804 printed lines dropped") {
		t.Errorf("afterwards: %q", lines[n-2:])
	}
}
