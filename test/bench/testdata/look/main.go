// Command look is the least that a checker can be. It is called what its file
// is called, so that there can be a hundred of it.
package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/upkeephub/upkeep/sdk"
)

type checker struct{}

// Check finds everything in order.
func (checker) Check(context.Context, sdk.Request) (sdk.Result, error) {
	return sdk.Result{Status: sdk.Healthy, Message: "looked", Metrics: []sdk.Metric{sdk.Number("looks", 1, sdk.Healthy)}}, nil
}

func main() {
	sdk.Serve(sdk.Info{Name: filepath.Base(os.Args[0]), Version: "0.1.0"}, checker{})
}
