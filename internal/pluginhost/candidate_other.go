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

func identity(info fs.FileInfo) fileIdentity {
	return fileIdentity{size: info.Size(), modified: info.ModTime()}
}
