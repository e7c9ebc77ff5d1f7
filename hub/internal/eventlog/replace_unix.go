//go:build !windows

package eventlog

import "os"

// replaceFile puts the file at path+".new" in the place of the one at path, which is
// open in *old.
func replaceFile(path string, file *os.File, old **os.File) error {
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	if *old != nil {
		_ = (*old).Close()
	}
	*old = file
	return nil
}
