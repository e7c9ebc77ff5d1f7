package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

const (
	metricAccessible = "port_accessible"
	metricSocket     = "socket_creation"
	metricRoundTrip  = "round_trip_ms"
	metricConnect    = "connect_ms"

	// reserve is how long before the call's own deadline a probe gives up, so
	// that a frozen hub is a critical result and not a check that failed.
	reserve = 200 * time.Millisecond
	// defaultPath is the Socket.IO endpoint if the target names none.
	defaultPath = "/socket.io/"
)

// settings is the plugin's configuration.
type settings struct {
	Thresholds thresholds `json:"thresholds"`
}

type thresholds struct {
	NetworkTimeout sdk.Seconds `json:"network_timeout" jsonschema:"exclusiveMinimum=0,maximum=60" jsonschema_description:"How many seconds the hub may take for all its answers together before an address counts as not accessible."`
	RoundTripMS    float64     `json:"round_trip_ms" jsonschema:"exclusiveMinimum=0" jsonschema_description:"Event round trip in milliseconds above which to warn; critical from 1.2 times that."`
}

// checker probes the addresses of the hub.
type checker struct {
	*sdk.Config[settings]
	openSocket func(context.Context) error
}

func newChecker() *checker {
	return &checker{
		Config:     sdk.NewConfig(settings{thresholds{NetworkTimeout: 2, RoundTripMS: 300}}),
		openSocket: openSocket,
	}
}

// Check probes all addresses at the same time.
func (c *checker) Check(ctx context.Context, req sdk.Request) (sdk.Result, error) {
	addresses, err := addressesOf(req.Target)
	if err != nil {
		return sdk.Result{}, err
	}
	limits := c.Current().Thresholds
	ctx, cancel := withReserve(ctx)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return sdk.Result{}, fmt.Errorf("no time to probe %v: %w", addresses, err)
	}

	outcomes := make([]outcome, len(addresses))
	var probes sync.WaitGroup
	for i, address := range addresses {
		probes.Go(func() {
			p := probe{address: address, target: req.Target, timeout: limits.NetworkTimeout.Duration()}
			outcomes[i] = p.run(ctx)
		})
	}
	socket := sdk.Flag(metricSocket, true, sdk.Healthy)
	if err := c.openSocket(ctx); err != nil {
		socket = sdk.Flag(metricSocket, false, sdk.Critical).WithMessage(err.Error())
	}
	probes.Wait()

	metrics := worst(outcomes).metrics(limits)
	if len(outcomes) > 1 {
		for _, o := range outcomes {
			for _, m := range o.metrics(limits) {
				metrics = append(metrics, m.WithLabel("address", o.address))
			}
		}
	}
	result := sdk.Result{Metrics: append(metrics, socket)}
	for _, o := range outcomes {
		if o.err != nil {
			if result.Message != "" {
				result.Message += "; "
			}
			result.Message += o.address + ": " + o.err.Error()
		}
	}
	return result, nil
}

// addressesOf are those that the hub is bound to, else the one it is configured for.
func addressesOf(t sdk.Target) ([]string, error) {
	if len(t.Addresses) > 0 {
		return t.Addresses, nil
	}
	if t.Port <= 0 {
		return nil, fmt.Errorf("the target has neither addresses nor a port: there is nothing to probe")
	}
	host := t.Host
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	return []string{net.JoinHostPort(host, strconv.Itoa(t.Port))}, nil
}

// withReserve ends a little before ctx does, to leave time for the answer.
func withReserve(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(reserve, time.Until(deadline)/2)))
}

// openSocket shows whether this machine has a socket and a port left.
func openSocket(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	return listener.Close()
}

// outcome is what a probe found at one address.
type outcome struct {
	address   string
	err       error // why the address is not accessible; names the step
	connect   time.Duration
	roundTrip time.Duration
}

func (o outcome) metrics(limits thresholds) []sdk.Metric {
	if o.err != nil {
		reason := "not measured: the address is not accessible"
		return []sdk.Metric{
			sdk.Flag(metricAccessible, false, sdk.Critical).WithMessage(o.err.Error()),
			sdk.Unmeasured(metricRoundTrip, reason).WithUnit("ms"),
			sdk.Unmeasured(metricConnect, reason).WithUnit("ms"),
		}
	}
	return []sdk.Metric{
		sdk.Flag(metricAccessible, true, sdk.Healthy),
		sdk.Limited(metricRoundTrip, milliseconds(o.roundTrip), limits.RoundTripMS).WithUnit("ms"),
		sdk.Number(metricConnect, milliseconds(o.connect), sdk.Healthy).WithUnit("ms"),
	}
}

// worst joins outcomes: an address that is not accessible, else the slowest.
func worst(outcomes []outcome) outcome {
	var all outcome
	for _, o := range outcomes {
		if o.err != nil {
			return outcome{err: fmt.Errorf("%s: %w", o.address, o.err)}
		}
		all.connect = max(all.connect, o.connect)
		all.roundTrip = max(all.roundTrip, o.roundTrip)
	}
	return all
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
