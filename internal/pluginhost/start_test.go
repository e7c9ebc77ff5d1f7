//go:build linux

package pluginhost

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/health"
)

func TestGoodPluginIsDescribedAskedAndEndedWithoutTrace(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", map[string]any{"description": "does good"})
	b := run(t, dir, nil)
	s := b.is("good", Running)
	if s.Info.Version != "1.2.3" || s.Info.CheckName != "good_check" || !s.Info.Is(Checker) || s.Description != "does good" || s.PID == 0 || s.StartedAt.IsZero() {
		t.Errorf("snapshot is incomplete: %+v", s)
	}
	out, err := b.check("good", "", patience)
	if err != nil {
		t.Fatal(err)
	}
	if r := out.Result; r.Check != "good_check" || r.Status != health.Healthy || r.Message != "all is well" || len(r.Metrics) != 1 || len(r.Errors) != 0 || r.Duration <= 0 {
		t.Errorf("result: %+v", r)
	}
	if !out.Result.Metrics[0].Load {
		t.Error("a metric that Describe names as load is not load in the result")
	}
	if out.Counters["looks"] != 1 {
		t.Errorf("counters: %v", out.Counters)
	}
	if took := b.stop(); took > 2500*time.Millisecond {
		t.Errorf("a good plugin took %v to stop", took)
	}
	if alive(s.PID) {
		t.Error("the process outlived Run")
	}
	if left, _ := os.ReadDir(b.runtime); len(left) > 0 {
		t.Errorf("left in the runtime folder: %v", left)
	}
	if got := b.seen("good"); len(got) != 3 || got[0] != Starting || got[1] != Running || got[2] != Stopped {
		t.Errorf("states: %v", got)
	}
}

func TestFailedStartNamesCauseAndRemedy(t *testing.T) {
	t.Parallel()
	cases := []struct {
		mode  string
		state State // where it ends up
		want  []string
		why   string
	}{
		{"silent", Quarantined, []string{"no handshake in time"}, "a plugin that never answers must not hold up the host"},
		{"garbage", Quarantined, []string{`"Welcome to my plugin!`, "instead of the handshake"}, "what was printed explains itself"},
		{"banner", Quarantined, []string{`"starting up ..."`, "instead of the handshake"}, "a good handshake after other text is none"},
		{"garbage-socket", Quarantined, []string{"did not answer the health service"}, "whatever it says, it is not gRPC"},
		{"long-line", Quarantined, []string{`"xxxx`, "instead of the handshake"}, "an endless line is cut"},
		{"exits", Quarantined, []string{"exit status 7", "cannot find my licence"}, "status and last words are the explanation"},
		{"panics", Quarantined, []string{"exit status 2", "panic: nothing works"}, "the panic's first line, not its stack"},
		{"closes-stdout", Quarantined, []string{"closed its standard output"}, "host ended it, the plugin did not"},
		{"wrong-cookie", Quarantined, []string{"exit status 1", "last words"}, "it says itself what it is"},
		{"wrong-version", Refused, []string{"Plugin version: 2", "Client versions: [1]"}, "both versions are named"},
		{"wrong-core", Refused, []string{"Plugin version: 9", "Core version: 1"}, "both versions are named"},
		{"netrpc", Refused, []string{"netrpc"}, "only gRPC is spoken"},
		{"far-away", Refused, []string{"192.0.2.1:80", "not on this machine"}, "a plugin must not make host talk to others"},
		{"nobody-listens", Quarantined, []string{"did not answer the health service"}, "a handshake alone proves nothing"},
		{"silent-socket", Quarantined, []string{"did not answer in time"}, "an open socket alone proves nothing"},
		{"dies-after-handshake", Quarantined, []string{"exit status 4", "that was all"}, "the death explains more than the broken connection"},
		{"no-service", Refused, []string{"did not describe itself", "does not offer"}, "without PluginService it is no plugin"},
		{"wrong-name", Refused, []string{`calls itself "somebody"`, `"x"`, `equal; its check name "no name"`}, "a plugin is known by one name, and every mistake is named"},
		{"no-kind", Refused, []string{"no kind that this host knows"}, "nobody would ask it anything"},
		{"bad-schema", Refused, []string{"no valid JSON Schema"}, "its configuration could not be judged"},
		{"schema-not-json", Refused, []string{"is no JSON"}, "its configuration could not be judged"},
		{"curious-schema", Refused, []string{"must hold everything itself"}, "host reads no file for a plugin"},
		{"panics-in-describe", Quarantined, []string{"ended while it was started", "who am I?"}, "a panic is an exit"},
		{"hangs-in-describe", Quarantined, []string{"did not describe itself", "no answer before the deadline"}, "the start has a deadline"},
	}
	dir := pluginDir(t)
	for _, c := range cases {
		install(t, dir, "x"+strings.ReplaceAll(c.mode, "-", ""), c.mode, nil)
	}
	install(t, dir, "zgood", "good", nil)
	b := run(t, dir, func(o *Options) {
		o.StartTimeout = 4 * time.Second
		o.Restart.Crashes = 2
	})
	b.is("zgood", Running)
	for _, c := range cases {
		t.Run(c.mode, func(t *testing.T) {
			s := b.is("x"+strings.ReplaceAll(c.mode, "-", ""), c.state)
			for _, want := range c.want {
				if !strings.Contains(s.LastError, strings.ReplaceAll(want, `"x"`, `"x`)) {
					t.Errorf("the error does not say %q: %s\n(%s)", want, s.LastError, c.why)
				}
			}
			if s.LastHint == "" {
				t.Error("there is no hint")
			}
			if strings.ContainsAny(s.LastError, "\n\x1b") {
				t.Errorf("the error has control characters: %q", s.LastError)
			}
			if s.PID != 0 {
				t.Error("a plugin that does not run has a pid")
			}
		})
	}
	if left, _ := os.ReadDir(b.runtime); len(left) != 1 {
		t.Errorf("the runtime folder holds %d sockets' folders, want that of the one running plugin", len(left))
	}
	if _, err := b.check("zgood", "", patience); err != nil {
		t.Errorf("a good plugin among bad ones: %v", err)
	}
	if _, err := b.check("xexits", "", patience); !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), "cannot find my licence") {
		t.Errorf("a call to a plugin that is down says %v, want ErrDown and why", err)
	}
}

func TestTextFileAndForeignArchitectureSayWhatTheyAre(t *testing.T) {
	dir := pluginDir(t)
	write := func(name string, content []byte) {
		if err := os.WriteFile(dir+"/"+name, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("text", []byte("just some words\n"))
	foreign, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	foreign = foreign[:4096]
	foreign[18], foreign[19] = 0xF3, 0x01 // a machine that does not exist
	write("foreign", foreign)
	write("script", []byte("#!/no/such/interpreter\n"))
	b := run(t, dir, nil)
	for name, want := range map[string]string{
		"text": "built for another system or architecture", "foreign": "built for another system or architecture",
		"script": "interpreter or loader",
	} {
		if s := b.is(name, Refused); !strings.Contains(s.LastError, want) || s.LastHint == "" {
			t.Errorf("%s: %q (hint %q), want %q", name, s.LastError, s.LastHint, want)
		}
	}
	if left, _ := os.ReadDir(b.runtime); len(left) != 0 {
		t.Errorf("starts that made no process left %v", left)
	}
}

func TestSlowStartHoldsUpNobody(t *testing.T) {
	t.Parallel()
	dir := pluginDir(t)
	install(t, dir, "a-silent", "silent", nil)
	install(t, dir, "good", "good", nil)
	began := time.Now()
	b := run(t, dir, func(o *Options) { o.StartTimeout = 3 * time.Second; o.Restart.Crashes = 1 })
	if s := b.is("good", Running); s.StartedAt.Sub(began) > 2900*time.Millisecond {
		t.Errorf("the good plugin ran after %v, it waited for the silent one", s.StartedAt.Sub(began))
	}
	b.is("a-silent", Quarantined)
}

func TestStopDuringStartIsImmediate(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "flaky", "exits", nil)
	install(t, dir, "silent", "silent", nil)
	b := run(t, dir, func(o *Options) { o.StartTimeout = time.Second; o.Restart.Crashes = 100 })
	b.until("silent", "starting again", func(s Snapshot) bool { return s.State == Starting && s.Restarts >= 1 })
	if took := b.stop(); took > 1500*time.Millisecond {
		t.Errorf("stopping amid a start took %v", took)
	}
}
