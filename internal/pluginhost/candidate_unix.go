//go:build unix

package pluginhost

import (
	"io/fs"
	"syscall"
)

const executableSuffix = ""

func executable(_ string, info fs.FileInfo) bool { return info.Mode()&0o111 != 0 }

func notExecutableRemedy(path string) string { return "make it executable: chmod +x " + path }

// identity changes whenever the content of the file may have changed.
func identity(info fs.FileInfo) fileIdentity {
	id := fileIdentity{size: info.Size(), modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.inode, id.device = st.Ino, uint64(st.Dev)
		id.changed = changeTime(st)
	}
	return id
}
