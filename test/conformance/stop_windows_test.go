package main_test

import "os"

// stopIsClean is false where a process can only be killed.
const stopIsClean = false

func stop(server *os.Process) error { return server.Kill() }
