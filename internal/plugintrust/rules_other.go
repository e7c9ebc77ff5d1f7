//go:build !unix

package plugintrust

import "io/fs"

const openAtOnce = 0

// Access knows no owners here; the directory's own protection applies.
func Access(fs.FileInfo) (world, group bool, stranger string) { return false, false, "" }

func readableByOthers(fs.FileMode) bool { return false }
