//go:build unix

package main_test

import (
	"os"
	"syscall"
)

// stopIsClean says that a stopped server ends with success.
const stopIsClean = true

func stop(server *os.Process) error { return server.Signal(syscall.SIGTERM) }
