//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// detach gives a child a session of its own, so that neither a closed terminal
// nor Ctrl-C reaches it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
