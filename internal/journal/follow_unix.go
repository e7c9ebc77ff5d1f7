//go:build unix

package journal

import (
	"errors"
	"syscall"
)

// noFollow has open refuse a symbolic link.
const noFollow = syscall.O_NOFOLLOW

// canNotSyncDir says whether an error means that the file system has no such thing.
func canNotSyncDir(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)
}
