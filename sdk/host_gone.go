package sdk

import (
	"io"
	"io/fs"
	"os"
)

// watchInput calls gone when input ends. The host holds the other end of a pipe
// and never writes to it, so that its end, on every platform, means that the
// host is gone. What is no pipe (a terminal, /dev/null) says nothing and is left alone.
// The goroutine lives as long as the process.
func watchInput(input *os.File, gone func()) {
	about, err := input.Stat()
	if err != nil || about.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) == 0 {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, input)
		gone()
	}()
}
