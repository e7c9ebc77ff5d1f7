package instance

import (
	"context"
	"os"
	"time"
)

// keepEvery is how often Keep looks; what was deleted is back after twice that
// time at the latest.
const keepEvery = 5 * time.Second

// Keep puts the PID file and the lock back, within 15 s, when somebody deletes
// or replaces them; what cannot be put back is logged and tried again. It blocks
// until ctx ends or the instance is closed, and returns nil.
func (i *Instance) Keep(ctx context.Context) error {
	tick := time.NewTicker(i.keepEvery)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		open, err := i.restore()
		if !open {
			return nil
		}
		if err != nil && !failed { // told once, not every 5 s
			i.log.Error("cannot put back what was removed from the state directory", "path", i.dir, "error", err)
		}
		failed = err != nil
	}
}

// restore looks once and puts back what is missing. It says whether the
// instance is still open.
func (i *Instance) restore() (open bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return false, nil
	}
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return true, err
	}
	if !lockStands(i.lock) {
		lock, err := tryLock(i.dir)
		if err != nil {
			return true, err
		}
		if lock == nil {
			return true, conflict(i.dir, 0, nil)
		}
		_ = i.lock.Unlock()
		i.lock = lock
		i.log.Warn("the lock file was removed, holding a new one", "path", lock.Path())
	}
	if i.pidPath == "" || i.pidStands() {
		return true, nil
	}
	if err := clearAway(i.pidPath); err != nil {
		return true, err
	}
	if err := replaceFile(i.pidPath, i.pidData); err != nil {
		return true, err
	}
	i.log.Warn("the PID file was removed or changed, wrote it again", "path", i.pidPath)
	return true, nil
}
