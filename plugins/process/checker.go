package main

import (
	"context"
	"fmt"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

const (
	metricExists      = "process_exists"
	metricStatus      = "process_status"
	metricCPU         = "cpu_usage_percent"
	metricMemory      = "memory_usage_mb"
	metricVirtual     = "memory_vms_mb"
	metricDescriptors = "file_descriptors"
	metricThreads     = "thread_count"
	metricStart       = "process_start_time"

	megabyte = 1 << 20
)

// settings is the plugin's configuration.
type settings struct {
	Thresholds thresholds `json:"thresholds"`
}

type thresholds struct {
	CPUPercent      float64 `json:"cpu_percent" jsonschema:"exclusiveMinimum=0,maximum=100" jsonschema_description:"Mean CPU use in percent of the usable CPUs above which to warn; critical from 1.2 times that."`
	MemoryMB        float64 `json:"memory_mb" jsonschema:"exclusiveMinimum=0" jsonschema_description:"Resident memory in MB above which to warn; critical from 1.2 times that."`
	FileDescriptors float64 `json:"file_descriptors" jsonschema:"exclusiveMinimum=0" jsonschema_description:"Open file descriptors of the hub, sockets of clients left out, above which to warn; critical from 1.2 times that."`
}

// checker looks at two processes, the hub and the host.
type checker struct {
	*sdk.Config[settings]
	look  func(ctx context.Context, pid int) (process, error)
	cpus  func() float64 // how many CPUs may be used
	pause func(ctx context.Context, d time.Duration) error
	now   func() time.Time
}

func newChecker() *checker {
	return &checker{
		Config: sdk.NewConfig(settings{thresholds{CPUPercent: 80, MemoryMB: 500, FileDescriptors: 1000}}),
		look:   lookAt,
		cpus:   usableCPUs,
		pause:  pause,
		now:    time.Now,
	}
}

// Check measures both processes. Without a hub it is critical, whatever the
// host's numbers are.
func (c *checker) Check(ctx context.Context, req sdk.Request) (sdk.Result, error) {
	limits := c.Current().Thresholds
	subjects := []*subject{
		{role: "hub", pid: req.Target.HubPID},
		{role: "host", pid: req.Target.HostPID},
	}
	for _, s := range subjects {
		s.err = errNoProcess
		if s.pid > 0 {
			s.process, s.err = c.look(ctx, s.pid)
		}
	}
	shares, err := c.cpuShares(ctx, subjects, req.Samples)
	if err != nil {
		return sdk.Result{}, err
	}
	result := sdk.Result{Counters: map[string]float64{}}
	for i, s := range subjects {
		s.count(result.Counters)
		result.Metrics = append(result.Metrics, s.metrics(limits, shares[i], req.Statistics)...)
	}
	hub := subjects[0]
	switch {
	case hub.pid <= 0:
		result.Message = "no hub is running"
	case hub.gone():
		result.Message = fmt.Sprintf("the hub, process %d, is gone", hub.pid)
	case hub.zombie:
		result.Message = fmt.Sprintf("the hub, process %d, has ended and waits to be reaped", hub.pid)
	case hub.stopped:
		result.Message = fmt.Sprintf("the hub, process %d, is stopped and does nothing", hub.pid)
	}
	return result, nil
}

// subject is one of the processes that are looked at.
type subject struct {
	role string
	pid  int
	process
	err error // of the look as a whole
}

// gone says whether there is no such process.
func (s *subject) gone() bool { return s.err == errNoProcess }

// label marks what belongs to the host; the hub's metrics are the plain ones.
func (s *subject) label(m sdk.Metric) sdk.Metric {
	if s.role == "host" {
		return m.WithLabel("process", s.role)
	}
	return m
}

func (s *subject) metrics(limits thresholds, cpu share, statistics *sdk.Statistics) []sdk.Metric {
	if s.gone() || s.zombie {
		if s.role == "host" {
			return []sdk.Metric{s.label(sdk.Unmeasured(metricStatus, fmt.Sprintf("there is no process %d", s.pid)))}
		}
		reason := "no hub is running"
		if s.pid > 0 {
			reason = fmt.Sprintf("the hub, process %d, is gone", s.pid)
		}
		return []sdk.Metric{sdk.Flag(metricExists, false, sdk.Critical).WithMessage(reason)}
	}
	out := []sdk.Metric{
		s.statusMetric(),
		cpu.metric(limits.CPUPercent),
		s.memory.metric(metricMemory, func(n float64) sdk.Metric { return sdk.Limited(metricMemory, n/megabyte, limits.MemoryMB) }).WithUnit("MB"),
		s.virtual.metric(metricVirtual, func(n float64) sdk.Metric { return sdk.Number(metricVirtual, n/megabyte, sdk.Healthy) }).WithUnit("MB"),
		s.threads.metric(metricThreads, func(n float64) sdk.Metric { return sdk.Number(metricThreads, n, sdk.Healthy) }),
		s.start.metric(metricStart, func(n float64) sdk.Metric { return sdk.Number(metricStart, n, sdk.Healthy) }).WithUnit("s"),
	}
	if s.role == "hub" {
		out = append(out, s.descriptors.metric(metricDescriptors, func(n float64) sdk.Metric {
			if statistics != nil {
				n = max(0, n-float64(statistics.ClientDescriptors))
			}
			return sdk.Limited(metricDescriptors, n, limits.FileDescriptors)
		}))
	}
	for i := range out {
		out[i] = s.label(out[i])
	}
	return out
}

func (s *subject) statusMetric() sdk.Metric {
	switch {
	case s.stateErr != nil:
		return sdk.Unmeasured(metricStatus, s.stateErr.Error())
	case s.stopped:
		return sdk.Text(metricStatus, s.state, sdk.Critical).WithMessage(fmt.Sprintf("process %d is stopped: kill -CONT %d lets it run on", s.pid, s.pid))
	}
	return sdk.Text(metricStatus, s.state, sdk.Healthy)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
