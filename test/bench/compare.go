package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/test/bench/fleet"
)

// effort is how much a comparison does.
type effort struct {
	rounds        int
	subscribers   int
	warm, measure time.Duration
	idle          int // clients that are held without traffic
	settle        time.Duration
	connects      int           // for lost connects, of Upkeep alone
	patience      time.Duration // with a peer, until a client is lost
	judged        bool
}

var (
	wholeEffort = effort{rounds: 3, subscribers: 1000, warm: time.Second, measure: 5 * time.Second, idle: 5000, settle: 3 * time.Second, connects: 100_000, patience: 10 * time.Second, judged: true}
	// smokeEffort is for correctness: how fast anything is is not judged.
	smokeEffort = effort{rounds: 1, subscribers: 50, warm: 200 * time.Millisecond, measure: 500 * time.Millisecond, idle: 200, settle: 100 * time.Millisecond, connects: 1000, patience: 3 * time.Second}
)

// describe fills in how many clients there are.
func (e effort) describe(what string) string {
	return strings.NewReplacer("{subscribers}", fmt.Sprint(e.subscribers), "{idle}", fmt.Sprint(e.idle), "{connects}", fmt.Sprint(e.connects)).Replace(what)
}

// round is what one server did in one round of a comparison.
type round struct {
	Server string             `json:"server"`
	Round  int                `json:"round"`
	Values map[string]float64 `json:"values"`
	// Overload: the load was more than this server takes. What it then loses is
	// told, and not held against it.
	Overload bool     `json:"overload,omitempty"`
	Wrong    []string `json:"wrong,omitempty"`
	Retried  []string `json:"retried,omitempty"` // why rounds of a peer were done again
}

func (r *round) wrong(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}

// comparison is a load that several servers get in turn.
type comparison struct {
	Name   string  `json:"name"`
	What   string  `json:"what"`
	Rounds []round `json:"rounds"`
	// Medians over the rounds, of each value of each server.
	Medians map[string]map[string]float64 `json:"medians"`

	only    []string // servers; nil: all
	targets []target
	columns []column // of its table
	load    func(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error
}

// column of a comparison's table.
type column struct{ title, value string }

// allComparisons stands for the names of all of them.
const allComparisons = "compare"

// comparisons in the order in which they run.
var comparisons = []comparison{saturated, steady, heavy, acks, connecting, storm}

func comparisonNames() []string {
	var names []string
	for _, c := range comparisons {
		names = append(names, c.Name)
	}
	return names
}

// target is what Upkeep is judged by.
type target struct {
	name, what string
	value      string // its key in round.Values
	against    string // the server whose median it is divided by; empty: none
	limit      float64
	atLeast    bool // else at most
	unit       string
}

func (t target) figure(c *comparison) (figure, bool) {
	own, ok := c.Medians[upkeep][t.value]
	if !ok {
		return figure{}, false
	}
	f := figure{Name: t.name, What: t.what, Value: own, Unit: t.unit}
	if t.against != "" {
		other, ok := c.Medians[t.against][t.value]
		if !ok || other == 0 {
			return figure{}, false
		}
		f.Value, f.Unit = own/other, "×"
		f.Note = fmt.Sprintf("%g against %g", round3(own), round3(other))
	}
	sign := "≤"
	f.Met = f.Value <= t.limit
	if t.atLeast {
		sign, f.Met = "≥", f.Value >= t.limit
	}
	f.Target = strings.TrimSpace(fmt.Sprintf("%s %g %s", sign, t.limit, f.Unit))
	if t.limit == 0 && !t.atLeast {
		f.Target = "0"
	}
	f.Value = round3(f.Value)
	return f, true
}

// round3 keeps three significant digits, and all those of a whole number.
func round3(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	if math.Abs(v) >= 1000 {
		return math.Round(v)
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

var (
	saturated = comparison{
		Name: "saturated", What: "{subscribers} subscribers, at most 16 events outstanding",
		load: func(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error {
			return fanOut(ctx, e, s, f, r, fleet.Plan{Window: 16, Measure: min(e.measure, 3*time.Second)})
		},
		targets: []target{
			{"saturated_node", "deliveries/s, saturated, to Node.js", "deliveries_per_second", node, 5, true, ""},
			{"saturated_stock", "deliveries/s, saturated, to stock", "deliveries_per_second", stock, 12, true, ""},
			{"saturated_cpu_node", "CPU per delivery, saturated, to Node.js", "cpu_us_per_delivery", node, 0.2, false, ""},
		},
		columns: []column{{"deliveries/s", "deliveries_per_second"}, {"CPU µs/delivery", "cpu_us_per_delivery"}, {"of that the serving process", "serving_cpu_us_per_delivery"},
			{"server cores", "server_cores"}, {"generator cores", "generator_cores"}, {"RSS MB", "rss_mb"}},
	}
	fixedColumns = []column{{"on time %", "on_time_percent"}, {"CPU µs/delivery", "cpu_us_per_delivery"}, {"of that the serving process", "serving_cpu_us_per_delivery"},
		{"p50 ms", "p50_ms"}, {"p99 ms", "p99_ms"}, {"max ms", "max_ms"}, {"RSS MB", "rss_mb"}}
	steady = comparison{
		Name: "rate_20", What: "{subscribers} subscribers, 20 events/s",
		load: func(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error {
			return fanOut(ctx, e, s, f, r, fleet.Plan{Rate: 20, Measure: e.measure})
		},
		targets: []target{
			{"rate_20_cpu_node", "CPU per delivery at 20 events/s, to Node.js", "cpu_us_per_delivery", node, 0.65, false, ""},
			{"rate_20_p99_node", "p99 latency at 20 events/s, to Node.js", "p99_ms", node, 0.7, false, ""},
		},
		columns: fixedColumns,
	}
	// python-socketio takes a fifth of this load.
	heavy = comparison{
		Name: "rate_50", What: "{subscribers} subscribers, 50 events/s", only: []string{upkeep, stock, node},
		load: func(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error {
			return fanOut(ctx, e, s, f, r, fleet.Plan{Rate: 50, Measure: e.measure})
		},
		targets: []target{
			{"rate_50_on_time", "deliveries within 250 ms at 50 events/s", "on_time_percent", "", 99, true, "%"},
		},
		columns: fixedColumns,
	}
	acks = comparison{
		Name: "acks", What: "one publisher, one event in flight, no subscribers", load: acknowledge,
		targets: []target{
			{"acks_node", "acknowledgements/s, to Node.js", "acks_per_second", node, 0.6, true, ""},
		},
		columns: []column{{"acks/s", "acks_per_second"}, {"CPU µs/ack", "cpu_us_per_ack"}, {"p50 ms", "p50_ms"}, {"p99 ms", "p99_ms"}},
	}
	connecting = comparison{
		Name: "connects", What: "{idle} clients connect, 16 at a time, and stay", load: connectAndStay,
		targets: []target{
			{"connects_node", "new connections/s, to Node.js", "connects_per_second", node, 1.8, true, ""},
			{"idle_rss_stock", "resident memory per idle connection, to stock", "rss_kb_per_connection", stock, 0.85, false, ""},
			{"idle_rss_node", "resident memory per idle connection, to Node.js", "rss_kb_per_connection", node, 2, false, ""},
		},
		columns: []column{{"connects/s", "connects_per_second"}, {"CPU µs/connect", "cpu_us_per_connect"}, {"lost connects", "lost_connects"},
			{"RSS KB/connection", "rss_kb_per_connection"}, {"PSS KB/connection", "pss_kb_per_connection"}, {"RSS MB before", "base_rss_mb"}},
	}
	storm = comparison{
		Name: "storm", What: "{connects} clients connect, 16 at a time, and leave", only: []string{upkeep}, load: connectAndLeave,
		targets: []target{
			{"lost_connects", "clients that got no answer to their connect", "lost_connects", "", 0, false, ""},
		},
		columns: []column{{"connects", "connects"}, {"lost connects", "lost_connects"}, {"connects/s", "connects_per_second"}, {"slowest ms", "slowest_connect_ms"}},
	}
)

// compare makes a scenario of a comparison.
func compare(c comparison) func(*bench, context.Context) ([]figure, error) {
	return func(b *bench, ctx context.Context) ([]figure, error) { return b.measure(ctx, c) }
}

// measure runs a comparison: in each round every server once.
func (b *bench) measure(ctx context.Context, c comparison) ([]figure, error) {
	if b.servers == nil {
		var err error
		if b.servers, err = b.contenders(ctx); err != nil {
			return nil, err
		}
	}
	for n := range b.effort.rounds {
		for _, s := range b.servers {
			if len(c.only) > 0 && !slices.Contains(c.only, s.name) {
				continue
			}
			r, err := b.turn(ctx, c, s, n+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			c.Rounds = append(c.Rounds, r)
			fmt.Fprintf(os.Stderr, "bench:   %s\n", r)
		}
		if len(c.only) == 1 {
			break // nothing to take turns with
		}
	}
	c.What = b.effort.describe(c.What)
	c.Medians = medians(c.Rounds)
	b.comparisons = append(b.comparisons, &c)
	return c.figures(b.effort.judged), nil
}

// figures are the targets, and whether everything arrived.
func (c *comparison) figures(judged bool) []figure {
	var figures []figure
	if judged {
		for _, t := range c.targets {
			if f, ok := t.figure(c); ok {
				figures = append(figures, f)
			}
		}
	}
	var wrong []string
	for _, r := range c.Rounds {
		for _, w := range r.Wrong {
			if !r.Overload {
				wrong = append(wrong, fmt.Sprintf("%s, round %d: %s", r.Server, r.Round, w))
			}
		}
	}
	f := atMost(c.Name+"_wrong", c.What+": what was lost, doubled, out of order, cut off or recovered", float64(len(wrong)), 0, "")
	if len(wrong) > 0 {
		f.Note = wrong[0]
	}
	return append(figures, f)
}

// turn is one round of one server. A peer's round that cannot be measured, as
// when its publisher is thrown out, is done again, twice at most.
func (b *bench) turn(ctx context.Context, c comparison, s contender, n int) (round, error) {
	var retried []string
	for {
		r := round{Server: s.name, Round: n, Values: map[string]float64{}, Retried: retried}
		err := b.once(ctx, c, s, &r)
		if err == nil || s.name == upkeep || len(retried) == 2 || ctx.Err() != nil {
			return r, err
		}
		retried = append(retried, err.Error())
	}
}

func (b *bench) once(ctx context.Context, c comparison, contender contender, r *round) (err error) {
	limited, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	s, err := contender.start(limited)
	if err != nil {
		return err
	}
	defer s.stop()
	f, err := fleet.New(s.port)
	if err != nil {
		return err
	}
	defer f.Close()
	if contender.name != upkeep {
		f.Patience = b.effort.patience
	}
	err = c.load(limited, b.effort, s, f, r)
	ill := s.unwell(limited)
	if err != nil {
		return errors.Join(err, ill)
	}
	if ill != nil { // whatever was measured, it is worth nothing
		r.wrong("%v", ill)
	}
	return nil
}

func medians(rounds []round) map[string]map[string]float64 {
	all := map[string]map[string][]float64{}
	for _, r := range rounds {
		if all[r.Server] == nil {
			all[r.Server] = map[string][]float64{}
		}
		for k, v := range r.Values {
			all[r.Server][k] = append(all[r.Server][k], v)
		}
	}
	result := map[string]map[string]float64{}
	for server, values := range all {
		result[server] = map[string]float64{}
		for k, v := range values {
			result[server][k] = median(v)
		}
	}
	return result
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// String shows what matters most, for whoever watches.
func (r round) String() string {
	text := fmt.Sprintf("round %d %-7s", r.Round, r.Server)
	for _, k := range []string{"deliveries_per_second", "cpu_us_per_delivery", "p99_ms", "on_time_percent", "acks_per_second", "connects_per_second", "lost_connects", "rss_kb_per_connection", "server_cores", "generator_cores", othersCores} {
		if v, ok := r.Values[k]; ok {
			text += fmt.Sprintf("  %s=%g", k, round3(v))
		}
	}
	if r.Overload {
		text += "  overloaded"
	}
	for _, w := range r.Wrong {
		text += "  WRONG: " + w
	}
	return text
}
