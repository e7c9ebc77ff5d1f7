//go:build unix

package doctor

import "golang.org/x/sys/unix"

// descriptorLimit is how many files a process may have open.
func descriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return uint64(limit.Max), nil
}
