//go:build !unix

package child

import (
	"os"
	"syscall"
)

func sysProcAttr() *syscall.SysProcAttr { return nil }

func keepInherited() {}

func awaitDeath(p *os.Process) (*os.ProcessState, error) { return p.Wait() }

// Without process groups the child alone is ended, by Process.Kill, and asked to
// end by the end of its standard input.
func killGroup(int)      {}
func terminateGroup(int) {}

func duplicate(f *os.File) (*os.File, error) {
	return nil, &os.PathError{Op: "duplicate", Path: f.Name(), Err: syscall.EWINDOWS}
}
