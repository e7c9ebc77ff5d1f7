package sdk_test

import (
	"context"
	"fmt"

	"github.com/upkeephub/upkeep/sdk"
)

type spaceSettings struct {
	MinFree float64 `json:"min_free" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"Share of the disk that should be free."`
}

// spaceChecker looks at the free space of a disk.
type spaceChecker struct {
	*sdk.Config[spaceSettings]
	free func() (float64, error)
}

func (c spaceChecker) Check(ctx context.Context, req sdk.Request) (sdk.Result, error) {
	free, err := c.free()
	if err != nil {
		return sdk.Result{}, fmt.Errorf("read the free space: %w", err) // the status is unknown
	}
	status := sdk.Healthy
	if free < c.Current().MinFree {
		status = sdk.Critical
	}
	return sdk.Result{
		Message: fmt.Sprintf("%.0f%% of the disk is free", 100*free),
		Metrics: []sdk.Metric{sdk.Number("disk_free_ratio", free, status)},
	}, nil
}

// A checker. Its main is
//
//	sdk.Serve(sdk.Info{Name: "space", Version: "0.1.0"}, checker)
func Example_checker() {
	checker := spaceChecker{
		Config: sdk.NewConfig(spaceSettings{MinFree: 0.05}),
		free:   func() (float64, error) { return 0.25, nil },
	}
	result, err := checker.Check(context.Background(), sdk.Request{})
	fmt.Println(result.Message, result.Metrics[0].Status, err)
	// Output: 25% of the disk is free healthy <nil>
}

// careful restarts a critical hub once for each incident, and never when
// clients would notice.
type careful struct{}

func (careful) Decide(ctx context.Context, s sdk.Situation) (sdk.Proposal, error) {
	switch {
	case s.Report.StatusWithoutLoad != sdk.Critical:
		return sdk.Proposal{Rule: "not_critical", Reason: "The hub is " + s.Report.StatusWithoutLoad.String() + "."}, nil
	case len(s.Incident.Attempts) > 0:
		return sdk.Proposal{Rule: "tried", Reason: "A restart did not help."}, nil
	case s.Statistics != nil && s.Statistics.ConnectedClients > 0:
		return sdk.Proposal{
			Action: sdk.LogWarning, Rule: "in_use",
			Reason: fmt.Sprintf("The hub is critical, but %d clients are connected.", s.Statistics.ConnectedClients),
		}, nil
	}
	return sdk.Proposal{Action: sdk.RestartService, Rule: "restart", Reason: "The hub is critical and nobody is connected."}, nil
}

// A strategy. Its main is
//
//	sdk.Serve(sdk.Info{Name: "careful", Version: "0.1.0"}, careful{})
func Example_strategy() {
	for _, clients := range []int64{3, 0} {
		proposal, _ := careful{}.Decide(context.Background(), sdk.Situation{
			Report:     sdk.Report{StatusWithoutLoad: sdk.Critical},
			Statistics: &sdk.Statistics{ConnectedClients: clients},
		})
		fmt.Println(proposal.Action, "-", proposal.Reason)
	}
	// Output:
	// log_warning - The hub is critical, but 3 clients are connected.
	// restart_service - The hub is critical and nobody is connected.
}

func ExampleOver() {
	fmt.Println(sdk.Over(500, 500), sdk.Over(501, 500), sdk.Over(600, 500))
	// Output: healthy warning critical
}
