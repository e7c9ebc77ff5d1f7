//go:build !unix

package instance

import (
	"io/fs"
	"os"
	"strconv"
)

// noFollow: there is no such flag; links need a privilege of their own there.
const noFollow = 0

// owner: a user's folders are protected by access lists, which are not judged here.
func owner(fs.FileInfo) (uid int, ours bool) { return -1, true }

func permissive(fs.FileMode) bool { return false }

func syncDirectory(string) error { return nil }

func stopCommand(pid int) string { return "taskkill /PID " + strconv.Itoa(pid) }

func temporary() []string { return []string{os.TempDir()} }
