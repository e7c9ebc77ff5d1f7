//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup has a program lead a process group of its own, so that all of it
// can be killed, and die with this process where the kernel offers that.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
}

// killGroup kills the program and what it started.
func killGroup(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }

// killLeft kills what a program that has ended left behind in its group. Its id
// is not given to a stranger so soon: the kernel counts up.
func killLeft(p *os.Process) { _ = killGroup(p) }
