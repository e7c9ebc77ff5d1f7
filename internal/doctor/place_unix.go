//go:build unix

package doctor

import (
	"io/fs"
	"os"
	"syscall"
)

// ours says whether the file belongs to the user that we run as.
func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// open says whether anybody but the owner has any right.
func open(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }
