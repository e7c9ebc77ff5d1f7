package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// ownGroup does nothing: a tree of processes is found by its parents.
func ownGroup(*exec.Cmd) {}

// killGroup kills the program and what it started.
func killGroup(p *os.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, "taskkill", "/T", "/F", "/PID", strconv.Itoa(p.Pid)).Run(); err != nil {
		return p.Kill()
	}
	return nil
}

// killLeft does nothing: the parent by which they could be found is gone.
func killLeft(*os.Process) {}
