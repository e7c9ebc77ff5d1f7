// Command critical is a checker for whose target nothing is ever good enough.
package main

import (
	"context"

	"github.com/upkeephub/upkeep/sdk"
)

type checker struct{}

func (checker) Check(context.Context, sdk.Request) (sdk.Result, error) {
	return sdk.Result{Status: sdk.Critical, Message: "nothing is good enough"}, nil
}

func main() { sdk.Serve(sdk.Info{Name: "critical", Version: "0.1.0"}, checker{}) }
