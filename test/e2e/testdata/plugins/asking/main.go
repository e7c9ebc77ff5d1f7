// Command asking is a plugin that asks the very host that asks it, and writes
// down each check that it made.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/upkeephub/upkeep/sdk"
)

// version is set by the linker.
var version = "0.1.0"

type checker struct{}

// Check is healthy when host answers.
func (checker) Check(ctx context.Context, r sdk.Request) (sdk.Result, error) {
	log, err := os.OpenFile("checks.log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return sdk.Result{}, err
	}
	defer log.Close()
	if _, err := fmt.Fprintln(log, version, r.CheckID); err != nil {
		return sdk.Result{}, err
	}
	url := "http://" + net.JoinHostPort(r.Target.Host, strconv.Itoa(r.Target.Port)) + "/health"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return sdk.Result{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return sdk.Result{}, err
	}
	return sdk.Result{Status: sdk.Healthy, Message: "host says " + res.Status}, res.Body.Close()
}

func main() { sdk.Serve(sdk.Info{Name: "asking", Version: version}, checker{}) }
