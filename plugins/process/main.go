// Command process is Upkeep's checker of process resources: CPU, memory, file
// descriptors and threads of the hub, and of the host that keeps it.
//
// It owns the reading of the system's process table and the judgement by
// thresholds. It refuses to know what a process does; the host calls it. It
// keeps nothing between checks and has no goroutines of its own.
package main

import "github.com/upkeephub/upkeep/sdk"

func main() { sdk.Serve(info, newChecker()) }

var info = sdk.Info{
	Name:      "process",
	Version:   "0.1.0",
	CheckName: "process_resources",
	Metrics: []sdk.MetricInfo{
		{Name: metricExists, Help: "False when there is no hub process; only there then."},
		{Name: metricStatus, Help: "State of the process as the system names it; a stopped one is critical."},
		{Name: metricCPU, Unit: "%", Load: true, Help: "Mean use of the usable CPUs over at least 30 s."},
		{Name: metricMemory, Unit: "MB", Help: "Resident memory, in units of 1024 × 1024 bytes."},
		{Name: metricVirtual, Unit: "MB", Help: "Virtual memory, in units of 1024 × 1024 bytes."},
		{Name: metricDescriptors, Help: "Open file descriptors of the hub, the sockets of clients left out."},
		{Name: metricThreads, Help: "Threads of the process."},
		{Name: metricStart, Unit: "s", Help: "Start of the process in seconds since 1970."},
	},
}
