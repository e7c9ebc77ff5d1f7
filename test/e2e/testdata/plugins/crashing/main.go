// Command crashing is a plugin that ends soon after it was started.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/upkeephub/upkeep/sdk"
)

type checker struct{}

// Check ends the process, as a crash in a goroutine of the plugin does.
func (checker) Check(context.Context, sdk.Request) (sdk.Result, error) {
	fmt.Fprintln(os.Stderr, "I cannot go on")
	os.Exit(3)
	return sdk.Result{}, nil
}

func main() { sdk.Serve(sdk.Info{Name: "crashing", Version: "0.1.0"}, checker{}) }
