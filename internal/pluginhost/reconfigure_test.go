//go:build linux

package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// configOf asks a plugin what it is configured with.
func (b *bench) configOf(name string) string {
	b.t.Helper()
	out, err := b.check(name, "config", patience)
	if err != nil {
		b.t.Fatal(err)
	}
	return out.Result.Message
}

func words(t *testing.T, pairs ...string) Configuration {
	t.Helper()
	c := Configuration{Settings: map[string]Settings{}}
	for n := 0; n < len(pairs); n += 2 {
		c.Settings[pairs[n]] = Settings{Config: map[string]any{"word": pairs[n+1]}}
	}
	return c
}

func three(t *testing.T, word string) *bench {
	t.Helper()
	dir := pluginDir(t)
	for _, name := range []string{"a", "b", "c"} {
		install(t, dir, name, "good", nil)
	}
	b := run(t, dir, func(o *Options) { o.Settings = words(t, "a", word, "b", word, "c", word).Settings })
	for _, name := range []string{"a", "b", "c"} {
		b.is(name, Running)
	}
	return b
}

func TestRunningPluginsTakeAnotherConfigurationWithoutARestart(t *testing.T) {
	b := three(t, "old")
	before := map[string]int{}
	for _, s := range b.host.Plugins() {
		before[s.Name] = s.PID
	}
	c := words(t, "a", "new", "b", "old", "c", "new")
	c.Thresholds = map[string]float64{"cpu_percent": 70, "unknown": 1}
	if err := b.host.Reconfigure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "new", "b": "old", "c": "new"} {
		if got := b.configOf(name); got != `{"thresholds":{"cpu_percent":70},"word":"`+want+`"}` {
			t.Errorf("%s has %s", name, got)
		}
		if pid := b.instance(name).Snapshot().PID; pid != before[name] {
			t.Errorf("%s runs as %d, and as %d before: it was started anew", name, pid, before[name])
		}
	}
	// And after a crash it is started with what is in force.
	if _, err := b.check("a", "exit", patience); !errors.Is(err, ErrExited) {
		t.Fatal(err)
	}
	b.until("a", "running again", func(s Snapshot) bool { return s.State == Running && s.Restarts == 1 })
	if got := b.configOf("a"); !strings.Contains(got, `"new"`) {
		t.Errorf("after its restart it has %s", got)
	}
}

func TestOnePluginThatRefusesLeavesTheOldConfigurationEverywhere(t *testing.T) {
	for _, c := range []struct{ b, want, why string }{
		{"bad", `plugin "b": it refuses its configuration: word: the word is bad`, "refused when it is judged"},
		{"late", `plugin "b": it refuses its configuration: word: on second thoughts`, "refused when it is applied"},
		{"silent", `plugin "b": it did not take its configuration: no answer before the deadline`, "judging it hangs"},
		{"stuck", `plugin "b": it did not take its configuration: no answer before the deadline`, "applying it hangs"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			b := three(t, "old")
			err := b.host.Reconfigure(t.Context(), words(t, "a", "new", "b", c.b, "c", "new"))
			wrong, ok := errors.AsType[*ConfigError](err)
			if !ok || wrong.Plugin != "b" || !strings.Contains(err.Error(), c.want) || wrong.Hint() == "" {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			for _, name := range []string{"a", "b", "c"} {
				if c.b == "stuck" && name == "b" { // what it has now nobody knows, so it begins anew
					b.until(name, "running again", func(s Snapshot) bool { return s.State == Running && s.Restarts == 1 })
				}
				if got := b.configOf(name); got != `{"word":"old"}` {
					t.Errorf("%s has %s", name, got)
				}
			}
		})
	}
}

func TestEveryPluginThatRefusesIsNamed(t *testing.T) {
	b := three(t, "old")
	err := b.host.Reconfigure(t.Context(), words(t, "a", "bad", "b", "good", "c", "bad"))
	if err == nil || !strings.Contains(err.Error(), `plugin "a"`) || !strings.Contains(err.Error(), `plugin "c"`) || strings.Contains(err.Error(), `plugin "b"`) {
		t.Errorf("got %v, want a and c", err)
	}
}

func TestAPluginThatCannotGoBackIsStartedAnewWithTheOldConfiguration(t *testing.T) {
	b := three(t, "first")
	err := b.host.Reconfigure(t.Context(), words(t, "a", "new", "b", "late", "c", "new"))
	if err == nil {
		t.Fatal("a plugin refused, and nobody says so")
	}
	for _, name := range []string{"a", "c"} {
		b.until(name, "running again", func(s Snapshot) bool { return s.State == Running && s.Restarts == 1 })
		if got := b.configOf(name); got != `{"word":"first"}` {
			t.Errorf("%s has %s", name, got)
		}
	}
	if s := b.instance("b").Snapshot(); s.Restarts != 0 {
		t.Errorf("the one that refused was restarted: %+v", s)
	}
}

func TestAPluginThatDiesWhileItIsAskedDoesNotHoldUpTheOthers(t *testing.T) {
	b := three(t, "old")
	if err := b.host.Reconfigure(t.Context(), words(t, "a", "new", "b", "fatal", "c", "new")); err != nil {
		t.Fatal(err)
	}
	if got := b.configOf("a"); got != `{"word":"new"}` {
		t.Errorf("a has %s", got)
	}
	b.line("plugin failed", `"plugin":"b"`, "that word kills me")
}

func TestAPluginThatWasRefusedForItsConfigurationStartsWithABetterOne(t *testing.T) {
	dir := pluginDir(t)
	exe := install(t, dir, "a", "good", nil)
	b := run(t, dir, func(o *Options) { o.Settings = words(t, "a", "bad").Settings })
	b.is("a", Refused)
	if err := b.host.Reconfigure(t.Context(), words(t, "a", "good")); err != nil {
		t.Fatal(err)
	}
	b.is("a", Running)
	if got := b.configOf("a"); got != `{"word":"good"}` {
		t.Errorf("it has %s", got)
	}

	// But that is no way to have an exchanged file started.
	if err := os.Remove(exe); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := b.check("a", "exit", patience); !errors.Is(err, ErrExited) {
		t.Fatal(err)
	}
	first := b.is("a", Refused)
	if err := b.host.Reconfigure(t.Context(), words(t, "a", "better")); err != nil {
		t.Fatal(err)
	}
	i := b.instance("a")
	if again := i.Snapshot(); again.State != Refused || again.Restarts != first.Restarts || len(i.renewed) != 0 {
		t.Errorf("an exchanged file is started: %+v", again)
	}
}

// A start that is under way when the configuration changes ends with the new one.
func TestAConfigurationThatChangesDuringAStartIsTheOneThatThePluginGets(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "a", "slow-start", nil)
	starting := make(chan struct{}, 8)
	b := &bench{t: t, log: &logBuffer{}, runtime: shortDir(t), changed: make(chan struct{})}
	o := withLog(quick(dir, b.runtime))
	o.Settings = words(t, "a", "old").Settings
	o.Events = func(e Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		close(b.changed)
		b.changed = make(chan struct{})
		if e.State == Starting {
			starting <- struct{}{}
		}
	}
	host, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.host = host
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- host.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-starting
	if err := host.Reconfigure(t.Context(), words(t, "a", "new")); err != nil {
		t.Fatal(err)
	}
	timeout := time.After(patience)
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if s := b.instance("a").Snapshot(); s.State == Running {
			if out, err := b.check("a", "config", patience); err == nil && out.Result.Message == `{"word":"new"}` {
				return
			}
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("it never got the new one: %+v", b.instance("a").Snapshot())
		}
	}
}

func TestWhatAPluginGetsIsWhatConfigurationSays(t *testing.T) {
	for _, c := range []struct {
		schema string
		layers configLayers
		want   string
		wrong  string
		why    string
	}{
		{fakeSchema, configLayers{settings: map[string]any{"word": "x"}}, `{"word":"x"}`, "", "its settings"},
		{"", configLayers{thresholds: map[string]float64{"cpu_percent": 1}}, `{}`, "", "thresholds are for those who name them"},
		{"", configLayers{settings: map[string]any{"word": "x"}}, "", "takes no configuration, but has word", "settings for a plugin that takes none"},
		{`{"type": 12}`, configLayers{}, "", "no valid JSON Schema", "a schema that is none"},
		{fakeSchema, configLayers{settings: map[string]any{"word": make(chan int)}}, "", "cannot be written", "what JSON cannot carry"},
	} {
		got, err := configFor("p", Description{Schema: c.schema}, nil, &c.layers)
		if c.wrong != "" {
			if wrong, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(err.Error(), c.wrong) || wrong.Remedy == "" {
				t.Errorf("%s: %v, want %s", c.why, err, c.wrong)
			}
			continue
		}
		text, jsonErr := json.Marshal(got.AsMap())
		if err != nil || jsonErr != nil || string(text) != c.want {
			t.Errorf("%s: %s, %v %v, want %s", c.why, text, err, jsonErr, c.want)
		}
	}
}
