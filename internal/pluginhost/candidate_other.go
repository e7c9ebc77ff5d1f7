//go:build !unix

package pluginhost

import (
	"io/fs"
	"strings"
)

const executableSuffix = ".exe"

func executable(path string, _ fs.FileInfo) bool {
	return strings.HasSuffix(strings.ToLower(path), executableSuffix)
}

func notExecutableRemedy(string) string { return "a plugin ends in .exe on this platform" }

// access knows no owners here; the directory's own protection applies.
func access(fs.FileInfo) (world, group bool, stranger string) { return false, false, "" }

func identity(info fs.FileInfo) fileIdentity {
	return fileIdentity{size: info.Size(), modified: info.ModTime()}
}
