//go:build unix

package plugintrust

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// openAtOnce keeps the opening of a fifo from waiting for a writer.
const openAtOnce = syscall.O_NONBLOCK

// Access says who besides us may write. stranger is the owner when it is
// neither us nor root.
func Access(info fs.FileInfo) (world, group bool, stranger string) {
	mode := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		stranger = "user " + strconv.FormatUint(uint64(st.Uid), 10)
	}
	return mode&0o002 != 0, mode&0o020 != 0, stranger
}

func readableByOthers(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }
