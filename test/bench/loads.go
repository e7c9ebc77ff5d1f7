package main

import (
	"context"
	"time"

	"github.com/upkeephub/upkeep/test/bench/fleet"
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

// othersCores is what processes took that are neither the server nor the bench.
const othersCores = "others_cores"

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
	r.Values[othersCores] = max(0, (out.Machine-out.Own-cpu).Seconds()/out.Elapsed.Seconds())
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
