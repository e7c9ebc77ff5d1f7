package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// lastName is the file of a state directory that holds the last error.
const lastName = "last-error.json"

// maxLast is how long that file may be.
const maxLast = 64 << 10

// SaveLast keeps e as the last error of the state directory dir, in one step and
// for its owner only (0600). It creates no directory; a context that makes the
// error longer than 64 KiB is left out.
func SaveLast(dir string, e *Error) error {
	data, err := json.MarshalIndent(e, "", "  ")
	if err == nil && len(data) > maxLast {
		short := *e
		short.Context, short.Details = nil, nil
		short.Why = clean(e.why(), 4000)
		short.Steps = e.Steps[:min(len(e.Steps), 20)]
		data, err = json.MarshalIndent(&short, "", "  ")
	}
	if err == nil && len(data) > maxLast {
		err = fmt.Errorf("it has more than %d bytes", maxLast)
	}
	if err != nil {
		return fmt.Errorf("write the error %s as JSON: %w", e.Code, err)
	}
	f, err := os.CreateTemp(dir, "."+lastName+".*") // 0600; a new file, so no link is followed
	if err != nil {
		return fmt.Errorf("keep the last error: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, lastName))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("keep the last error: %w", err)
	}
	return nil
}

// LoadLast gives the last error of the state directory dir. The error wraps
// fs.ErrNotExist when there is none. It follows no link and reads at most 64 KiB.
func LoadLast(dir string) (*Error, error) {
	path := filepath.Join(dir, lastName)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: it is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return nil, fmt.Errorf("read %s: it was exchanged meanwhile: %w", path, fs.ErrNotExist)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxLast+2))
	if err != nil {
		return nil, err
	}
	if len(data) > maxLast+1 {
		return nil, fmt.Errorf("read %s: it has more than %d bytes", path, maxLast)
	}
	var e Error
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if _, known := PageOf(e.Code); !known {
		return nil, fmt.Errorf("read %s: it holds no error of this version of host", path)
	}
	return &e, nil
}
