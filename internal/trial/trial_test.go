package trial

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

func TestTheHandshakeIsReadAndMistakesInItAreNamed(t *testing.T) {
	for _, c := range []struct{ line, want, why string }{
		{"1|1|unix|/tmp/s|grpc|", "", "as our sdk prints it"},
		{"1|1|unix|/tmp/s|grpc", "", "the certificate may be left out"},
		{"1|1|tcp|127.0.0.1:4000|grpc||false", "", "with every field"},
		{"1|7|unix|/tmp/s|grpc|", "", "the version is judged by others"},
		{"", "printed nothing", "nothing"},
		{"Welcome!", `printed "Welcome!"`, "a banner"},
		{"2|1|unix|/tmp/s|grpc|", "first field", "another core protocol"},
		{"1|x|unix|/tmp/s|grpc|", "no number", "a version that is none"},
		{"1|1|unix||grpc|", "no path", "no path"},
		{"1|1|tcp|192.0.2.1:80|grpc|", "this machine", "an address far away"},
		{"1|1|tcp|localhost|grpc|", "this machine", "no address at all"},
		{"1|1|pipe|x|grpc|", "neither unix nor tcp", "another network"},
		{"1|1|unix|/tmp/s|netrpc|", "not grpc", "the other protocol of go-plugin"},
		{"1|1|unix|/tmp/s|grpc|MIIB", "certificate", "TLS that nobody asked for"},
	} {
		h, err := ParseHandshake(c.line)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q: %s", c.line, err, c.want, c.why)
		}
		if err == nil && (h.Version == 0 || h.Address == "") {
			t.Errorf("%q is read as %+v", c.line, h)
		}
	}
}

func FuzzNoHandshakeIsBelievedThatLeadsAwayFromThisMachine(f *testing.F) {
	f.Add("1|1|tcp|127.0.0.1:4000|grpc||false")
	f.Add("1|1|unix|/tmp/s|grpc|")
	f.Fuzz(func(t *testing.T, line string) {
		h, err := ParseHandshake(line)
		if err != nil || h.Network == "unix" {
			return
		}
		host, _, err := net.SplitHostPort(h.Address)
		if ip := net.ParseIP(strings.SplitN(host, "%", 2)[0]); err != nil || ip == nil || !ip.IsLoopback() {
			t.Errorf("%q leads to %s", line, h.Address)
		}
	})
}

func TestATargetKnowsWhoStillHoldsOn(t *testing.T) {
	target, err := NewTarget()
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := net.Dial("tcp", target.Silent())
	if err != nil {
		t.Fatal(err)
	}
	target.Seen(ctx, time.Minute)
	over, stop := context.WithCancel(ctx)
	stop()
	if n := target.Quiet(over); n != 1 {
		t.Errorf("%d connections are open, want 1", n)
	}
	_ = conn.Close()
	if n := target.Quiet(ctx); n != 0 {
		t.Errorf("%d connections are open after the only one was closed", n)
	}
	broken, err := net.Dial("tcp", target.Broken())
	if err == nil {
		defer broken.Close()
		if n, err := broken.Read(make([]byte, 1)); err == nil {
			t.Errorf("the broken port sent %d bytes", n)
		}
	}
}

func TestTheSameSituationIsTheSameRequest(t *testing.T) {
	for status := range pluginv1.Status_name {
		one, two := DecideRequest(pluginv1.Status(status), "ring"), DecideRequest(pluginv1.Status(status), "ring")
		if !proto.Equal(one, two) {
			t.Errorf("two requests about status %d differ", status)
		}
		if ill := status != int32(pluginv1.Status_STATUS_HEALTHY); ill != (one.Incident != nil) || one.Report.Status != pluginv1.Status(status) {
			t.Errorf("status %d: the incident is %v", status, one.Incident)
		}
		if last := one.Actions[len(one.Actions)-1]; last.Action != "ring" || !last.Applicable {
			t.Errorf("the plugin's own action is %v", last)
		}
	}
}
