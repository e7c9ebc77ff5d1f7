//go:build linux

package pluginhost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/core/recovery"
)

func TestSecondCheckerOfOneNameIsRefusedInWhateverOrderTheyStart(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "a", "slow-start", nil) // claims "shared" last
	install(t, dir, "b", "same-check", nil)
	b := run(t, dir, nil)
	b.is("a", Running)
	s := b.is("b", Refused)
	if !strings.Contains(s.LastError, `"shared"`) || !strings.Contains(s.LastError, `"a"`) || s.LastHint == "" {
		t.Errorf("refused because of %q", s.LastError)
	}
	out, err := b.check("a", "", patience)
	if err != nil || out.Result.Check != "shared" {
		t.Errorf("the first one: %+v, %v", out, err)
	}
	b.instance("b").Release()
	b.until("b", "refused again", func(s Snapshot) bool { return s.State == Refused && s.Restarts == 1 })
	if names := b.host.OfKind(Checker); len(names) != 2 || names[0].Name() != "a" {
		t.Errorf("checkers: %v", names)
	}
}

func TestStrategyIsFoundByNameAndAsked(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "recovery-graded", "strategy", nil)
	install(t, dir, "other", "strategy", nil)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, func(o *Options) { o.Statistics = func() *Statistics { return &Statistics{ConnectedClients: 12} } })
	b.is("recovery-graded", Running)
	strategy, err := b.host.Strategy("graded")
	if err != nil || strategy.Name() != "recovery-graded" {
		t.Fatalf("graded is %v, %v", strategy, err)
	}
	if other, err := b.host.Strategy("other"); err != nil || other.Name() != "other" {
		t.Errorf("other is %v, %v", other, err)
	}
	if _, err := b.host.Strategy("none"); !errors.Is(err, ErrUnknownPlugin) || !strings.Contains(err.Error(), "recovery-graded") {
		t.Errorf("an unknown strategy: %v, want ErrUnknownPlugin and those there are", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := strategy.Decide(ctx, recovery.Request{History: []health.Report{{}, {}}})
	if want := (recovery.Proposal{Action: recovery.RestartService, Rule: "ladder", Reason: "2 reports, 12 clients", Plugin: "recovery-graded"}); err != nil || p != want {
		t.Errorf("%+v, %v; want %+v", p, err, want)
	}
	if p, err := strategy.Decide(ctx, recovery.Request{Incident: recovery.Incident{ID: "inc-empty"}}); err != nil || p.Action != recovery.None {
		t.Errorf("%+v, %v; want none", p, err)
	}
	if _, err := strategy.Decide(ctx, recovery.Request{Incident: recovery.Incident{ID: "inc-nonsense"}}); err == nil || !strings.Contains(err.Error(), "rm -rf") {
		t.Errorf("%v, want an error that quotes the nonsense", err)
	}
	if m, err := strategy.Execute(ctx, Execution{Action: "flush_cache", Key: "k1"}); err != nil || m != "did flush_cache for k1" {
		t.Errorf("%q, %v", m, err)
	}
	if _, err := strategy.Execute(ctx, Execution{Action: "format_disk"}); !errors.Is(err, ErrNotOffered) {
		t.Errorf("an action that was not declared: %v, want ErrNotOffered", err)
	}
	if _, err := strategy.Check(ctx, CheckInput{}); !errors.Is(err, ErrNotOffered) {
		t.Errorf("a check by a strategy: %v, want ErrNotOffered", err)
	}
	if _, err := b.instance("good").Decide(ctx, recovery.Request{}); !errors.Is(err, ErrNotOffered) {
		t.Errorf("a decision by a checker: %v, want ErrNotOffered", err)
	}
	if of := b.host.OfKind(Recovery); len(of) != 2 {
		t.Errorf("%d strategies, want 2", len(of))
	}
}

func TestWatchDeliversAndIsOpenedAgain(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "watcher", "watch", nil)
	results := make(chan CheckOutput, 10)
	b := run(t, dir, func(o *Options) {
		o.WatchPause = 10 * time.Millisecond
		o.WatchInput = func(check string) CheckInput {
			if check != "watcher_check" {
				t.Errorf("asked for the input of %q", check)
			}
			return CheckInput{Target: Target{Port: 8765}}
		}
		o.OnWatch = func(check string, out CheckOutput) {
			select {
			case results <- out:
			default:
			}
		}
	})
	for range 3 { // the plugin ends its stream after one
		select {
		case out := <-results:
			if r := out.Result; r.Check != "watcher_check" || r.Status != health.Warning || r.Message != "seen on port 8765" {
				t.Errorf("%+v", r)
			}
		case <-time.After(patience):
			t.Fatal("no result came")
		}
	}
	if s := b.instance("watcher").Snapshot(); s.Restarts != 0 || !s.Info.Can("watch") {
		t.Errorf("%+v", s)
	}
}
