package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
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

const (
	// onTime is the latency up to which a delivery at a fixed rate is on time.
	onTime = 250 * time.Millisecond
	// parallel is how many clients connect at the same time.
	parallel = 16
	// sustained is the share of deliveries on time below which a server is
	// overloaded.
	sustained = 0.99
)

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
	load    func(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error
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
	f := figure{Name: t.name, What: t.what, Value: round3(own), Unit: t.unit}
	if t.against != "" {
		other, ok := c.Medians[t.against][t.value]
		if !ok || other == 0 {
			return figure{}, false
		}
		f.Value, f.Unit = round3(own/other), "×"
		f.Note = fmt.Sprintf("%g against %g", round3(own), round3(other))
	}
	sign := "≤"
	f.Met = f.Value <= t.limit
	if t.atLeast {
		sign, f.Met = "≥", f.Value >= t.limit
	}
	f.Target = fmt.Sprintf("%s %g %s", sign, t.limit, f.Unit)
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
		Name: "saturated", What: "1000 subscribers, at most 16 events outstanding",
		load: func(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error {
			return fanOut(ctx, e, s, f, r, fleet.Plan{Window: 16, Measure: min(e.measure, 3*time.Second)})
		},
		targets: []target{
			{"saturated_node", "deliveries/s, saturated, to Node.js", "deliveries_per_second", node, 5, true, ""},
			{"saturated_stock", "deliveries/s, saturated, to stock", "deliveries_per_second", stock, 12, true, ""},
			{"saturated_cpu_node", "CPU per delivery, saturated, to Node.js", "cpu_us_per_delivery", node, 0.2, false, ""},
		},
	}
	steady = comparison{
		Name: "rate_20", What: "1000 subscribers, 20 events/s",
		load: func(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error {
			return fanOut(ctx, e, s, f, r, fleet.Plan{Rate: 20, Measure: e.measure})
		},
		targets: []target{
			{"rate_20_cpu_node", "CPU per delivery at 20 events/s, to Node.js", "cpu_us_per_delivery", node, 0.65, false, ""},
			{"rate_20_p99_node", "p99 latency at 20 events/s, to Node.js", "p99_ms", node, 0.7, false, ""},
		},
	}
	heavy = comparison{
		Name: "rate_50", What: "1000 subscribers, 50 events/s",
		load: func(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error {
			return fanOut(ctx, e, s, f, r, fleet.Plan{Rate: 50, Measure: e.measure})
		},
		targets: []target{
			{"rate_50_on_time", "deliveries within 250 ms at 50 events/s", "on_time_percent", "", 99, true, "%"},
		},
	}
	acks = comparison{
		Name: "acks", What: "one publisher, one event in flight, no subscribers", load: acknowledge,
		targets: []target{
			{"acks_node", "acknowledgements/s, to Node.js", "acks_per_second", node, 0.6, true, ""},
		},
	}
	connecting = comparison{
		Name: "connects", What: "5000 clients connect, 16 at a time, and stay", load: connectAndStay,
		targets: []target{
			{"connects_node", "new connections/s, to Node.js", "connects_per_second", node, 1.8, true, ""},
			{"idle_rss_stock", "resident memory per idle connection, to stock", "rss_kb_per_connection", stock, 0.85, false, ""},
			{"idle_rss_node", "resident memory per idle connection, to Node.js", "rss_kb_per_connection", node, 2, false, ""},
		},
	}
	storm = comparison{
		Name: "storm", What: "100 000 clients connect, 16 at a time, and leave", only: []string{upkeep}, load: connectAndLeave,
		targets: []target{
			{"lost_connects", "clients that got no answer to their connect", "lost_connects", "", 0, false, ""},
		},
	}
)

// fanOut lets all subscribers join and one publisher publish.
func fanOut(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round, plan fleet.Plan) error {
	gathered, err := f.Gather(ctx, e.subscribers, parallel)
	if err != nil {
		return err
	}
	r.Values["lost_connects"] = float64(gathered.Lost)
	plan.Warm, plan.OnTime, plan.Usage, plan.Drain = e.warm, onTime, s.usage, 30*time.Second
	out, err := f.Publish(ctx, plan)
	if err != nil {
		return err
	}
	r.use(out.Before, out.After, out.Elapsed)
	cpu := out.After.Sum() - out.Before.Sum()
	serving := out.After.CPU[0] - out.Before.CPU[0]
	if out.Deliveries > 0 {
		r.Values["cpu_us_per_delivery"] = us(cpu) / float64(out.Deliveries)
		r.Values["serving_cpu_us_per_delivery"] = us(serving) / float64(out.Deliveries)
	}
	r.Values["deliveries_per_second"] = float64(out.Deliveries) / out.Elapsed.Seconds()
	r.Values["generator_cores"] = out.Own.Seconds() / out.Elapsed.Seconds()
	r.Values["p50_ms"], r.Values["p99_ms"], r.Values["max_ms"] = us(out.P50)/1000, us(out.P99)/1000, us(out.Max)/1000
	r.Values["events"], r.Values["deliveries_expected"], r.Values["deliveries"] = float64(out.Sent), float64(out.Expected), float64(out.Delivered)
	if plan.Rate > 0 {
		r.Values["on_time_percent"] = out.OnTimeRatio * 100
		r.Overload = out.OnTimeRatio < sustained && r.Server != upkeep
	}
	serves, _, err := s.memory()
	if err != nil {
		return err
	}
	r.Values["rss_mb"] = float64(serves.RSS) / (1 << 20)
	if out.Wrong() > 0 {
		r.wrong("of %d deliveries %d are missing, %d out of order, %d doubled, %d of events that were not sent",
			out.Expected, out.Missing, out.OutOfOrder, out.Doubled, out.Unknown)
	}
	if len(out.Lost) > 0 {
		r.wrong("%d connections were lost, the first one because: %v", len(out.Lost), out.Lost[0])
	}
	return nil
}

func acknowledge(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error {
	a, err := f.Acknowledge(ctx, e.warm, min(e.measure, 3*time.Second), s.usage)
	if err != nil {
		return err
	}
	r.use(a.Before, a.After, a.Elapsed)
	r.Values["acks_per_second"] = float64(a.Acks) / a.Elapsed.Seconds()
	r.Values["cpu_us_per_ack"] = us(a.After.Sum()-a.Before.Sum()) / float64(max(1, a.Acks))
	r.Values["p50_ms"], r.Values["p99_ms"] = us(a.P50)/1000, us(a.P99)/1000
	return nil
}

func connectAndStay(ctx context.Context, e effort, s *server, f *fleet.Fleet, r *round) error {
	serving, all, err := s.memory()
	if err != nil {
		return err
	}
	before, err := s.usage()
	if err != nil {
		return err
	}
	c, err := f.Connect(ctx, e.idle, parallel, true)
	if err != nil {
		return err
	}
	after, err := s.usage()
	if err != nil {
		return err
	}
	r.connected(c)
	r.Values["cpu_us_per_connect"] = us(after.Sum()-before.Sum()) / float64(max(1, c.Joined))
	if err := f.Idle(ctx, e.settle); err != nil {
		return err
	}
	servingFull, allFull, err := s.memory()
	if err != nil {
		return err
	}
	n := float64(max(1, f.Members()))
	r.Values["rss_kb_per_connection"] = float64(servingFull.RSS-serving.RSS) / 1024 / n
	r.Values["pss_kb_per_connection"] = float64(servingFull.PSS-serving.PSS) / 1024 / n
	r.Values["all_rss_kb_per_connection"] = float64(allFull.RSS-all.RSS) / 1024 / n
	r.Values["base_rss_mb"] = float64(serving.RSS) / (1 << 20)
	if lost := f.Lost(); len(lost) > 0 {
		r.wrong("%d connections were lost, the first one because: %v", len(lost), lost[0])
	}
	return nil
}

func connectAndLeave(ctx context.Context, e effort, _ *server, f *fleet.Fleet, r *round) error {
	c, err := f.Connect(ctx, e.connects, parallel, false)
	if err != nil {
		return err
	}
	r.connected(c)
	return nil
}

// connected notes how connects went. Those that got no answer are held against
// Upkeep alone: a peer's are told.
func (r *round) connected(c fleet.Connected) {
	r.Values["connects"] = float64(c.Started)
	r.Values["connects_per_second"] = c.PerSecond()
	r.Values["lost_connects"] = float64(c.Lost)
	r.Values["slowest_connect_ms"] = us(c.Slowest) / 1000
	if c.Failed > 0 {
		r.wrong("%d of %d connects failed, the first one because: %s", c.Failed, c.Started, c.FirstFailure)
	}
	if c.Lost > 0 && r.Server == upkeep {
		r.wrong("%d of %d connects got no answer", c.Lost, c.Started)
	}
}

// use notes the CPU that the server took, in cores.
func (r *round) use(before, after fleet.Usage, elapsed time.Duration) {
	r.Values["server_cores"] = (after.Sum() - before.Sum()).Seconds() / elapsed.Seconds()
	if len(after.CPU) > 1 { // the others are host and the plugins
		r.Values["beside_hub_cores"] = (after.Sum() - before.Sum() - after.CPU[0] + before.CPU[0]).Seconds() / elapsed.Seconds()
	}
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

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
		if len(c.only) > 0 {
			break // nothing to take turns with
		}
	}
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
	if ill := s.unwell(limited); ill != nil {
		r.wrong("%v", ill)
		err = errors.Join(err, ill)
	}
	return err
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
	for _, k := range []string{"deliveries_per_second", "cpu_us_per_delivery", "p99_ms", "on_time_percent", "acks_per_second", "connects_per_second", "lost_connects", "rss_kb_per_connection", "server_cores", "generator_cores"} {
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
