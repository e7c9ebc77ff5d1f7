//go:build !linux

package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	gopsutil "github.com/shirou/gopsutil/v3/process"
)

// lookUp asks the system who the process is. The error is fs.ErrNotExist, errZombie, or
// says what could not be read.
func lookUp(pid int) (process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p, err := gopsutil.NewProcessWithContext(ctx, int32(pid))
	if errors.Is(err, gopsutil.ErrorProcessNotRunning) {
		return process{}, fs.ErrNotExist
	}
	if err != nil {
		return process{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	if states, err := p.StatusWithContext(ctx); err == nil && slices.Contains(states, gopsutil.Zombie) {
		return process{}, errZombie
	}
	started, err := p.CreateTimeWithContext(ctx)
	if err != nil {
		return process{}, fmt.Errorf("read when process %d started: %w", pid, err)
	}
	executable, err := p.ExeWithContext(ctx)
	if err != nil {
		return process{}, fmt.Errorf("read which program process %d is: %w", pid, err)
	}
	return process{started: time.UnixMilli(started), executable: executable}, nil
}
