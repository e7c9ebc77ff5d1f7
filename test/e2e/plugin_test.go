package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// bystanders are clients over each transport, and one whose event round trips
// are timed without a pause.
type bystanders struct {
	h    *rig.Host
	d    *rig.Driver
	mark int
	done chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	slowest time.Duration
	rounds  int
	failed  error
}

func standBy(t testing.TB, h *rig.Host) *bystanders {
	t.Helper()
	b := &bystanders{h: h, d: node(t), done: make(chan struct{})}
	for _, transport := range []string{"websocket", "polling", "upgrade"} {
		open(t, b.d, rig.Open{Client: transport, URL: h.Base(), Transport: transport})
	}
	b.mark = b.d.Mark()
	r := dialRaw(t, h)
	ctx := within(t, 5*time.Minute)
	b.wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			took, err := r.Ping(ctx)
			b.mu.Lock()
			b.slowest = max(b.slowest, took)
			b.rounds++
			b.failed = err
			b.mu.Unlock()
			if err != nil {
				return
			}
			select {
			case <-b.done:
				return
			case <-tick.C:
			}
		}
	})
	return b
}

// unaffected ends the watch and checks that nobody noticed anything.
func (b *bystanders) unaffected(t testing.TB, name string, limit time.Duration) {
	t.Helper()
	close(b.done)
	b.wg.Wait()
	measured(t, name+"_bystander_slowest", b.slowest)
	if b.failed != nil {
		t.Errorf("a bystander's connection broke after %d round trips: %v", b.rounds, b.failed)
	}
	if b.slowest > limit {
		t.Errorf("a bystander waited %s for an answer, want at most %s", b.slowest, limit)
	}
	undisturbed(t, b.d, b.mark)
	kind := name + " is over"
	mark := b.d.Mark()
	if _, err := b.d.Ack(within(t, 5*time.Second), "websocket", "claude_event", map[string]any{"type": kind}); err != nil {
		t.Error(err)
	}
	awaitEventOf(t, b.d, mark, "polling", kind)
	awaitEventOf(t, b.d, mark, "upgrade", kind)
}

// diagnostics of host, from the admin port.
func diagnostics(t testing.TB, h *rig.Host) rig.Diagnostics {
	t.Helper()
	d, err := h.Diagnostics(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func pluginState(t testing.TB, h *rig.Host, name string) rig.PluginState {
	t.Helper()
	s, ok := diagnostics(t, h).Plugin(name)
	if !ok {
		t.Fatalf("/diagnostics does not know the plugin %s", name)
	}
	return s
}

// awaitNewPlugin waits until another process serves as the plugin.
func awaitNewPlugin(t testing.TB, h *rig.Host, name string, old rig.Stat, since time.Time, limit time.Duration) (noticed, replaced time.Duration) {
	t.Helper()
	noticed, replaced, err := h.WaitPluginReplaced(within(t, limit), name, old, since)
	if err != nil {
		t.Fatalf("plugin %s (pid %d) was not replaced within %s: %v", name, old.PID, limit, err)
	}
	return noticed, replaced
}

func TestKilledPluginIsReplacedAndClientsNoticeNothing(t *testing.T) {
	h := serve(t, rig.Options{})
	b := standBy(t, h)
	hub := hubOf(t, h)
	for _, name := range rig.BundledPlugins {
		old := pluginOf(t, h, name)
		killed := signal(t, old, syscall.SIGKILL)
		noticed, replaced := awaitNewPlugin(t, h, name, old, killed, 10*time.Second)
		measured(t, "killed_"+name+"_noticed", noticed)
		measured(t, "killed_"+name+"_replaced", replaced)
		if noticed > time.Second || replaced > 5*time.Second {
			t.Errorf("killed plugin %s: noticed after %s, replaced after %s; want 1 s and 5 s", name, noticed, replaced)
		}
		if s := pluginState(t, h, name); s.Restarts != 1 {
			t.Errorf("plugin %s was restarted %d times, want once", name, s.Restarts)
		}
	}
	if r := object(t, h, "/health"); r["recovery"] != "available" {
		t.Errorf("after the strategy was replaced recovery is %v", r["recovery"])
	}
	b.unaffected(t, "killed_plugins", time.Second)
	if !hub.Alive() {
		t.Error("the hub was replaced although only plugins died")
	}
	noRecovery(t, h)
}

func TestFrozenPluginIsReplacedAndClientsNoticeNothing(t *testing.T) {
	h := serve(t, rig.Options{})
	b := standBy(t, h)
	hub := hubOf(t, h)
	frozen := map[string]rig.Stat{}
	stopped := time.Now()
	for _, name := range rig.BundledPlugins {
		frozen[name] = pluginOf(t, h, name)
		signal(t, frozen[name], syscall.SIGSTOP)
	}
	for _, name := range rig.BundledPlugins {
		_, replaced := awaitNewPlugin(t, h, name, frozen[name], stopped, 20*time.Second)
		measured(t, "frozen_"+name+"_replaced", replaced)
		if replaced > 15*time.Second { // two misses: 5 s apart, 2 s each
			t.Errorf("frozen plugin %s was replaced after %s, want 15 s", name, replaced)
		}
		if frozen[name].Alive() {
			t.Errorf("the frozen process %d of %s was left behind", frozen[name].PID, name)
		}
	}
	b.unaffected(t, "frozen_plugins", time.Second)
	if !hub.Alive() {
		t.Error("the hub was replaced although only plugins were frozen")
	}
	noRecovery(t, h)
}

// A plugin whose every start ends in a crash is left alone after a while, and
// what it said last can be read.
func TestPluginThatCrashesAgainAndAgainIsQuarantined(t *testing.T) {
	t.Parallel()
	dir := pluginsDir(t, rig.BundledPlugins...)
	buildPlugin(t, dir, "crashing")
	h := serve(t, rig.Options{Plugins: dir})
	eventually(t, 60*time.Second, "the plugin is quarantined", func() error {
		if s := pluginState(t, h, "crashing"); s.State != "quarantined" {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
	contains(t, string(get(t, h, "/diagnostics").Body), "I cannot go on")
	eventually(t, 10*time.Second, "the check is unknown, and says why", func() error {
		o := object(t, h, "/health")
		word, why := at(o, "checks", "crashing"), fmt.Sprint(at(o, "check_details", "crashing", "message"))
		if word != "unknown" || !strings.Contains(why, "quarantined") || !strings.Contains(why, "I cannot go on") {
			return fmt.Errorf("it is %v: %s", word, why)
		}
		return nil
	})
	for _, check := range bundledChecks {
		if word := at(object(t, h, "/health"), "checks", check); word != "healthy" {
			t.Errorf("%s is %v: a crashing plugin disturbs nobody", check, word)
		}
	}
	noRecovery(t, h)
}

// Plugins that are no plugins are named with the reason and a next step, and
// the good ones do their work.
func TestBadPluginsAreNamedAndTheGoodOnesWork(t *testing.T) {
	t.Parallel()
	dir := pluginsDir(t, rig.BundledPlugins...)
	script := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	script("textfile", "This is a text and no program.\n", 0o755)
	script("notexecutable", "#!/bin/sh\n", 0o644)
	script("garbage", "#!/bin/sh\necho Hello, I am no plugin\nsleep 60\n", 0o755)
	script("silent", "#!/bin/sh\nsleep 60\n", 0o755)
	script("quitter", "#!/bin/sh\necho out of luck >&2\nexit 7\n", 0o755)
	script("writable", "#!/bin/sh\nexit 0\n", 0o755)
	if err := os.Chmod(filepath.Join(dir, "writable", "writable"), 0o777); err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(root, "plugins", "process", "process"))
	if err != nil {
		t.Fatal(err)
	}
	foreign[18], foreign[19] = 0xb7, 0 // e_machine: an ELF file for another processor
	if machine := foreign[18]; foreign[0] != 0x7f || machine != 0xb7 {
		t.Fatal("the plugin is no ELF file")
	}
	script("foreign", string(foreign), 0o755)
	if err := os.Mkdir(filepath.Join(dir, "notbuilt"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notbuilt", "main.go"), []byte("package main\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	h := serve(t, rig.Options{Plugins: dir})
	for name, says := range map[string][]string{
		"textfile":      {"textfile"},
		"notexecutable": {"executable", "chmod"},
		"garbage":       {"handshake"},
		"silent":        {"handshake"},
		"quitter":       {"out of luck", "7"},
		"writable":      {"writ"},
		"foreign":       {"foreign"},
		"notbuilt":      {"not built", "make"},
	} {
		eventually(t, 30*time.Second, "host tells what is wrong with "+name, func() error {
			entry := pluginText(t, h, name)
			for _, w := range says {
				if !strings.Contains(strings.ToLower(entry), w) {
					return fmt.Errorf("%q does not say %q", entry, w)
				}
			}
			return nil
		})
		t.Logf("%s: %s", name, pluginText(t, h, name))
	}
	b := standBy(t, h)
	for _, check := range bundledChecks {
		if word := at(object(t, h, "/health"), "checks", check); word != "healthy" {
			t.Errorf("%s is %v: bad plugins disturb nobody", check, word)
		}
	}
	b.unaffected(t, "bad_plugins", 2*time.Second)
	noRecovery(t, h)
}

// pluginText is everything that /diagnostics says of a plugin or of an entry
// of the plugin directory that was passed over.
func pluginText(t testing.TB, h *rig.Host, name string) string {
	t.Helper()
	d := diagnostics(t, h)
	var text strings.Builder
	for _, key := range []string{"plugins", "skipped_plugins"} {
		entries, _ := d[key].([]any)
		for _, e := range entries {
			if o, _ := e.(map[string]any); o["name"] == name {
				fmt.Fprintln(&text, o)
			}
		}
	}
	return text.String()
}
