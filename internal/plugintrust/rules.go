package plugintrust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Refusal is why something on disk is not run.
type Refusal struct {
	// Reason says what is wrong, and Remedy in one imperative sentence what to do.
	Reason, Remedy string
}

func (r *Refusal) Error() string { return r.Reason }

// Hint is the remedy.
func (r *Refusal) Hint() string { return r.Remedy }

// Judge judges owner and permissions of a file or folder. It gives a warning,
// which is empty when all is well, or the reason why nothing in there is run.
// Where the platform knows no owners and permissions, all is well.
func Judge(path string, info fs.FileInfo) (warning string, refusal *Refusal) {
	what := "file"
	if info.IsDir() {
		what = "folder"
	}
	world, group, stranger := Access(info)
	switch {
	case world:
		return "", &Refusal{fmt.Sprintf("anybody may write to its %s %s", what, path), "run: chmod o-w " + path}
	case stranger != "":
		return "", &Refusal{fmt.Sprintf("its %s %s belongs to %s, neither to the user that runs host nor to root", what, path, stranger),
			"run: chown root " + path}
	case group:
		return fmt.Sprintf("its group may write to the %s %s", what, path), nil
	}
	return "", nil
}

// Open opens a regular file for reading, following links. It never waits for the
// other end of a fifo. The error names what is there instead of a file.
func Open(path string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|openAtOnce, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file (%s)", path, KindOf(info.Mode()))
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// KindOf is what a mode that is no file's means to people, e.g. "a fifo".
func KindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeNamedPipe != 0:
		return "a fifo"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return mode.String()
}

// cause drops the path that *fs.PathError repeats.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
