package sdk

import (
	"os"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// stderr is the real one: once a plugin serves, go-plugin replaces os.Stderr,
// see restoreOutput.
var stderr = os.Stderr

var logger = sync.OnceValue(func() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: stderr, JSONFormat: true})
})

// Logger returns the plugin's logger. It writes to standard error in the form
// in which the host keeps level and fields. The message should be a constant
// phrase, the facts its key and value arguments.
func Logger() hclog.Logger { return logger() }
