//go:build linux

package pluginhost

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be a plugin, or a host of its own, when its
// first argument says so.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if mode, ok := strings.CutPrefix(os.Args[1], "be-plugin="); ok {
			bePlugin(mode)
			return
		}
		if os.Args[1] == "be-large" {
			hoard = bytes.Repeat([]byte{1}, 200<<20)
			fmt.Print("large")
			select {}
		}
		if dirs, ok := strings.CutPrefix(os.Args[1], "be-host="); ok {
			beHost(dirs)
			return
		}
	}
	goleak.VerifyTestMain(m)
}
