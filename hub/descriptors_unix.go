//go:build unix

package hub

import "golang.org/x/sys/unix"

// descriptorLimit returns how many files this process may open, or 0 when that is
// not known.
func descriptorLimit() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	const most = 1 << 30 // "unlimited" on some systems does not fit
	return int64(min(uint64(limit.Cur), most))
}
