//go:build !unix

package config

import "io/fs"

// readableByOthers is never known where modes do not tell it.
func readableByOthers(fs.FileMode) bool { return false }
