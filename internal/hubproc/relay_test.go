package hubproc

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestHubsLinesKeepLevelAndFieldsOrAreTakenAsTheyStand(t *testing.T) {
	for _, c := range []struct{ line, want, why string }{
		{`{"@level":"error","@message":"cannot write","@module":"hub","@timestamp":"x","path":"/d","n":3}`, "[ERROR] cannot write: n=3 path=/d", "hclog's own"},
		{`{"@level":"debug","@message":"fine"}`, "[DEBUG] fine", "another level"},
		{`{"@level":"info","@message":1}`, `[WARN]  hub wrote: line="{`, "a message that is no text"},
		{`{"@level":7,"@message":"x"}`, `[WARN]  hub wrote: line="{`, "a level that is none"},
		{`{"@level":"info","@message":"cut of`, `[WARN]  hub wrote: line="{`, "JSON that is none"},
		{"panic: boom", `[WARN]  hub wrote: line="panic: boom"`, "a trace"},
		{"", `[WARN]  hub wrote: line=""`, "nothing"},
	} {
		var out bytes.Buffer
		relay(hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Trace, DisableTime: true}), c.line)
		if !strings.HasPrefix(out.String(), c.want) {
			t.Errorf("%s became %q, want %q: %s", c.line, out.String(), c.want, c.why)
		}
	}
}
