// Command bench measures the figures that Upkeep is judged by, on the built
// host with its real plugins, and prints each beside its target.
//
//	go run ./test/bench                          everything, about 35 minutes
//	go run ./test/bench -short                   everything, shortened, about 5 minutes
//	go run ./test/bench -figure start,hub_kill   only these
//	go run ./test/bench -figure compare          only what compares servers
//
// A comparison gives the same load to Upkeep as it is shipped, to the plain
// library that it is built on, to the official server on Node.js and, where it is
// installed, to python-socketio, in turns, and looks at the ratios of the medians.
// With -short it checks that everything arrives, and judges no speed.
//
// It owns the figures, their targets and how they are shown; how a host is run
// and looked at is test/rig's, and what clients do and see is fleet's. `make bench`
// calls it after `make build`. Its goroutines are those of rig and of fleet, and
// one for each peer that it starts, which ends with it. It exits with 1 when a
// target is missed, and when anything was lost, doubled, out of order or recovered.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

func main() { os.Exit(run(os.Args[1:])) }

// settings are what the flags say.
type settings struct {
	kills       int           // of the hub, and freezes
	gap         time.Duration // between two of them
	starts      int
	pluginRuns  int // starts of host in which each plugin is killed once
	returns     int // times that 100 clients are sent away
	falseAlarms time.Duration
	idle        time.Duration
	checkRounds time.Duration // how long rounds of checks are measured
	builds      bool
}

var whole = settings{kills: 20, gap: 12 * time.Second, starts: 20, pluginRuns: 5, returns: 3, falseAlarms: 10 * time.Minute, idle: time.Minute, checkRounds: time.Minute, builds: true}

// shortened keeps the gap between kills: a hub that dies sooner is held back.
var shortened = settings{kills: 2, gap: 12 * time.Second, starts: 5, pluginRuns: 1, returns: 1, falseAlarms: time.Minute, idle: 10 * time.Second, checkRounds: 15 * time.Second}

// figure is one measured number beside its target.
type figure struct {
	Name   string  `json:"name"`
	What   string  `json:"what"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target string  `json:"target"` // for people; empty: only told
	Met    bool    `json:"met"`
	Note   string  `json:"note,omitempty"`
}

// atMost makes a figure that must not be above its target.
func atMost(name, what string, value, target float64, unit string) figure {
	f := figure{Name: name, What: what, Value: value, Unit: unit, Target: strings.TrimSpace(fmt.Sprintf("≤ %g %s", target, unit)), Met: value <= target}
	if target == 0 {
		f.Target = "0"
	}
	return f
}

// told makes a figure without a target.
func told(name, what string, value float64, unit string) figure {
	return figure{Name: name, What: what, Value: value, Unit: unit, Met: true}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()/100) / 10 }

// bench is one run.
type bench struct {
	settings
	root string
	tmp  string // of this run

	effort      effort
	servers     []contender // nil until a comparison needs them
	only        []string    // the servers that are compared; none: all
	comparisons []*comparison
}

// scenarios in the order in which they run: those that say most come first.
var scenarios = []struct {
	name string
	run  func(*bench, context.Context) ([]figure, error)
}{
	{"start", (*bench).start},
	{"hub_kill", (*bench).hubKill},
	{"hub_freeze", (*bench).hubFreeze},
	{"plugin_kill", (*bench).pluginKill},
	{"plugins_100", (*bench).hundred},
	{"handover", (*bench).handover},
	{"clients_back", (*bench).clientsBack},
	{"cost", (*bench).cost},
	{"false_alarms", (*bench).falseAlarm},
	{"builds", (*bench).sameBytes},
	{saturated.Name, compare(saturated)},
	{steady.Name, compare(steady)},
	{heavy.Name, compare(heavy)},
	{acks.Name, compare(acks)},
	{connecting.Name, compare(connecting)},
	{storm.Name, compare(storm)},
}

func run(args []string) int {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	short := flags.Bool("short", false, "shorten everything; the two builds are left out")
	only := flags.String("figure", strings.Join(names, ","), "measure only these")
	duration := flags.Duration("duration", 0, "how long false alarms are waited for (default 10m, 1m with -short)")
	out := flags.String("json", "", "write the figures to this file (default upkeep-bench.json in the temporary folder)")
	servers := flags.String("server", "", "compare only these: upkeep,stock,node,python")
	docs := flags.Bool("docs", false, "measure nothing: write the table of docs/figures.md from "+comparisonJSON)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *docs {
		return writeDocs()
	}
	b := &bench{settings: whole, effort: wholeEffort, only: split(*servers)}
	if *short {
		b.settings, b.effort = shortened, smokeEffort
	}
	if *duration > 0 {
		b.falseAlarms = *duration
	}
	for _, name := range b.only {
		if !slices.Contains(serverNames, name) {
			fmt.Fprintf(os.Stderr, "bench: there is no server %q; there are: %s\n", name, strings.Join(serverNames, ", "))
			return 2
		}
	}
	wanted := split(strings.ReplaceAll(*only, allComparisons, strings.Join(comparisonNames(), ",")))
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			fmt.Fprintf(os.Stderr, "bench: there is no figure %q; there are: %s, and %s for those that compare servers\n", w, strings.Join(names, ", "), allComparisons)
			return 2
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.prepare(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	defer os.RemoveAll(b.tmp)

	code := 0
	result := newResult(b, *short)
	for _, s := range scenarios {
		if !slices.Contains(wanted, s.name) || (s.name == "builds" && !b.builds && *only == strings.Join(names, ",")) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s …\n", s.name)
		began := time.Now()
		measured, err := s.run(b, ctx)
		fmt.Fprintf(os.Stderr, "bench: %s took %s\n", s.name, time.Since(began).Round(time.Second))
		result.Figures = append(result.Figures, measured...)
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s could not be measured: %v\n", s.name, err)
			code = 1
		}
		if ctx.Err() != nil {
			break
		}
	}
	for _, f := range result.Figures {
		if !f.Met {
			code = 1
		}
	}
	table(result.Figures)
	if err := result.write(b, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return code
}

// split cuts a list at its commas; the empty text is an empty list.
func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func (b *bench) prepare(ctx context.Context) error {
	var err error
	if b.root, err = rig.Root(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(b.root, "bin", "host")); err != nil {
		if err := rig.Build(ctx, b.root); err != nil {
			return err
		}
	}
	b.tmp, err = os.MkdirTemp("", "upkeep-bench-")
	return err
}
