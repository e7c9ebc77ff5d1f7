// Command crashing is a plugin that ends soon after it was started.
package main

import (
	"context"

	"github.com/upkeephub/upkeep/sdk"
)

type checker struct{}

// Check ends the process: no handler can catch a panic of another goroutine.
func (checker) Check(ctx context.Context, _ sdk.Request) (sdk.Result, error) {
	go panic("I cannot go on")
	<-ctx.Done()
	return sdk.Result{}, ctx.Err()
}

func main() { sdk.Serve(sdk.Info{Name: "crashing", Version: "0.1.0"}, checker{}) }
