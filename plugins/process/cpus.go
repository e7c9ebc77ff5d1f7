package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// usableCPUs is how many CPUs this machine, the affinity and the control group
// allow. Hub, host and plugins share them.
func usableCPUs() float64 {
	return min(float64(runtime.NumCPU()), cpuQuota("/proc/self/cgroup", "/sys/fs/cgroup"))
}

// cpuQuota reads the CPUs that this process's control group may use: version 2
// and version 1, as mounted in a container or on a machine. Without a limit, or
// where there are no control groups, it is infinite.
func cpuQuota(membership, root string) float64 {
	text, err := os.ReadFile(membership)
	if err != nil {
		return math.Inf(1)
	}
	quota := math.Inf(1)
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch controllers, group := parts[1], parts[2]; {
		case controllers == "":
			quota = min(quota, readQuota(filepath.Join(root, group, "cpu.max")))
		case strings.Contains(","+controllers+",", ",cpu,"):
			quota = min(quota, readQuota(
				filepath.Join(root, controllers, group, "cpu.cfs_quota_us"),
				filepath.Join(root, controllers, group, "cpu.cfs_period_us")))
		}
	}
	return quota
}

// readQuota divides quota by period, which stand in one file or in two. A quota
// of "max" or below 1, or an unreadable one, is no limit.
func readQuota(files ...string) float64 {
	var numbers []float64
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return math.Inf(1)
		}
		for _, word := range strings.Fields(string(text)) {
			n, err := strconv.ParseFloat(word, 64)
			if err != nil {
				return math.Inf(1)
			}
			numbers = append(numbers, n)
		}
	}
	if len(numbers) != 2 || numbers[0] < 1 || numbers[1] < 1 {
		return math.Inf(1)
	}
	return numbers[0] / numbers[1]
}
