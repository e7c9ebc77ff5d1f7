package eventlog

import "os"

// replaceFile puts the file at path+".new" in the place of the one at path, which is
// open in *old. Here both have to be closed for that.
func replaceFile(path string, file *os.File, old **os.File) error {
	if *old != nil {
		_ = (*old).Close()
		*old = nil
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	again, err := os.OpenFile(path, os.O_RDWR, 0o600)
	*old = again
	return err
}
