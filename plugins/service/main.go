// Command service is Upkeep's checker of service health: what the hub's own
// statistics say about clients, events and errors.
//
// It owns the arithmetic from counters to rates over a window. It refuses to ask
// the hub anything: the host hands it the statistics, and its own earlier
// counters. The host calls it. It keeps nothing and has no goroutines.
package main

import "github.com/upkeephub/upkeep/sdk"

func main() { sdk.Serve(info, newChecker()) }

var info = sdk.Info{
	Name:      "service",
	Version:   "0.1.0",
	CheckName: "service_health",
	Metrics: []sdk.MetricInfo{
		{Name: metricClients, Load: true, Help: "Connected clients: over 0.8 times max_clients a warning, over max_clients critical."},
		{Name: metricRate, Unit: "events/s", Load: true, Help: "Events handled in a second, mean over at most 300 s."},
		{Name: metricEvents, Help: "Events handled to the end, ever."},
		{Name: metricErrorRate, Help: "Events that failed by the hub's own fault, as a share of all within at most 300 s: over 0.5 times error_rate a warning, over error_rate critical; of fewer than 10 events at most a warning."},
		{Name: metricErrors, Help: "Errors of all kinds, refused input included, ever."},
		{Name: metricLog, Load: true, Help: "1, and critical, while the hub cannot write its event log and keeps events in memory only; 0 otherwise."},
		{Name: metricIdle, Unit: "s", Load: true, Help: "Time since a client was last heard; absent if none ever was. Idle is not ill."},
	},
}
