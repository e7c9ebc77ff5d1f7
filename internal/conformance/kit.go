package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/internal/trial"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

const (
	// callTime is the deadline of a call that takes no time in a good plugin.
	callTime = 10 * time.Second
	// checkTime is host's deadline of a check whose plugin names none.
	checkTime = 2 * time.Second
	// slack is how much later than a deadline something may happen.
	slack = 2 * time.Second
	// ruleTime bounds one rule.
	ruleTime = 2 * time.Minute
)

// Options of a test. Spec is required.
type Options struct {
	// Spec is the plugin's command; Spec.Name is the name by which host knows it.
	Spec child.Spec
	// Config is given to the plugin before it is asked; nil: its defaults.
	Config map[string]any
	// Found is told each finding as it comes. Nil: nobody is.
	Found func(Finding)
}

// kit is one test.
type kit struct {
	Options
	target      *trial.Target
	description *pluginv1.DescribeResponse // nil before the rule "describe" succeeded
	blocked     string                     // why no further rule can be tried; empty: they can
	printed     []string                   // on standard output, after the handshake
}

// Test tries the plugin against every rule. It takes some ten seconds, and blocks
// until nothing of the plugin is left. When ctx ends, the rules that are left
// are skipped. The error says why nothing could be tried at all.
func Test(ctx context.Context, o Options) (Report, error) {
	target, err := trial.NewTarget()
	if err != nil {
		return Report{}, err
	}
	defer target.Close()
	k := &kit{Options: o, target: target}
	report := Report{SchemaVersion: 1, Plugin: o.Spec.Name, Kinds: []string{}, OK: true}
	for _, r := range rules {
		f := k.try(ctx, r)
		report.OK = report.OK && f.Outcome != Fail
		report.Findings = append(report.Findings, f)
		if k.Found != nil {
			k.Found(f)
		}
	}
	if d := k.description; d != nil {
		report.Plugin, report.Version = d.GetName(), d.GetVersion()
		for _, kind := range d.GetKinds() {
			report.Kinds = append(report.Kinds, strings.ToLower(strings.TrimPrefix(kind.String(), "KIND_")))
		}
	}
	return report, nil
}

// try tries one rule.
func (k *kit) try(ctx context.Context, r rule) Finding {
	f := Finding{Rule: r.name, Promise: r.promise, Outcome: Skip}
	switch why := k.unfit(r); {
	case ctx.Err() != nil:
		f.Found = "the test was given up"
		return f
	case why != "":
		f.Found = why
		return f
	}
	bounded, cancel := context.WithTimeout(ctx, ruleTime)
	defer cancel()
	began := time.Now()
	b := r.try(bounded, k)
	f.took(began)
	switch {
	case b == nil:
		f.Outcome = Pass
	case ctx.Err() != nil:
		f.Found = "the test was given up"
	default:
		f.Outcome, f.Found, f.Change = Fail, clean(b.found), b.change
		if k.blocked == "" {
			k.blocked = r.blocks
		}
	}
	return f
}

// unfit says why a rule is not tried; empty: it is.
func (k *kit) unfit(r rule) string {
	if r.name == ruleStdout && k.description != nil {
		return "" // it looks back, also on a plugin that is blocked
	}
	if k.blocked != "" {
		return k.blocked
	}
	switch r.of {
	case ofCheckers:
		if !k.is(pluginv1.Kind_KIND_CHECKER) {
			return "it is no checker"
		}
	case ofStrategies:
		if !k.is(pluginv1.Kind_KIND_RECOVERY) {
			return "it is no strategy"
		}
	case ofWatchers:
		if !k.is(pluginv1.Kind_KIND_CHECKER) || !slices.Contains(k.description.GetCapabilities(), "watch") {
			return `it has not the capability "watch"`
		}
	case ofUnix:
		return notHere
	}
	return ""
}

func (k *kit) is(kind pluginv1.Kind) bool { return slices.Contains(k.description.GetKinds(), kind) }

// start starts a process and configures it. Call the returned function when
// done with it; it does nothing without a process.
func (k *kit) start(ctx context.Context) (*trial.Process, func(), *breach) {
	p, end, b := k.open(ctx)
	if b != nil {
		return nil, end, b
	}
	if k.description != nil && k.description.GetConfigSchema() == "" && len(k.Config) == 0 {
		return p, end, nil // it need not even answer Configure
	}
	starting, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	found, err := p.Configure(starting, k.Config)
	if err != nil {
		return p, end, &breach{"it could not be configured: " + k.explain(p, err), "mend what the message names"}
	}
	if trial.Refused(found) {
		return p, end, &breach{"it refuses its configuration: " + diagnostics(found), "give it a good one: host plugins test PATH --config FILE"}
	}
	return p, end, nil
}

// open starts a process and connects.
func (k *kit) open(ctx context.Context) (*trial.Process, func(), *breach) {
	p, err := trial.Start(trial.Options{Spec: k.Spec})
	if err != nil {
		return nil, func() {}, &breach{err.Error(), "see that the file can be executed on this machine"}
	}
	end := func() {
		p.End()
		k.printed = append(k.printed, p.Printed()...)
	}
	starting, cancel := context.WithTimeout(ctx, trial.StartTime)
	defer cancel()
	if err := p.Open(starting); err != nil {
		return p, end, &breach{k.explain(p, err), "mend what its last words name"}
	}
	return p, end, nil
}

// explain prefers the end of a process to the error that followed from it.
func (k *kit) explain(p *trial.Process, err error) string {
	grace := time.NewTimer(100 * time.Millisecond)
	defer grace.Stop()
	select {
	case <-p.Done():
		return "its process ended: " + lastWords(p.Exit())
	case <-grace.C:
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if s, ok := status.FromError(err); ok {
		return fmt.Sprintf("%s (%s)", cmp.Or(s.Message(), "an error without a text"), s.Code())
	}
	return err.Error()
}

// lastWords is how a process ended, with the end of its standard error.
func lastWords(exit child.Exit) string {
	text := exit.String()
	for _, line := range exit.Tail { // a Go panic names itself above its stack
		if strings.HasPrefix(line, "panic: ") {
			return text + "; last words: " + line
		}
	}
	if len(exit.Tail) == 0 {
		return text + "; it wrote nothing to standard error"
	}
	return text + "; last words: " + exit.Tail[len(exit.Tail)-1]
}

// clean makes a text that may hold foreign words fit for a terminal.
func clean(text string) string {
	const most = 1000
	if len(text) > most {
		text = text[:most] + "…"
	}
	return child.Sanitise([]byte(strings.ReplaceAll(text, "\n", " ")))
}

// diagnostics in one line.
func diagnostics(found []*pluginv1.Diagnostic) string {
	if len(found) == 0 {
		return "no diagnostic"
	}
	words := make([]string, 0, len(found))
	for _, d := range found {
		words = append(words, fmt.Sprintf("%s: %s (%s)", cmp.Or(d.GetPath(), "-"), d.GetSummary(), d.GetDetail()))
	}
	return strings.Join(words, "; ")
}
