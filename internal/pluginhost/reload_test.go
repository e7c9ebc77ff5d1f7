//go:build linux

package pluginhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/recovery"
)

// reload asks for one and fails the test when it is not even tried.
func (b *bench) reload(name string) Change {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := b.host.Reload(ctx, name)
	if err != nil {
		b.t.Fatalf("reload %s: %v", name, err)
	}
	return c
}

func (b *bench) rescan() map[string]Change {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	changes, err := b.host.Rescan(ctx)
	if err != nil {
		b.t.Fatalf("rescan: %v", err)
	}
	byName := map[string]Change{}
	for _, c := range changes {
		byName[c.Plugin] = c
	}
	return byName
}

// gone waits until the process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, "the end of the process", func() bool { return !alive(pid) })
}

// TestReloadTakesOverBetweenTwoChecksAndNoneIsMissed checks without a pause,
// and with one check that is under way all the while.
func TestReloadTakesOverBetweenTwoChecksAndNoneIsMissed(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	before := b.is("good", Running)
	proceed := filepath.Join(t.TempDir(), "proceed")
	slow := make(chan error, 1)
	go func() {
		_, err := b.check("good", "until "+proceed, patience)
		slow <- err
	}()
	var mu sync.Mutex
	checks := 0
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := b.check("good", "", patience); err != nil {
				stopped <- err
				return
			}
			mu.Lock()
			checks++
			mu.Unlock()
		}
	}()
	counted := func() int { mu.Lock(); defer mu.Unlock(); return checks }
	more := func(than int) {
		t.Helper()
		eventually(t, "another check", func() bool { return counted() > than || len(stopped) > 0 })
	}
	more(20)
	describe(t, filepath.Join(dir, "good"), "good", "v2", nil)
	c := b.reload("good")
	if c.Outcome != Reloaded || c.Err != nil || c.Before.Info.Version != "1.2.3" || c.After.Info.Version != "2.0.0" || c.After.PID == before.PID {
		t.Fatalf("reload: %+v", c)
	}
	if !alive(before.PID) {
		t.Error("the old process ended although it was answering a check")
	}
	more(counted() + 20)
	if err := os.WriteFile(proceed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-slow; err != nil {
		t.Errorf("the check that was under way: %v", err)
	}
	gone(t, before.PID)
	close(stop)
	if err := <-stopped; err != nil {
		t.Errorf("after %d checks one failed: %v", counted(), err)
	}
	s := b.instance("good").Snapshot()
	if s.State != Running || s.Restarts != 0 || s.Reloads != 1 || s.LastReload.IsZero() || s.ReloadError != "" || s.LastError != "" {
		t.Errorf("after the reload: %+v", s)
	}
	kill(t, s.PID, syscall.SIGKILL)
	after := b.until("good", "replaced", func(now Snapshot) bool { return now.State == Running && now.PID != s.PID })
	if after.Info.Version != "2.0.0" {
		t.Errorf("a crash brought version %s back", after.Info.Version)
	}
	if left, _ := os.ReadDir(b.runtime); len(left) != 1 {
		t.Errorf("%d folders of sockets for one plugin", len(left))
	}
}

func TestWorseProcessNeverTakesOverAndTheReasonIsSaid(t *testing.T) {
	t.Parallel()
	dir := pluginDir(t)
	install(t, dir, "good", "good", map[string]any{"config": map[string]any{"word": "fine"}})
	install(t, dir, "first", "other-check", nil)
	b := run(t, dir, func(o *Options) { o.StartTimeout = 3 * time.Second })
	before := b.is("good", Running)
	if _, err := b.check("good", "", patience); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "good")
	for _, c := range []struct {
		mode string
		word string
		want string
		why  string
	}{
		{"exits", "fine", "cannot find my licence", "it does not start"},
		{"silent", "fine", "no handshake in time", "it never says where it listens"},
		{"wrong-version", "fine", "Plugin version: 2", "it is for another host"},
		{"nobody-listens", "fine", "did not answer the health service", "it is not healthy"},
		{"hangs-in-describe", "fine", "did not describe itself", "Describe fails"},
		{"wrong-name", "fine", `calls itself "somebody"`, "Describe is wrong"},
		{"v2", "bad", "the word is bad", "it refuses its configuration"},
		{"cannot-look", "fine", "its first check failed, where the one before did not: no glasses", "its first check fails"},
		{"other-check", "fine", `already made by plugin "first"`, "its check belongs to another plugin"},
	} {
		describe(t, folder, "good", c.mode, map[string]any{"config": map[string]any{"word": c.word}})
		got := b.reload("good")
		if got.Outcome != Kept || got.Err == nil || !strings.Contains(got.Err.Error(), c.want) {
			t.Errorf("%s: %s, %v; want it kept because of %q: %s", c.mode, got.Outcome, got.Err, c.want, c.why)
		}
		s := b.instance("good").Snapshot()
		if s.PID != before.PID || s.State != Running || s.Reloads != 0 || !strings.Contains(s.ReloadError, c.want) || s.ReloadHint == "" {
			t.Errorf("%s: afterwards %+v", c.mode, s)
		}
		if _, err := b.check("good", "", patience); err != nil {
			t.Errorf("%s: the old process: %v", c.mode, err)
		}
	}
	if got := b.rescan()["good"]; got.Outcome != Kept {
		t.Errorf("the worse file is still there, and a rescan says %q", got.Outcome)
	}
	if left, _ := os.ReadDir(b.runtime); len(left) != 2 {
		t.Errorf("%d folders of sockets for two plugins", len(left))
	}
	if err := os.Chmod(filepath.Join(folder, "good"), 0o757); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(folder, "good"), 0o755) }) // the test binary itself
	if got := b.reload("good"); got.Outcome != Kept || !strings.Contains(got.Err.Error(), "anybody may write") {
		t.Errorf("a file that anybody may write: %s, %v", got.Outcome, got.Err)
	}
	if err := os.Chmod(filepath.Join(folder, "good"), 0o755); err != nil {
		t.Fatal(err)
	}
	describe(t, folder, "good", "v2", nil)
	if got := b.reload("good"); got.Outcome != Reloaded || b.instance("good").Snapshot().ReloadError != "" {
		t.Errorf("a better one at last: %s, %v", got.Outcome, got.Err)
	}
}

func TestStrategyThatCannotDecideDoesNotTakeOver(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "mind", "strategy", nil)
	b := run(t, dir, nil)
	b.is("mind", Running)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := b.instance("mind").Decide(ctx, recovery.Request{}); err != nil {
		t.Fatal(err)
	}
	describe(t, filepath.Join(dir, "mind"), "mind", "undecided", nil)
	if c := b.reload("mind"); c.Outcome != Kept || !strings.Contains(c.Err.Error(), "its first decision failed") || !strings.Contains(c.Err.Error(), "make up my mind") {
		t.Errorf("%s: %v", c.Outcome, c.Err)
	}
	if _, err := b.instance("mind").Decide(ctx, recovery.Request{}); err != nil {
		t.Errorf("the old one: %v", err)
	}
}

// TestCheckThatFailedBeforeIsNoReasonToKeepTheOldProcess: the new one is not worse.
func TestCheckThatFailedBeforeIsNoReasonToKeepTheOldProcess(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	b.is("good", Running)
	if _, err := b.check("good", "error", patience); err == nil {
		t.Fatal("the check did not fail")
	}
	describe(t, filepath.Join(dir, "good"), "good", "cannot-look", nil)
	if c := b.reload("good"); c.Outcome != Reloaded {
		t.Errorf("%s: %v", c.Outcome, c.Err)
	}
}

func TestExchangedFileRunsOnlyAfterAReload(t *testing.T) {
	dir := pluginDir(t)
	exe := install(t, dir, "good", "good", nil)
	b := run(t, dir, func(o *Options) { o.LookInterval = 10 * time.Millisecond })
	s := b.is("good", Running)
	content, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	exchange := func(more string) {
		t.Helper()
		if err := os.WriteFile(exe+".new", append(slices.Clone(content), more...), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(exe+".new", exe); err != nil {
			t.Fatal(err)
		}
	}
	exchange("exchanged")
	kill(t, s.PID, syscall.SIGKILL)
	if r := b.is("good", Refused); !strings.Contains(r.LastError, "has changed") || !strings.Contains(r.LastHint, "host plugins reload good") {
		t.Errorf("refused because of %q (%s)", r.LastError, r.LastHint)
	}
	exchange("exchanged again")
	install(t, dir, "broken", "exits", nil) // that it is seen and quarantined takes longer than several looks
	b.reload("broken")
	b.is("broken", Quarantined)
	if r := b.instance("good").Snapshot(); r.State != Refused {
		t.Errorf("a file that was exchanged twice is %s", r.State)
	}
	if c := b.reload("good"); c.Outcome != Reloaded || c.After.State != Running {
		t.Errorf("reload: %+v", c)
	}
}

func TestQuarantinedPluginIsReleasedByAChangedFile(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "bad", "exits", nil)
	install(t, dir, "refused", "wrong-name", nil)
	b := run(t, dir, func(o *Options) { o.LookInterval = 10 * time.Millisecond })
	b.is("bad", Quarantined)
	b.is("refused", Refused)
	for _, name := range []string{"bad", "refused"} {
		describe(t, filepath.Join(dir, name), name, "v2", nil)
		if s := b.is(name, Running); s.Info.Version != "2.0.0" {
			t.Errorf("%s runs version %s", name, s.Info.Version)
		}
	}
}

func TestReloadStartsWhatIsQuarantined(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "bad", "exits", nil)
	b := run(t, dir, nil)
	b.is("bad", Quarantined)
	if c := b.reload("bad"); c.Outcome != Kept || !strings.Contains(c.Err.Error(), "cannot find my licence") || c.After.State != Quarantined {
		t.Errorf("as bad as before: %+v", c)
	}
	describe(t, filepath.Join(dir, "bad"), "bad", "good", nil)
	if c := b.reload("bad"); c.Outcome != Reloaded || c.After.State != Running {
		t.Errorf("mended: %+v", c)
	}
	if _, err := b.check("bad", "", patience); err != nil {
		t.Error(err)
	}
}

func TestPluginsComeAndGoWhileHostRuns(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "a", "good", nil)
	install(t, dir, "b", "good", nil)
	install(t, dir, "needed", "good", nil)
	b := run(t, dir, func(o *Options) { o.Settings = map[string]Settings{"needed": {Required: true}} })
	leaving, staying := b.is("a", Running).PID, b.is("b", Running).PID
	needed := b.is("needed", Running).PID
	if got := b.rescan(); got["a"].Outcome != Unchanged || got["b"].Outcome != Unchanged || len(got) != 3 {
		t.Errorf("nothing has changed: %+v", got)
	}
	install(t, dir, "strategy", "strategy", nil)
	install(t, dir, "broken", "wrong-name", nil)
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "needed"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	describe(t, filepath.Join(dir, "b"), "b", "v2", nil)
	got := b.rescan()
	for name, want := range map[string]Outcome{"a": Removed, "b": Reloaded, "broken": Installed, "needed": Kept, "strategy": Installed} {
		if got[name].Outcome != want {
			t.Errorf("%s is %q (%v), want %q", name, got[name].Outcome, got[name].Err, want)
		}
	}
	if alive(leaving) || b.instance("b").Snapshot().PID == staying || !alive(needed) {
		t.Error("a process is not what the answer says")
	}
	if _, err := b.host.Instance("a"); !errors.Is(err, ErrUnknownPlugin) {
		t.Errorf("the removed plugin: %v", err)
	}
	if err := got["broken"].Err; err == nil || !strings.Contains(err.Error(), "calls itself") {
		t.Errorf("the broken one: %v", err)
	}
	if err := got["needed"].Err; err == nil || !strings.Contains(err.Error(), "requires it") {
		t.Errorf("the required one: %v", err)
	}
	var names []string
	for _, s := range b.host.Plugins() {
		names = append(names, s.Name)
	}
	if want := []string{"b", "broken", "needed", "strategy"}; !slices.Equal(names, want) {
		t.Errorf("plugins: %v, want %v", names, want)
	}
	if s, err := b.host.Strategy("strategy"); err != nil || !s.Snapshot().Info.Is(Recovery) {
		t.Errorf("the strategy that came: %v", err)
	}
	if skipped := b.host.Skipped(); len(skipped) != 1 || skipped[0].Name != "empty" {
		t.Errorf("skipped: %+v", skipped)
	}
	install(t, dir, "c", "good", nil)
	if c := b.reload("c"); c.Outcome != Installed || c.After.State != Running {
		t.Errorf("a new one by name: %+v", c)
	}
	if err := os.RemoveAll(filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	if c := b.reload("c"); c.Outcome != Removed {
		t.Errorf("gone by name: %+v", c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := b.host.Reload(ctx, "c"); !errors.Is(err, ErrUnknownPlugin) {
		t.Errorf("gone twice: %v, want ErrUnknownPlugin", err)
	}
	if _, err := b.host.Reload(ctx, "empty"); !errors.Is(err, ErrUnknownPlugin) || !strings.Contains(err.Error(), "not built") {
		t.Errorf("what may not run: %v, want the reason", err)
	}
	b.stop()
	if _, err := b.host.Rescan(ctx); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: %v, want ErrStopped", err)
	}
}

func TestCheckOfARemovedPluginCanBeMadeByAnother(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "a", "same-check", nil)
	b := run(t, dir, nil)
	b.is("a", Running)
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	b.rescan()
	install(t, dir, "b", "same-check", nil)
	if c := b.rescan()["b"]; c.Outcome != Installed || c.Err != nil {
		t.Errorf("%+v", c)
	}
}

func TestFollowedDirectoryNeedsNoCommand(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "a", "good", nil)
	b := run(t, dir, func(o *Options) { o.Follow, o.LookInterval = true, 10*time.Millisecond })
	first := b.is("a", Running).PID
	there := func(name string) bool { _, err := b.host.Instance(name); return err == nil }
	install(t, dir, "b", "good", nil)
	eventually(t, "the installation", func() bool { return there("b") })
	b.is("b", Running)
	describe(t, filepath.Join(dir, "a"), "a", "exits", nil)
	var kept Snapshot
	eventually(t, "the refusal", func() bool { kept = b.instance("a").Snapshot(); return kept.ReloadError != "" })
	if kept.PID != first {
		t.Error("a worse file took over")
	}
	tried := kept.LastReload
	describe(t, filepath.Join(dir, "a"), "a", "v2", nil)
	s := b.until("a", "reloaded", func(s Snapshot) bool { return s.Reloads == 1 })
	if s.Info.Version != "2.0.0" || s.PID == first || s.ReloadError != "" || !s.LastReload.After(tried) && !s.LastReload.Equal(tried) {
		t.Errorf("after the change: %+v", s)
	}
	if err := os.RemoveAll(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removal", func() bool { return !there("b") })
	if s := b.instance("a").Snapshot(); s.Restarts != 0 {
		t.Errorf("a was restarted %d times", s.Restarts)
	}
}

func TestStopAmidAReloadLeavesNoProcess(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	pid := b.is("good", Running).PID
	describe(t, filepath.Join(dir, "good"), "good", "hangs-in-describe", nil)
	impatient, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := b.host.Reload(impatient, "good")
		ended <- err
	}()
	eventually(t, "the new process", func() bool { list, _ := os.ReadDir(b.runtime); return len(list) == 2 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that lost patience: %v", err)
	}
	if took := b.stop(); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if left, _ := os.ReadDir(b.runtime); len(left) != 0 || alive(pid) {
		t.Errorf("left behind: %v", left)
	}
}
