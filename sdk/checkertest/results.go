package checkertest

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
	"github.com/upkeephub/upkeep/sdk"
)

const (
	// maxMetrics is what the host takes of one result.
	maxMetrics = 256
	// repetitions are the checks made one after the other, workers those side by side.
	repetitions = 10
	workers     = 4
)

// honoursTheEndOfItsContext calls Check itself: over gRPC the sdk answers in
// time whatever the checker does.
func (r *trial) honoursTheEndOfItsContext() {
	r.Helper()
	for what, limit := range map[string]time.Duration{"a deadline of 300 ms": 300 * time.Millisecond, "a context that has ended": 0} {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		request := sdk.Request{
			CheckID: "trial", Now: time.Now(),
			Target: sdk.Target{
				HostPID: int(r.target.HostPid), HubPID: int(r.target.HubPid), HubGeneration: 1, Host: r.target.Host, Port: int(r.target.Port),
				Addresses: r.target.Addresses, Path: r.target.Path, ProbeSecret: r.target.ProbeSecret,
			},
			Statistics: &sdk.Statistics{Generation: 1, EventsProcessed: 1000, TakenAt: time.Now()},
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer func() { _ = recover() }() // a panic is answersWell's to report
			_, _ = r.checker.Check(ctx, request)
		}()
		select {
		case <-ended:
		case <-time.After(limit + slack):
			r.Errorf("checkertest: Check with %s is still running %v after it: return when ctx ends", what, slack)
		}
		cancel()
	}
}

// answersWell looks at one result.
func (r *trial) answersWell() {
	r.Helper()
	answer, err := r.check(checkTime, r.request())
	if err != nil {
		if code := status.Code(err); code == codes.Internal || code == codes.DeadlineExceeded {
			r.Errorf("checkertest: Check: %v", err)
		}
		return
	}
	r.judges(answer)
}

func (r *trial) judges(answer *pluginv1.CheckResponse) {
	r.Helper()
	if answer.Status == pluginv1.Status_STATUS_UNSPECIFIED && len(answer.Metrics) == 0 {
		r.Errorf("checkertest: the result has neither status nor metrics: set Status, or return an error if it could not look")
	}
	if _, known := pluginv1.Status_name[int32(answer.Status)]; !known {
		r.Errorf("checkertest: the result has the status %d, which is no status", answer.Status)
	}
	if n := len(answer.Metrics); n > maxMetrics {
		r.Errorf("checkertest: the result has %d metrics: the host takes %d", n, maxMetrics)
	}
	documented := map[string]*pluginv1.MetricDescriptor{}
	for _, d := range r.description.Metrics {
		documented[d.Name] = d
	}
	seen := map[string]bool{}
	for _, m := range answer.Metrics {
		identity := identify(m)
		if !metricName.MatchString(m.Name) {
			r.Errorf("checkertest: metric %q: want lower case words joined by underscores", m.Name)
		}
		if seen[identity] {
			r.Errorf("checkertest: metric %s is there twice: tell them apart by labels", identity)
		}
		seen[identity] = true
		for label := range m.Labels {
			if !metricName.MatchString(label) {
				r.Errorf("checkertest: metric %s: want label names in lower case", identity)
			}
		}
		if n, ok := m.Value.(*pluginv1.Metric_Number); ok && n.Number-n.Number != 0 {
			r.Errorf("checkertest: metric %s is %v: want a finite number, or Unmeasured", identity, n.Number)
		}
		if m.Value == nil && (m.Message == "" || m.Status != pluginv1.Status_STATUS_UNSPECIFIED) {
			r.Errorf("checkertest: metric %s has no value: make it with Unmeasured and say why", identity)
		}
		if len(documented) == 0 {
			continue
		}
		d, ok := documented[m.Name]
		switch {
		case !ok:
			r.Errorf("checkertest: metric %s is not in Info.Metrics", identity)
		case d.Load != m.Load || d.Unit != m.Unit:
			r.Errorf("checkertest: metric %s has unit %q and load %v, Info.Metrics says %q and %v", identity, m.Unit, m.Load, d.Unit, d.Load)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(answer.Counters)) {
		if n := answer.Counters[name]; name == "" || n-n != 0 {
			r.Errorf("checkertest: counter %q is %v: want a name and a finite number", name, n)
		}
	}
}

// repeats checks the same target again and again as the host does, with the
// counters of before.
func (r *trial) repeats() {
	r.Helper()
	var samples []*pluginv1.Sample
	var first string
	goroutines := 0
	for n := range repetitions {
		answer, err := r.check(checkTime, r.request(samples...))
		now := outcome(answer, err)
		switch {
		case n == 0:
			first = now
			goroutines = runtime.NumGoroutine()
		case now != first:
			r.Errorf("checkertest: check %d of the same target gives\n\t%s\nthe first gave\n\t%s", n+1, now, first)
			return
		}
		samples = append(samples, &pluginv1.Sample{TakenAt: timestamppb.Now(), Generation: 1, Counters: answer.GetCounters()})
	}
	// What a check left to close may take a moment to go.
	look := time.NewTicker(slack / 100)
	defer look.Stop()
	deadline := time.After(slack)
	for runtime.NumGoroutine() >= goroutines+repetitions-1 {
		select {
		case <-look.C:
		case <-deadline:
			r.Errorf("checkertest: %d checks left %d goroutines behind: end them before Check returns",
				repetitions-1, runtime.NumGoroutine()-goroutines)
			return
		}
	}
}

// bearsConcurrency checks from several sides while the configuration is
// replaced; the race detector sees what the eye does not.
func (r *trial) bearsConcurrency() {
	r.Helper()
	outcomes := make(chan string, workers*2+1) // room for all: nobody reads until the end
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range 2 {
				outcomes <- outcome(r.check(checkTime, r.request()))
			}
		})
	}
	all.Go(func() {
		if found, err := r.configure(r.settings); err != nil || refused(found) {
			outcomes <- fmt.Sprintf("the configuration is refused while checks run: %v, %v", found, err)
		}
	})
	all.Wait()
	close(outcomes)
	first := outcome(r.check(checkTime, r.request()))
	for o := range outcomes {
		if o != first {
			r.Errorf("checkertest: side by side a check gives\n\t%s\nalone it gives\n\t%s", o, first)
			return
		}
	}
}

// outcome says in a line what kind of answer this is: which metrics, or which error.
func outcome(answer *pluginv1.CheckResponse, err error) string {
	if err != nil {
		return "error " + status.Code(err).String()
	}
	identities := make([]string, len(answer.GetMetrics()))
	for i, m := range answer.GetMetrics() {
		identities[i] = identify(m)
	}
	slices.Sort(identities)
	return "metrics " + strings.Join(identities, " ")
}

func identify(m *pluginv1.Metric) string {
	labels := make([]string, 0, len(m.Labels))
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		labels = append(labels, fmt.Sprintf("%s=%q", key, m.Labels[key]))
	}
	if len(labels) == 0 {
		return m.Name
	}
	return m.Name + "{" + strings.Join(labels, ",") + "}"
}
