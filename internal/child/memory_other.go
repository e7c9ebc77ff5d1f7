//go:build !linux

package child

import "github.com/shirou/gopsutil/v3/process"

// Memory is what the process holds resident, in bytes; its descendants do not
// count on this platform.
func Memory(pid int) (uint64, error) {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return 0, err
	}
	info, err := p.MemoryInfo()
	if err != nil {
		return 0, err
	}
	return info.RSS, nil
}
