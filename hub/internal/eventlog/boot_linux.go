package eventlog

import (
	"encoding/hex"
	"os"
	"strings"
)

// bootID tells one run of the machine from the next, so that a log that was not
// closed is trusted when only processes died, and not when the power failed.
func bootID() (id [16]byte) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		_, _ = hex.Decode(id[:], []byte(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")))
	}
	return id
}
