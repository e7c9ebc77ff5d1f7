// Command disk is a checker of Upkeep. It looks at how full file systems are.
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/shirou/gopsutil/v3/disk"

	"github.com/upkeephub/upkeep/sdk"
)

func main() { sdk.Serve(info, newChecker()) }

const (
	metricUsed   = "disk_used_ratio"
	metricFree   = "disk_free_bytes"
	metricInodes = "disk_inodes_used_ratio"
)

// Load: a restart of the hub frees no disk, so that a full one is told and
// logged, and nothing is restarted.
var info = sdk.Info{
	Name:    "disk", // equal to the name of the executable and its folder
	Version: "0.1.0",
	Metrics: []sdk.MetricInfo{
		{Name: metricUsed, Load: true, Help: "Used share of what an ordinary user may use: over warning_ratio a warning, over critical_ratio critical."},
		{Name: metricFree, Unit: "B", Help: "What an ordinary user may still write."},
		{Name: metricInodes, Load: true, Help: "Used share of the inodes, judged as disk_used_ratio; absent where there is no such limit."},
	},
}

// settings is the plugin's configuration; its JSON Schema is made from the tags.
type settings struct {
	Paths    []string `json:"paths" jsonschema:"minItems=1,maxItems=32,uniqueItems=true" jsonschema_description:"A file or folder on each file system to look at."`
	Warning  float64  `json:"warning_ratio" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"Over this used share it is a warning."`
	Critical float64  `json:"critical_ratio" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"Over this used share it is critical."`
}

// Validate says what the schema cannot.
func (s settings) Validate() error {
	if s.Critical < s.Warning {
		return sdk.Diagnostic{
			Path: "critical_ratio", Summary: fmt.Sprintf("is %v, below warning_ratio", s.Critical),
			Detail: fmt.Sprintf("want at least %v", s.Warning),
		}
	}
	return nil
}

type checker struct {
	*sdk.Config[settings]
	usage func(context.Context, string) (*disk.UsageStat, error)
}

func newChecker() checker {
	return checker{sdk.NewConfig(settings{Paths: []string{"/"}, Warning: 0.9, Critical: 0.95}), disk.UsageWithContext}
}

// Check looks at every path. One that cannot be read is unknown and hides none
// of the others; if none can be read, the check itself has failed.
func (c checker) Check(ctx context.Context, _ sdk.Request) (sdk.Result, error) {
	s := c.Current()
	var result sdk.Result
	var failed []error
	for _, path := range s.Paths {
		found, err := c.look(ctx, path)
		if err != nil {
			failed = append(failed, fmt.Errorf("read the file system of %s: %w", path, err))
			result.Metrics = append(result.Metrics, sdk.Unmeasured(metricUsed, err.Error()).WithLabel("path", path).AsLoad())
			continue
		}
		result.Metrics = append(result.Metrics, s.judge(path, found)...)
	}
	if len(failed) == len(s.Paths) {
		return sdk.Result{}, errors.Join(failed...)
	}
	return result, nil
}

// look asks the kernel, which does not answer for a network file system whose
// server is away, and takes no deadline: so the question is left behind. The
// goroutine ends with the kernel's answer.
func (c checker) look(ctx context.Context, path string) (*disk.UsageStat, error) {
	type answer struct {
		usage *disk.UsageStat
		err   error
	}
	answered := make(chan answer, 1) // nobody may be left to read it
	go func() {
		usage, err := c.usage(ctx, path)
		answered <- answer{usage, err}
	}()
	select {
	case a := <-answered:
		return a.usage, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer: %w", ctx.Err())
	}
}

func (s settings) judge(path string, u *disk.UsageStat) []sdk.Metric {
	metrics := []sdk.Metric{
		s.ratio(metricUsed, u.UsedPercent/100).WithLabel("path", path),
		sdk.Number(metricFree, float64(u.Free), sdk.Healthy).WithUnit("B").WithLabel("path", path),
	}
	if u.InodesTotal > 0 {
		metrics = append(metrics, s.ratio(metricInodes, u.InodesUsedPercent/100).WithLabel("path", path))
	}
	return metrics
}

func (s settings) ratio(name string, used float64) sdk.Metric {
	status := sdk.Healthy
	switch {
	case used > s.Critical:
		status = sdk.Critical
	case used > s.Warning:
		status = sdk.Warning
	}
	return sdk.Number(name, used, status).WithThreshold(s.Warning).AsLoad()
}
