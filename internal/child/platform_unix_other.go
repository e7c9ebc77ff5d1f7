//go:build unix && !linux

package child

import (
	"os"
	"syscall"
)

// There is no parent-death signal here: the end of standard input tells the child.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func keepInherited() {}

// awaitDeath reaps, for want of a portable way to wait without reaping. What is
// left of the group keeps its id taken, so killing it afterwards is still right.
func awaitDeath(p *os.Process) (*os.ProcessState, error) { return p.Wait() }
