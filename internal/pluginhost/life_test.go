//go:build linux

package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/proto/handshake"
)

func alive(pid int) bool {
	stat, err := child.ReadStat(pid)
	return err == nil && !stat.Dead()
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 0 {
		t.Fatal("no pid")
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

func TestKilledPluginIsNoticedAtOnceAndReplaced(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	first := b.is("good", Running)
	inFlight := make(chan error, 1)
	go func() {
		_, err := b.check("good", "hang", patience)
		inFlight <- err
	}()
	if _, err := b.check("good", "", patience); err != nil { // the other one is on its way
		t.Fatal(err)
	}
	began := time.Now()
	kill(t, first.PID, syscall.SIGKILL)
	err := <-inFlight
	failed := time.Since(began)
	if !errors.Is(err, ErrExited) && !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), `"good"`) {
		t.Errorf("the call in flight says %v, want ErrExited naming the plugin", err)
	}
	second := b.until("good", "replaced", func(s Snapshot) bool { return s.State == Running && s.PID != first.PID })
	replaced := time.Since(began)
	t.Logf("kill -9: call in flight failed after %v, noticed after %v, replaced after %v",
		failed.Round(100*time.Microsecond), second.LastErrorAt.Sub(began).Round(100*time.Microsecond), replaced.Round(time.Millisecond))
	if failed > time.Second || replaced > 5*time.Second {
		t.Errorf("failed after %v, replaced after %v: too late", failed, replaced)
	}
	if second.Restarts != 1 || !strings.Contains(second.LastError, "signal 9") || second.LastHint == "" {
		t.Errorf("after the restart: %+v", second)
	}
	if _, err := b.check("good", "", patience); err != nil {
		t.Errorf("the new process: %v", err)
	}
}

func TestExitAndPanicDuringACallAreErrorsOfThatCallOnly(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "bad", "good", nil)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	for _, c := range []struct{ id, want string }{{"exit", "exit status 3"}, {"exit", "I am leaving"}, {"panic", "division by zero"}, {"panic-aside", "panic: aside"}} {
		before := b.is("bad", Running)
		_, err := b.check("bad", c.id, patience)
		if !errors.Is(err, ErrExited) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want ErrExited with %q", c.id, err, c.want)
		}
		b.until("bad", "replaced", func(s Snapshot) bool { return s.State == Running && s.PID != before.PID })
	}
	if s := b.instance("good").Snapshot(); s.Restarts != 0 {
		t.Errorf("the other plugin was restarted %d times", s.Restarts)
	}
}

func TestErrorOfACheckIsNoEndOfThePlugin(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	_, err := b.check("good", "error", patience)
	var call *CallError
	if !errors.As(err, &call) || call.Plugin != "good" || call.Call != "check" || !strings.Contains(err.Error(), `the disk\x0ais gone`) {
		t.Errorf("%v, want a CallError with the sanitised text", err)
	}
	for range 4 {
		if _, err := b.check("good", "own-timeout", patience); err == nil || errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "the disk did not answer me") {
			t.Errorf("a deadline of its own: %v, want its text and no ErrTimeout", err)
		}
	}
	if _, err := b.check("good", "huge", patience); !errors.Is(err, ErrTooLarge) {
		t.Errorf("100 MB: %v, want ErrTooLarge", err)
	}
	if _, err := b.instance("good").Execute(context.Background(), Execution{Action: "none"}); !errors.Is(err, ErrNotOffered) {
		t.Errorf("execute on a checker: %v, want ErrNotOffered", err)
	}
	if s := b.instance("good").Snapshot(); s.State != Running || s.Restarts != 0 {
		t.Errorf("the plugin is %s after %d restarts, want the first process", s.State, s.Restarts)
	}
}

func TestStoppedPluginFailsItsCheckAndIsReplacedWhileOthersAnswer(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "bad", "good", nil)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, func(o *Options) { o.HealthInterval, o.HealthTimeout = 500*time.Millisecond, 400*time.Millisecond })
	before := b.is("bad", Running)
	began := time.Now()
	_, err := b.check("bad", "stop", 300*time.Millisecond)
	if took := time.Since(began); !errors.Is(err, ErrTimeout) || took > 5*time.Second {
		t.Errorf("check of a stopped plugin: %v after %v, want ErrTimeout at its deadline", err, took)
	}
	if _, err := b.check("good", "", patience); err != nil {
		t.Errorf("another plugin meanwhile: %v", err)
	}
	after := b.until("bad", "replaced", func(s Snapshot) bool { return s.State == Running && s.PID != before.PID })
	t.Logf("SIGSTOP to replaced: %v", time.Since(began).Round(time.Millisecond))
	if !strings.Contains(after.LastError, "missed 2 health calls") || alive(before.PID) {
		t.Errorf("replaced because of %q, old process alive: %v", after.LastError, alive(before.PID))
	}
}

func TestDefaultTimesReplaceAHungPluginWithinTwelveSeconds(t *testing.T) {
	o := DefaultOptions()
	worst := o.HealthInterval + time.Duration(o.HealthMisses)*o.HealthTimeout + time.Duration(o.HealthMisses-1)*o.HealthTimeout/2
	if worst > 11*time.Second {
		t.Errorf("the second miss comes %v after the hang, which leaves too little of 12 s for the new start", worst)
	}
}

func TestPluginWhoseChecksHangTwiceIsReplaced(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	before := b.is("good", Running)
	hang := func() {
		t.Helper()
		if _, err := b.check("good", "hang", 200*time.Millisecond); !errors.Is(err, ErrTimeout) {
			t.Errorf("hanging check: %v, want ErrTimeout", err)
		}
	}
	hang()
	if _, err := b.check("good", "", patience); err != nil {
		t.Fatal(err)
	}
	hang()
	if s := b.instance("good").Snapshot(); s.PID != before.PID {
		t.Fatal("replaced after timeouts that were not in a row")
	}
	hang()
	after := b.until("good", "replaced", func(s Snapshot) bool { return s.State == Running && s.PID != before.PID })
	if !strings.Contains(after.LastError, "did not answer 2 calls in a row") {
		t.Errorf("replaced because of %q", after.LastError)
	}
	for range 5 { // what it looks at may be what hangs: that is no crash loop
		before = b.is("good", Running)
		hang()
		hang()
		b.until("good", "replaced", func(s Snapshot) bool { return s.State == Running && s.PID != before.PID })
	}
}

func TestCallThatWasGivenNoTimeBlamesNobody(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	for range 5 {
		if _, err := b.check("good", "", -time.Second); !errors.Is(err, ErrTimeout) {
			t.Errorf("%v, want ErrTimeout", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.instance("good").Check(ctx, CheckInput{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if _, err := b.check("good", "", patience); err != nil {
		t.Error(err)
	}
	if s := b.instance("good").Snapshot(); s.Restarts != 0 {
		t.Error("the plugin was replaced because its caller had no time")
	}
}

func TestCrashLoopEndsInQuarantineAndReleaseEndsThat(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "loop", "exits", nil)
	b := run(t, dir, nil)
	s := b.is("loop", Quarantined)
	if len(s.StderrTail) != 1 || s.StderrTail[0] != "cannot find my licence" {
		t.Errorf("its last lines are %q", s.StderrTail)
	}
	if s.Restarts != 4 || !strings.Contains(s.LastError, "5 failures within 10m0s") || !strings.Contains(s.LastError, "cannot find my licence") {
		t.Errorf("quarantined after %d restarts because of %q, want 4 and the last words", s.Restarts, s.LastError)
	}
	b.instance("loop").Release()
	s = b.until("loop", "quarantined again", func(s Snapshot) bool { return s.State == Quarantined && s.Restarts > 4 })
	if s.Restarts != 9 {
		t.Errorf("after the release %d restarts, want 9: the old crashes are forgiven", s.Restarts)
	}
}

func TestStopIsBoundedWhateverThePluginDoes(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "stubborn", "stubborn", nil)
	install(t, dir, "frozen", "good", nil)
	install(t, dir, "good", "good", nil)
	install(t, dir, "lingers", "lingers", nil)
	install(t, dir, "bare", "bare", nil)
	b := run(t, dir, nil)
	var pids []int
	for _, name := range []string{"stubborn", "frozen", "good", "lingers", "bare"} {
		pids = append(pids, b.is(name, Running).PID)
	}
	kill(t, pids[1], syscall.SIGSTOP)
	took := b.stop()
	t.Logf("stopped a stubborn, a frozen, a good and a lingering plugin and one without a controller in %v", took.Round(time.Millisecond))
	if took > 2500*time.Millisecond {
		t.Errorf("stopping took %v, want at most 2.5 s", took)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d outlived Run", pid)
		}
	}
}

func TestForgottenGrandchildHidesNoDeathAndGoesToo(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	before := b.is("good", Running)
	out, err := b.check("good", "fork", patience)
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(out.Result.Message)
	if err != nil || !alive(grandchild) {
		t.Fatalf("no grandchild: %v", err)
	}
	kill(t, before.PID, syscall.SIGKILL)
	b.until("good", "replaced", func(s Snapshot) bool { return s.State == Running && s.PID != before.PID })
	if alive(grandchild) {
		t.Error("the grandchild is alive, it holds the old process's pipes")
	}
}

func TestPluginLogKeepsLevelAndFieldsAndCannotKillTheHost(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	if _, err := b.check("good", "log", patience); err != nil {
		t.Fatal(err)
	}
	b.line("end of the log")
	if line := b.line("full"); !strings.Contains(line, `"@level":"warn"`) || !strings.Contains(line, `"free":"7"`) && !strings.Contains(line, `"free":7`) ||
		!strings.Contains(line, `"plugin":"good"`) || strings.Contains(line, `\u001b[31m`) || !strings.Contains(line, `"nested":"{\"a\":[1]}"`) {
		t.Errorf("an hclog line became %s", line)
	}
	b.line(`"@level":"error"`, `plain \\xff text`)
	b.line(`"@level":"debug"`, `{\"@message\":1`)
	if _, err := b.check("good", "print", patience); err != nil {
		t.Fatal(err)
	}
	b.line(`"@level":"debug"`, "printed through go-plugin")
	b.line(`"@level":"warn"`, "warned through go-plugin")
	if s := b.instance("good").Snapshot(); s.Restarts != 0 {
		t.Error("the plugin was restarted")
	}
}

func TestFloodIsCutAndTheCheckSucceeds(t *testing.T) {
	for _, how := range []string{"flood", "flood-print"} { // standard error; standard output, which go-plugin sends over gRPC
		dir := pluginDir(t)
		install(t, dir, "good", "good", nil)
		b := run(t, dir, nil)
		began := time.Now()
		if _, err := b.check("good", how, patience); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		n := len(b.log.text(1 << 30))
		t.Logf("%s: the flood took %v, %d bytes were logged", how, time.Since(began).Round(time.Millisecond), n)
		if n > 8<<20 {
			t.Errorf("%s: %d bytes of the flood were logged", how, n)
		}
		b.stop()
	}
}

// TestPlainOutputNeverBlocksThePlugin: a megabyte without a line's end on the
// real standard output, which go-plugin's own reader would stop at.
func TestPlainOutputNeverBlocksThePlugin(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	for range 3 {
		if _, err := b.check("good", "long-print", patience); err != nil {
			t.Fatal(err)
		}
	}
	if s := b.instance("good").Snapshot(); s.Restarts != 0 {
		t.Error("the plugin was restarted")
	}
}

// TestPluginDoesNotReadHostsInput: its standard input is a pipe of its own that
// ends with host.
func TestPluginDoesNotReadHostsInput(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	if _, err := b.check("good", "read", 300*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("a plugin that reads its input gets %v, want it to wait", err)
	}
	pid := b.is("good", Running).PID
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", pid))
	if err != nil {
		t.Fatal(err)
	}
	if ours, err := os.Readlink("/proc/self/fd/0"); err != nil || theirs == ours || !strings.HasPrefix(theirs, "pipe:") {
		t.Errorf("its standard input is %s, ours %s (%v)", theirs, ours, err)
	}
}

// TestReceivedMessagesAreBoundedInMemory: a reply of 100 MB is refused before it
// is held.
func TestReceivedMessagesAreBoundedInMemory(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, func(o *Options) { o.MemoryLimit = 0 })
	ours := func() uint64 { // without those that we forked
		m, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Fatal(err)
		}
		var size, resident uint64
		if _, err := fmt.Sscan(string(m), &size, &resident); err != nil {
			t.Fatal(err)
		}
		return resident * uint64(os.Getpagesize())
	}
	start := ours()
	for range 3 {
		if _, err := b.check("good", "huge", patience); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("%v, want ErrTooLarge", err)
		}
	}
	if grown := ours() - min(start, ours()); grown > 60<<20 {
		t.Errorf("host grew by %d MB", grown>>20)
	}
}

func TestMetricThatIsNoNumberIsNeverHealthy(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	out, err := b.check("good", "nan", patience)
	if err != nil {
		t.Fatal(err)
	}
	if out.Result.Status.String() != "unknown" || len(out.Result.Errors) != 1 || !strings.Contains(out.Result.Errors[0], "ratio") {
		t.Errorf("a result with NaN: %+v", out.Result)
	}
}

func TestPluginSeesACleanEnvironment(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, func(o *Options) {
		o.Environ = []string{"PATH=/bin", "HOME=/home/x", "AWS_SECRET=hush", "LD_PRELOAD=evil", "broken"}
		o.Marker = "UPKEEP_CHILD_OF=1:2:/state"
	})
	out, err := b.check("good", "env", patience)
	if err != nil {
		t.Fatal(err)
	}
	got := out.Result.Message
	for _, want := range []string{"PATH=/bin", "HOME=/home/x", "UPKEEP_CHILD_OF=1:2:/state", "PLUGIN_UNIX_SOCKET_DIR=" + b.runtime} {
		if !strings.Contains(got, want) {
			t.Errorf("the environment lacks %s: %s", want, got)
		}
	}
	for _, secret := range []string{"hush", "evil"} {
		if strings.Contains(got, secret) {
			t.Errorf("the environment holds %s", secret)
		}
	}
}

// What the process really has is all that is looked at: each name has to be one
// that plugins may see, or one of the handshake.
func TestNothingOfOursReachesAPluginButTheHandshake(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	install(t, dir, "other", "good", nil)
	b := run(t, dir, func(o *Options) {
		o.Environ = []string{
			"PATH=/bin", "LANG=C", "UPKEEP_ADMIN__TOKEN=hush", "UPKEEP_STATE_DIR=/state", "UPKEEP_PLUGINS__GOOD__CONFIG=hush", "PLUGIN_MIN_PORT=1",
			"REDIS_HOST=redis.internal", "NOTIFY_SOCKET=/run/notify", "LISTEN_FDS=3", "SSH_AUTH_SOCK=/x",
		}
		o.Marker = "UPKEEP_CHILD_OF=1:2:/state"
		o.Settings = map[string]Settings{"good": {Environment: []string{"REDIS_HOST", "UPKEEP_ADMIN__TOKEN", "PLUGIN_MIN_PORT", "NOT_SET"}}}
	})
	allowed := []string{
		"PATH", "LANG", "UPKEEP_CHILD_OF", handshake.CookieKey,
		"PLUGIN_UNIX_SOCKET_DIR", "PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT", "PLUGIN_PROTOCOL_VERSIONS",
	}
	for name, further := range map[string][]string{"good": {"REDIS_HOST=redis.internal"}, "other": nil} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", b.is(name, Running).PID))
		if err != nil {
			t.Fatal(err)
		}
		for pair := range strings.SplitSeq(strings.Trim(string(text), "\x00"), "\x00") {
			key, value, _ := strings.Cut(pair, "=")
			if !slices.Contains(allowed, key) && !slices.Contains(further, pair) || strings.Contains(value, "hush") || pair == "PLUGIN_MIN_PORT=1" {
				t.Errorf("plugin %s has %s in its environment", name, pair)
			}
		}
		for _, want := range further {
			if !strings.Contains(string(text), want) {
				t.Errorf("plugin %s lacks %s, which it was given: %q", name, want, text)
			}
		}
	}
}

func TestRestartsLeakNeitherDescriptorsNorFolders(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, func(o *Options) { o.Restart.Crashes = 1000; o.Restart.First = time.Millisecond })
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	s := b.is("good", Running)
	before := descriptors()
	for range 8 {
		kill(t, s.PID, syscall.SIGKILL)
		old := s.PID
		s = b.until("good", "replaced", func(s Snapshot) bool { return s.State == Running && s.PID != old })
	}
	if _, err := b.check("good", "", patience); err != nil {
		t.Fatal(err)
	}
	if after := descriptors(); after > before+2 {
		t.Errorf("%d descriptors before and %d after 8 restarts", before, after)
	}
	if left, _ := os.ReadDir(b.runtime); len(left) != 1 {
		t.Errorf("%d folders of sockets for one plugin", len(left))
	}
}
