//go:build unix && !linux

package app

import (
	"os"

	"golang.org/x/sys/unix"
)

// redirect makes the descriptor of f refer to what to refers to.
func redirect(f, to *os.File) error { return unix.Dup2(int(to.Fd()), int(f.Fd())) }
