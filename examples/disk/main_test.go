package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v3/disk"

	"github.com/upkeephub/upkeep/sdk"
	"github.com/upkeephub/upkeep/sdk/checkertest"
)

func TestCheckerKeepsTheContract(t *testing.T) {
	checkertest.Run(t, newChecker(), checkertest.Info(info), checkertest.Settings(map[string]any{"paths": []any{t.TempDir()}}))
}

// looking is a checker of made-up file systems.
func looking(systems map[string]disk.UsageStat) checker {
	s := settings{Warning: 0.9, Critical: 0.95}
	for path := range systems {
		s.Paths = append(s.Paths, path)
	}
	return checker{sdk.NewConfig(s), func(_ context.Context, path string) (*disk.UsageStat, error) {
		found := systems[path]
		if found.Path == "" {
			return nil, errors.New("no such device")
		}
		return &found, nil
	}}
}

func TestWhatIsFullIsNotHealthy(t *testing.T) {
	for _, try := range []struct {
		why    string
		system disk.UsageStat
		want   sdk.Status
		says   string
	}{
		{"half full", disk.UsageStat{Path: "/", UsedPercent: 50}, sdk.Healthy, ""},
		{"exactly at the limit", disk.UsageStat{Path: "/", UsedPercent: 90}, sdk.Healthy, ""},
		{"over the warning", disk.UsageStat{Path: "/", UsedPercent: 91}, sdk.Warning, metricUsed},
		{"over critical", disk.UsageStat{Path: "/", UsedPercent: 96}, sdk.Critical, metricUsed},
		{"out of inodes", disk.UsageStat{Path: "/", UsedPercent: 5, InodesTotal: 100, InodesUsedPercent: 100}, sdk.Critical, metricInodes},
	} {
		result, err := looking(map[string]disk.UsageStat{"/": try.system}).Check(t.Context(), sdk.Request{})
		if err != nil {
			t.Fatalf("%s: %v", try.why, err)
		}
		worst, which := sdk.Healthy, ""
		for _, m := range result.Metrics {
			if m.Status.Worse(worst) {
				worst, which = m.Status, m.Name
			}
		}
		if worst != try.want || which != try.says {
			t.Errorf("%s: %s by %s, want %s by %s", try.why, worst, which, try.want, try.says)
		}
	}
}

func TestWhatCannotBeReadIsUnknownAndHidesNothingElse(t *testing.T) {
	result, err := looking(map[string]disk.UsageStat{"/": {Path: "/", UsedPercent: 99}, "/gone": {}}).Check(t.Context(), sdk.Request{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]sdk.Status{}
	for _, m := range result.Metrics {
		if m.Name == metricUsed {
			found[m.Labels["path"]] = m.Status
		}
	}
	if found["/"] != sdk.Critical || found["/gone"] != sdk.Unknown {
		t.Errorf("statuses are %v", found)
	}
	if _, err := looking(map[string]disk.UsageStat{"/gone": {}}).Check(t.Context(), sdk.Request{}); err == nil || !strings.Contains(err.Error(), "/gone: no such device") {
		t.Errorf("nothing can be read: %v", err)
	}
}

func TestAFileSystemThatDoesNotAnswerCostsOneDeadline(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	c := checker{sdk.NewConfig(settings{Paths: []string{"/nfs"}, Warning: 0.9, Critical: 0.95}), func(context.Context, string) (*disk.UsageStat, error) {
		<-release
		return &disk.UsageStat{}, nil
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Check(ctx, sdk.Request{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a kernel that does not answer gives %v", err)
	}
}

func TestLimitsInTheWrongOrderAreRefused(t *testing.T) {
	if err := (settings{Warning: 0.9, Critical: 0.8}).Validate(); err == nil || !strings.Contains(err.Error(), "critical_ratio: is 0.8, below warning_ratio") {
		t.Errorf("the order of the limits: %v", err)
	}
	if err := (settings{Warning: 0.9, Critical: 0.9}).Validate(); err != nil {
		t.Error(err)
	}
}
