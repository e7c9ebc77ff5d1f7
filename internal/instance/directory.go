package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/upkeephub/upkeep/core/problem"
)

// unusable is the problem of a state directory that cannot be used.
func unusable(dir, why string, err error, steps ...string) error {
	return &problem.Error{
		Code: problem.StateDirUnusable, What: fmt.Sprintf("the state directory %s cannot be used", dir),
		Why: why, Steps: steps, Context: map[string]any{"state_dir": dir}, Err: err,
	}
}

const elsewhere = "or name another directory: --state-dir DIR"

// unusableFor explains an error of the file system.
func unusableFor(dir string, err error) error {
	path, cause := dir, err
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		path, cause = pathErr.Path, pathErr.Err
	}
	why := fmt.Sprintf("%s: %v", path, cause)
	switch {
	case errors.Is(err, syscall.EROFS):
		return unusable(dir, why, err, "name a directory on a disk that can be written: --state-dir DIR")
	case errors.Is(err, syscall.ENOSPC):
		return unusable(dir, why, err, "free some space on its disk, "+elsewhere)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return unusable(dir, fmt.Sprintf("%s: there is a file where a directory should be", path), err, "move that file away, "+elsewhere)
	case errors.Is(err, fs.ErrPermission):
		return unusable(dir, why, err, fmt.Sprintf("let user %d create and write it, %s", os.Geteuid(), elsewhere))
	}
	return unusable(dir, why, err, "name another directory: --state-dir DIR")
}

// maxPath is how long a path may be on Linux; elsewhere it is less.
const maxPath = 4095

// makeDirectory creates the state directory where it is absent, and refuses one
// that a stranger owns. It gives back the path without symbolic links.
func makeDirectory(dir string) (string, error) {
	if len(dir) > maxPath { // else folders are made until the system refuses one
		return "", unusable(dir, fmt.Sprintf("file name too long: its path has %d bytes, and %d are possible", len(dir), maxPath), syscall.ENAMETOOLONG,
			"name a directory with a shorter path: --state-dir DIR")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", unusableFor(dir, err)
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", unusableFor(dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", unusableFor(dir, err)
	}
	if uid, ours := owner(info); !ours {
		return "", unusable(dir, fmt.Sprintf("it belongs to user %d, and host runs as user %d: whoever owns it could replace what is in it", uid, os.Geteuid()), nil,
			"name a directory of your own, which may be a new one: --state-dir DIR")
	}
	if info.Mode().Perm()&0o700 != 0o700 { // without these not even the lock can be tried
		if err := os.Chmod(dir, info.Mode().Perm()|0o700); err != nil {
			return "", unusableFor(dir, err)
		}
	}
	return dir, nil
}

// secureDirectory takes the directory from everybody else, and says whether
// anybody else had it.
func secureDirectory(dir string) (open bool, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return false, unusableFor(dir, err)
	}
	if !permissive(info.Mode()) {
		return false, nil
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return true, unusableFor(dir, err)
	}
	return true, nil
}

// maxSocketDir is how long the path of the folder for sockets may be. Plugins
// have theirs up to 48 bytes further down (plugins/plugin-dirN/pluginN), and a
// socket's path must not be longer than 100: the kernel takes 107 bytes on
// Linux and 103 elsewhere.
const maxSocketDir = 52

// socketPrefix is what the names of temporary socket folders for the state
// directory begin with.
func socketPrefix(stateDir string) string {
	sum := sha256.Sum256([]byte(stateDir))
	return "upkeep-" + hex.EncodeToString(sum[:6]) + "-"
}

// makeSocketDir gives a folder in which sockets have paths that the kernel
// takes: the state directory itself, or a new private folder in one of temps.
func makeSocketDir(stateDir string, temps []string) (string, error) {
	if len(stateDir) <= maxSocketDir {
		return stateDir, nil
	}
	var failed error
	for _, temp := range temps {
		dir, err := os.MkdirTemp(temp, socketPrefix(stateDir)+"*") // 0700, and no one else's by construction
		if err == nil && len(dir) <= maxSocketDir {
			return dir, nil
		}
		if err == nil {
			_ = os.Remove(dir)
			err = fmt.Errorf("%s is too long, too", temp)
		}
		failed = errors.Join(failed, err)
	}
	return "", unusable(stateDir, fmt.Sprintf("its path is too long for sockets, and there is no place for them elsewhere: %v", failed), failed,
		"name a directory with a shorter path: --state-dir DIR", "or let TMPDIR name a folder with a short path that can be written")
}

// sweepSocketDirs removes temporary socket folders that earlier hosts of the
// state directory left: those in temps, and those that their PID files named.
// Only folders with the right name that nobody but us could write are touched.
func sweepSocketDirs(stateDir string, temps, named []string) []string {
	prefix := socketPrefix(stateDir)
	for _, temp := range temps {
		entries, _ := os.ReadDir(temp)
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), prefix) {
				named = append(named, filepath.Join(temp, entry.Name()))
			}
		}
	}
	var swept []string
	for _, dir := range named {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || permissive(info.Mode()) || !strings.HasPrefix(filepath.Base(dir), prefix) {
			continue
		}
		if _, ours := owner(info); ours && os.RemoveAll(dir) == nil {
			swept = append(swept, dir)
		}
	}
	return swept
}
