package hubproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/proto/handshake"
)

func TestHubServesAndIsWatched(t *testing.T) {
	h := keep(t, "good", func(o *Options) { o.Settings.Generation = 41 })
	e := h.await(Serving, 1)
	s := h.awaitSnapshot("a heartbeat after the first", func(s Snapshot) bool { return s.LastHeartbeat.Sub(s.AcceptingSince) > 400*time.Millisecond })
	if s.State != Running || s.PID != e.PID || s.Generation != 42 || s.StartTicks == 0 || s.Statistics.GetGeneration() != 42 || s.RoundTrip <= 0 || s.Missed != 0 {
		t.Errorf("snapshot is %+v", s)
	}
	if !s.StartedAt.Before(s.AcceptingSince) {
		t.Errorf("started %v, accepting since %v", s.StartedAt, s.AcceptingSince)
	}
	if got, want := h.tell("/"), fmt.Sprintf("42 %d", s.PID); got != want {
		t.Errorf("the hub says %q, want %q", got, want)
	}
	if !strings.Contains(h.log.String(), "[ERROR] worker: loaded: generation=42") {
		t.Errorf("the hub's log line with its level is not in ours:\n%s", h.log)
	}
	h.stop()
	if err := <-h.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if s := h.Snapshot(); s.State != Stopped || s.PID != 0 || s.LastGeneration != 42 {
		t.Errorf("snapshot after the end is %+v", s)
	}
	if got, want := h.kinds(), "launched serving ended"; got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
}

func TestKilledHubIsReplacedAndNobodyIsRefused(t *testing.T) {
	h := keep(t, "good", func(o *Options) { o.Restarts.Limit = 100 })
	h.await(Serving, 1)
	c := h.call(4)
	var outages []time.Duration
	for n := 1; n <= 9; n++ {
		was := h.await(Serving, n).PID
		began := time.Now()
		kill(t, was, syscall.SIGKILL)
		for {
			if body, err := h.get("/"); err == nil && !strings.HasSuffix(body, fmt.Sprint(" ", was)) {
				break
			}
		}
		outages = append(outages, time.Since(began))
	}
	h.await(Serving, 10)
	c.end(t)
	slices.Sort(outages)
	t.Logf("SIGKILL to the next hub's HTTP: median %v, of %v", outages[len(outages)/2], outages)
	if median := outages[len(outages)/2]; median > time.Second {
		t.Errorf("the median outage is %v", median)
	}
	s := h.Snapshot()
	if s.Restarts != 9 || !strings.Contains(s.LastExit, "killed by signal 9") || len(s.RecentRestarts) != 9 {
		t.Errorf("snapshot is %+v, want 9 restarts and the last exit", s)
	}
	if e := h.await(Exited, 1); !strings.Contains(e.Cause, "killed by signal 9") {
		t.Errorf("the cause is %q", e.Cause)
	}
}

func TestStoppedHubIsReplacedWithinTwoSeconds(t *testing.T) {
	h := keep(t, "good", nil)
	first := h.await(Serving, 1)
	began := time.Now()
	kill(t, first.PID, syscall.SIGSTOP)
	e := h.await(Hung, 1)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("noticed after %v, want 2 s at most", took)
	}
	if e.PID != first.PID || !strings.Contains(e.Cause, "stopped by a signal") {
		t.Errorf("the event is %+v", e)
	}
	if second := h.await(Serving, 2); second.PID == first.PID {
		t.Error("the stopped hub serves on")
	}
}

func TestHubThatSleepsThroughItsHeartbeatIsReplaced(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	h.tell("/deaf")
	if e := h.await(Hung, 1); !strings.Contains(e.Cause, "no processor time") && !strings.Contains(e.Cause, "busy") {
		t.Errorf("the cause is %q", e.Cause)
	}
	h.await(Serving, 2)
}

func TestBusyHubIsReplacedOnlyAfterItsLimit(t *testing.T) {
	const limit = 2500 * time.Millisecond
	h := keep(t, "good", func(o *Options) { o.BusyLimit = limit })
	h.await(Serving, 1)
	last := h.Snapshot().LastHeartbeat
	h.tell("/spin")
	e := h.await(Hung, 1)
	if !strings.Contains(e.Cause, "busy") || e.At.Sub(last) < limit {
		t.Errorf("hung %v after the first heartbeat, %q; want no earlier than %v, and busy", e.At.Sub(last), e.Cause, limit)
	}
	h.await(Serving, 2)
}

func TestLateAnswersKeepABusyHubInService(t *testing.T) {
	h := keep(t, "good", func(o *Options) { o.BusyLimit = 2500 * time.Millisecond })
	h.await(Serving, 1)
	h.tell("/lazy")
	began := time.Now()
	h.awaitSnapshot("answers well after the limit", func(s Snapshot) bool { return s.LastHeartbeat.Sub(began) > 5*time.Second })
	if got, want := h.kinds(), "launched serving"; got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
}

func TestHubThatAnswersWithErrorsIsReplacedAndQuoted(t *testing.T) {
	h := keep(t, "good", func(o *Options) { o.BusyLimit = 3 * time.Second })
	h.await(Serving, 1)
	h.tell("/refuse")
	if e := h.await(Hung, 1); !strings.HasSuffix(e.Cause, "last answer: the log is closed") {
		t.Errorf("the cause is %q", e.Cause)
	}
	h.await(Serving, 2)
}

func TestHubThatClosesItsControlChannelIsReplaced(t *testing.T) {
	h := keep(t, "linger", nil)
	h.await(Serving, 1)
	h.tell("/hang-up")
	if e := h.await(Hung, 1); !strings.Contains(e.Cause, "closed its control channel") {
		t.Errorf("the cause is %q", e.Cause)
	}
	h.await(Serving, 2)
}

func TestCrashIsExplainedByItsLastWords(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	if body, err := h.get("/crash"); err == nil {
		t.Fatalf("a crashing hub answers %q", body)
	}
	e := h.await(Exited, 1)
	if !strings.HasPrefix(e.Cause, "exit status 7 after") || !strings.HasSuffix(e.Cause, "fatal: it was too much") || len(e.Output) == 0 {
		t.Errorf("the event is %+v", e)
	}
}

func TestPanicIsExplainedByItsFirstLine(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	if body, err := h.get("/panic"); err == nil {
		t.Fatalf("a panicking hub answers %q", body)
	}
	if e := h.await(Exited, 1); !strings.HasPrefix(e.Cause, "exit status 2 after") || !strings.HasSuffix(e.Cause, ": panic: it was too deep") {
		t.Errorf("the cause is %q", e.Cause)
	}
}

func TestCountersNeverFall(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	for range 5 {
		h.tell("/event")
	}
	s := h.awaitSnapshot("five events", func(s Snapshot) bool { return s.Statistics.GetEventsProcessed() == 5 })
	kill(t, s.PID, syscall.SIGKILL)
	h.await(Exited, 1)
	h.await(Serving, 2)
	s = h.awaitSnapshot("the second hub's statistics", func(s Snapshot) bool { return s.Statistics.GetGeneration() == 2 })
	if s.Statistics.EventsProcessed != 5 || s.Statistics.ConnectedClients != 0 {
		t.Errorf("statistics after a kill are %v, want 5 events and nobody connected", s.Statistics)
	}
	h.tell("/event")
	if err := h.Restart(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	s = h.Snapshot()
	if s.Statistics.EventsProcessed != 6 || s.Statistics.EventsFailed != 1 || s.Statistics.ConnectedClients != 0 {
		t.Errorf("statistics after a handover are %v, want those that the old hub told last, and nobody connected", s.Statistics)
	}
}

func TestHaltKeepsTheHubDownUntilRestart(t *testing.T) {
	h := keep(t, "good", nil)
	first := h.await(Serving, 1)
	if err := h.Halt(t.Context(), "emergency"); err != nil {
		t.Fatal(err)
	}
	if s := h.Snapshot(); s.State != Stopped || s.PID != 0 || s.Restarts != 0 {
		t.Errorf("snapshot is %+v", s)
	}
	if _, err := child.ReadStat(first.PID); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the process is still there: %v", err)
	}
	if err := h.Halt(t.Context(), "again"); err != nil {
		t.Errorf("a second Halt: %v", err)
	}
	if err := h.Restart(t.Context(), "by hand"); err != nil {
		t.Fatal(err)
	}
	if got, want := h.kinds(), "launched serving halted halted launched serving"; got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
}

func TestHaltDuringAPauseStaysHalted(t *testing.T) {
	const pause = 200 * time.Millisecond
	h := keep(t, "good", func(o *Options) { o.Restarts.Quick, o.Restarts.FirstPause = time.Hour, pause })
	kill(t, h.await(Serving, 1).PID, syscall.SIGKILL)
	h.await(Restart, 1)
	if err := h.Halt(t.Context(), "emergency"); err != nil {
		t.Fatal(err)
	}
	_, _, more := h.nth(Launched, 2)
	select {
	case <-more:
		t.Errorf("a halted keeper goes on: %s", h.kinds())
	case <-time.After(2 * pause): // nothing happens, which no event can tell
	}
	if s := h.Snapshot(); s.State != Stopped || !s.NextStart.IsZero() {
		t.Errorf("snapshot is %+v", s)
	}
}

func TestHaltBreaksOffAStart(t *testing.T) {
	h := keep(t, "slow-load", nil)
	h.await(Launched, 1)
	restarted := make(chan error, 1)
	go func() { restarted <- h.Restart(t.Context(), "joins in") }()
	began := time.Now()
	if err := h.Halt(t.Context(), "emergency"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Halt took %v, want no waiting for the start", took)
	}
	for {
		_, again, more := h.nth(Launched, 2)
		if again { // Restart came after the Halt, so halt that as well
			if err := h.Halt(t.Context(), "again"); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case err := <-restarted:
			if s := h.Snapshot(); !errors.Is(err, ErrHalted) || s.State != Stopped {
				t.Errorf("Restart: %v, and then %s; want that it was halted", err, s.State)
			}
			return
		case <-more:
		}
	}
}

func TestHubThatDoesNotStartInTimeIsReplaced(t *testing.T) {
	for mode, want := range map[string]string{"slow-load": "did not load: no answer within 300ms", "mute": "did not answer its first heartbeat: no answer within 300ms"} {
		t.Run(mode, func(t *testing.T) {
			h := keep(t, mode, func(o *Options) { o.StartDeadline, o.OwnLateness = 300*time.Millisecond, time.Hour })
			if e := h.await(StartFailed, 1); !strings.Contains(e.Cause, want) {
				t.Errorf("the cause is %q, want %q", e.Cause, want)
			}
			h.await(Launched, 2)
		})
	}
}

func TestHandoverToAHubThatLoadsForeverIsGivenUpAndTheOldOneServes(t *testing.T) {
	h := keep(t, "slow-second", func(o *Options) { o.StartDeadline = time.Second })
	first := h.await(Serving, 1)
	if err := h.Restart(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "did not load") {
		t.Errorf("Restart: %v", err)
	}
	if body := h.tell("/"); body != fmt.Sprint("1 ", first.PID) {
		t.Errorf("%q answers, want the old hub", body)
	}
}

func TestStoppingIsBoundedWhateverTheHubDoes(t *testing.T) {
	const stopDeadline = 1500 * time.Millisecond
	for _, c := range []struct {
		mode  string
		sig   syscall.Signal
		bound time.Duration
	}{
		{"good", 0, time.Second},
		{"good", syscall.SIGSTOP, time.Second}, // not even the deadline
		{"deaf-to-stop", 0, stopDeadline + killWait},
		{"linger", 0, stopDeadline + killWait},
	} {
		t.Run(fmt.Sprint(c.mode, int(c.sig)), func(t *testing.T) {
			h := keep(t, c.mode, func(o *Options) { o.StopDeadline = stopDeadline })
			first := h.await(Serving, 1)
			if c.sig != 0 {
				kill(t, first.PID, c.sig)
				if err := unix.Waitid(unix.P_PID, first.PID, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			h.stop()
			if err := <-h.ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			took := time.Since(began)
			t.Logf("took %v", took)
			if took > c.bound {
				t.Errorf("took %v, want at most %v", took, c.bound)
			}
		})
	}
}

func TestClearConnectionsIsPassedOnAndBounded(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	if closed, err := h.ClearConnections(t.Context(), "12345"); err != nil || closed != 5 {
		t.Errorf("ClearConnections: %d, %v, want what the hub said", closed, err)
	}
	stuck := keep(t, "stuck-clear", func(o *Options) { o.ClearDeadline = 200 * time.Millisecond })
	stuck.await(Serving, 1)
	if _, err := stuck.ClearConnections(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "no answer within 200ms") {
		t.Errorf("ClearConnections of a hub that does not: %v", err)
	}
}

func TestEndedKeeperSaysSo(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	h.stop()
	<-h.Keeper.ended
	for name, call := range map[string]func(context.Context, string) error{"Restart": h.Restart, "Halt": h.Halt} {
		if err := call(t.Context(), "test"); !errors.Is(err, ErrEnded) {
			t.Errorf("%s: %v, want ErrEnded", name, err)
		}
	}
	if err := h.Run(t.Context()); err == nil {
		t.Error("a second Run begins")
	}
}

func TestCallersContextBoundsTheWaiting(t *testing.T) {
	h := keep(t, "slow-load", nil)
	h.await(Launched, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Restart(ctx, "test"); !errors.Is(err, context.Canceled) {
		t.Errorf("Restart: %v, want that its context ended", err)
	}
}

func TestHubSeesNothingOfOurEnvironmentButWhatItNeeds(t *testing.T) {
	t.Setenv("A_SECRET_OF_OURS", "1")
	t.Setenv("TZ", "UTC")
	dir := t.TempDir()
	h := keep(t, "good", func(o *Options) {
		o.StateDir = dir
		o.Env = append(o.Env, "GIVEN=yes", "TZ=CET")
	})
	h.await(Serving, 1)
	env := strings.Split(h.tell("/env"), "\n")
	for _, want := range []string{
		"PATH=" + os.Getenv("PATH"), "GIVEN=yes", "TZ=CET", handshake.HubListenersEnv + "=" + fmt.Sprint(len(h.listeners.Addrs())),
		handshake.ChildMarkerEnv + "=" + child.NewMarker(dir).String(),
	} {
		if !slices.Contains(env, want) {
			t.Errorf("the hub has no %s: %q", want, env)
		}
	}
	for _, entry := range env {
		if strings.HasPrefix(entry, "A_SECRET") || entry == "TZ=UTC" {
			t.Errorf("the hub has %s", entry)
		}
	}
}

func TestSharedSocketsStayNonBlocking(t *testing.T) {
	h := keep(t, "good", nil)
	h.await(Serving, 1)
	if err := h.Restart(t.Context(), "test"); err != nil { // the old hub closed its duplicates, and that did not hang
		t.Fatal(err)
	}
	for _, l := range h.listeners.tcp {
		raw, err := l.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) {
			if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
				t.Errorf("listener %v became blocking (%#x, %v)", l.Addr(), flags, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, addr := range h.listeners.Addrs() { // IPv6 as well
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

func TestRestartsLeaveNoDescriptorsBehind(t *testing.T) {
	h := keep(t, "good", func(o *Options) { o.Restarts.Limit = 100 })
	h.await(Serving, 1)
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	for n := 1; n <= 5; n++ {
		if err := h.Restart(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		kill(t, h.Snapshot().PID, syscall.SIGKILL)
		h.await(Serving, 2*n+1)
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after ten replacements", before, after)
	}
}

func TestNewInsistsOnWhatItNeeds(t *testing.T) {
	_, err := New(Options{})
	if err == nil {
		t.Fatal("New takes anything")
	}
	for _, want := range []string{"Listeners", "Settings", "Log", "HeartbeatInterval", "Restarts.Window"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

func TestEveryHubIsToldWhatToLogAndAgainWhenThatChanges(t *testing.T) {
	var level atomic.Value
	level.Store("warn")
	told := make(chan string, 64)
	h := keep(t, "good", func(o *Options) {
		o.Restarts.Limit = 100
		o.LogLevel = func() string { return level.Load().(string) }
		o.Log = hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, JSONFormat: true, Output: writerFunc(func(line []byte) (int, error) {
			if _, word, found := bytes.Cut(line, []byte("told to log ")); found {
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
				t.Fatalf("it was told %q, want %q: %s", got, word, why)
			}
		case <-time.After(patience):
			t.Fatalf("it was told nothing, want %q: %s", word, why)
		}
	}
	want("warn", "from its first heartbeat on")
	level.Store("debug")
	want("debug", "changed at run time")
	kill(t, h.await(Serving, 1).PID, syscall.SIGKILL)
	want("debug", "the next hub as well")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
