// Command network is Upkeep's checker of network connectivity: it does what a
// client does, on every address, and says how long that took.
//
// It owns one conversation in Socket.IO over WebSocket. It refuses to take a TCP
// connection for a sign of life, since the kernel accepts for a frozen process
// too. The host calls it. Its goroutines, one for each address, end with the check.
package main

import "github.com/upkeephub/upkeep/sdk"

func main() { sdk.Serve(info, newChecker()) }

var info = sdk.Info{
	Name:      "network",
	Version:   "0.1.0",
	CheckName: "network_connectivity",
	Metrics: []sdk.MetricInfo{
		{Name: metricAccessible, Help: "Whether a client can connect and exchange an event: without label on all addresses, with label on that one."},
		{Name: metricSocket, Help: "Whether this machine can open another socket."},
		{Name: metricRoundTrip, Unit: "ms", Help: "The faster of two event round trips; without label that of the slowest address."},
		{Name: metricConnect, Unit: "ms", Help: "Time until the namespace is connected; without label that of the slowest address."},
	},
}
