package checkertest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/upkeephub/upkeep/sdk"
	"github.com/upkeephub/upkeep/sdk/checkertest"
)

// calm finds everything well.
type calm struct{}

func (calm) Check(context.Context, sdk.Request) (sdk.Result, error) {
	return sdk.Result{Status: sdk.Healthy}, nil
}

// TestCalm is all that a test of the contract needs. In a plugin's own
// main_test.go it is run by go test.
func TestCalm(t *testing.T) { checkertest.Run(t, calm{}) }

// One line in a test proves that a checker keeps the contract.
func ExampleRun() {
	always := func(string, string) (bool, error) { return true, nil }
	fmt.Println(testing.RunTests(always, []testing.InternalTest{{Name: "TestCalm", F: TestCalm}}))
	// Output: true
}
