// Command refusals is a checker that holds it against the hub when much of what
// clients send is refused.
package main

import (
	"context"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

const (
	window = 4 * time.Second
	limit  = 20 // errors within the window
)

type checker struct{}

func (checker) Check(_ context.Context, r sdk.Request) (sdk.Result, error) {
	if r.Statistics == nil {
		return sdk.Result{Status: sdk.Healthy}, nil
	}
	now := float64(r.Statistics.Errors)
	result := sdk.Result{Status: sdk.Healthy, Counters: map[string]float64{"errors": now}}
	for _, s := range r.Samples {
		if r.Now.Sub(s.TakenAt) <= window && now-s.Counters["errors"] >= limit {
			result.Status, result.Message = sdk.Critical, "too much is refused"
		}
	}
	return result, nil
}

func main() { sdk.Serve(sdk.Info{Name: "refusals", Version: "0.1.0"}, checker{}) }
