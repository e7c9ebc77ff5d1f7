//go:build !linux

package child

import (
	"errors"
	"fmt"
)

// ReadStat is errors.ErrUnsupported on this platform.
func ReadStat(pid int) (Stat, error) {
	return Stat{}, fmt.Errorf("read the state of process %d: %w", pid, errors.ErrUnsupported)
}

// Runnable is false on this platform.
func Runnable(int) bool { return false }
