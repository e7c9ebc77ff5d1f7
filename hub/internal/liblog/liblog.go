// Package liblog owns the log output of the Socket.IO library. The library's
// loggers keep the writer that was current while its packages were initialised,
// so this package, which imports nothing of the library but its log package, is
// initialised before them and puts its own writer there: Go initialises packages
// in the order of their import paths as soon as their imports are ready, and
// "github.com/upkeephub" sorts before "github.com/zishang520". Nothing the library
// says reaches standard error unless a sink lets it. It owns no goroutine.
package liblog

import (
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/zishang520/socket.io/v3/pkg/log"
)

// maxEntry bounds how much of one message is handed on, in bytes.
const maxEntry = 4096

// sink is where messages go; nil drops them. It is the one package variable,
// because the library's loggers are package variables too.
var sink atomic.Pointer[func(string)]

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

type writer struct{}

func init() { log.Output = writer{} }

// Write hands one message of the library to the sink. It never fails.
func (writer) Write(p []byte) (int, error) {
	if fn := sink.Load(); fn != nil {
		text := colours.ReplaceAllString(string(p[:min(len(p), maxEntry)]), "")
		(*fn)(strings.TrimSpace(text))
	}
	return len(p), nil
}

// SetSink sets where the library's messages go, without colours and cut to 4096
// bytes; nil drops them, which is also what happens before the first call. The
// sink is called on the goroutine that logs and must not block.
func SetSink(fn func(message string)) {
	if fn == nil {
		sink.Store(nil)
		return
	}
	sink.Store(&fn)
}
