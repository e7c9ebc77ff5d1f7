//go:build unix

package pluginhost

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

const executableSuffix = ""

func executable(_ string, info fs.FileInfo) bool { return info.Mode()&0o111 != 0 }

func notExecutableRemedy(path string) string { return "make it executable: chmod +x " + path }

// access says who besides us may write. stranger is the owner when it is
// neither us nor root.
func access(info fs.FileInfo) (world, group bool, stranger string) {
	mode := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		stranger = "user " + strconv.FormatUint(uint64(st.Uid), 10)
	}
	return mode&0o002 != 0, mode&0o020 != 0, stranger
}

// identity changes whenever the content of the file may have changed.
func identity(info fs.FileInfo) fileIdentity {
	id := fileIdentity{size: info.Size(), modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.inode, id.device = st.Ino, uint64(st.Dev)
		id.changed = changeTime(st)
	}
	return id
}
