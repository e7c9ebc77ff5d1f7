//go:build unix

package config

import "io/fs"

// readableByOthers says whether others than the owner may read a file.
func readableByOthers(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }
