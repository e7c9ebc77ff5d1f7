// Command blind is a checker that cannot look.
package main

import (
	"context"
	"errors"

	"github.com/upkeephub/upkeep/sdk"
)

type checker struct{}

func (checker) Check(context.Context, sdk.Request) (sdk.Result, error) {
	return sdk.Result{}, errors.New("it is dark in here")
}

func main() { sdk.Serve(sdk.Info{Name: "blind", Version: "0.1.0"}, checker{}) }
