//go:build unix

package instance

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// noFollow are the flags with which files of the state directory are opened: a
// symbolic link is an error, and a pipe does not block.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// owner is the user that owns the file, and whether that is us.
func owner(info fs.FileInfo) (uid int, ours bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, false
	}
	return int(stat.Uid), int(stat.Uid) == os.Geteuid()
}

// permissive says whether anybody but the owner has any right.
func permissive(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }

// syncDirectory makes renames in the directory last.
func syncDirectory(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

func stopCommand(pid int) string { return "kill -TERM " + strconv.Itoa(pid) }

// temporary lists the folders for what is temporary, the best one first.
func temporary() []string { return []string{os.TempDir(), "/tmp"} }
