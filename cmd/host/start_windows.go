package main

import (
	"os/exec"
	"syscall"
)

// detachedProcess is DETACHED_PROCESS: no console.
const detachedProcess = 0x8

// detach takes a child off the console, so that neither closing it nor Ctrl-C
// reaches the child.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | detachedProcess}
}
