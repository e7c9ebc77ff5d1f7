package instance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// lockName is the file whose lock says that a host runs. It stays for ever: if
// it were removed, two hosts could hold locks on two files of the same name.
const lockName = "host.lock"

// tryLock takes the lock of the directory without waiting. Without an error and
// without a lock, another process holds it.
func tryLock(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, lockName)
	for range 10 {
		lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|noFollow), flock.SetPermissions(0o600))
		held, err := lock.TryLock()
		if errors.Is(err, syscall.ELOOP) {
			return nil, unusable(dir, fmt.Sprintf("%s is a symbolic link", path), err, "look who made it, then remove it")
		}
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK) {
			return nil, unusable(dir, "its file system has no locks", err, "name a directory on a local disk: --state-dir DIR")
		}
		if err != nil {
			return nil, unusableFor(dir, err)
		}
		if !held {
			return nil, nil
		}
		if lockStands(lock) {
			return lock, nil
		}
		_ = lock.Unlock() // somebody removed the file between our opening and locking it
	}
	return nil, unusable(dir, fmt.Sprintf("%s is removed again and again", path), nil, "find out who does that, and stop it")
}

// lockStands says whether the locked file is still the one that others would lock.
func lockStands(lock *flock.Flock) bool {
	if runtime.GOOS == "windows" { // a locked file cannot be removed there
		return true
	}
	held, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(lock.Path())
	return err == nil && os.SameFile(held, there)
}

const (
	// conflictPatience is how long a second host waits, for the first to end or
	// to say who it is.
	conflictPatience = 700 * time.Millisecond
	conflictPause    = 20 * time.Millisecond
)

// takeLock takes the lock, or finds out who holds it.
func takeLock(dir string, port int) (*flock.Flock, error) {
	for deadline := time.Now().Add(conflictPatience); ; time.Sleep(conflictPause) {
		lock, err := tryLock(dir)
		if lock != nil || err != nil {
			return lock, err
		}
		if info, err := Running(dir); err == nil {
			return nil, conflict(dir, port, &info)
		}
		if time.Now().After(deadline) {
			return nil, conflict(dir, port, nil)
		}
	}
}
