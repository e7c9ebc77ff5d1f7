package instance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/problem"
)

// Options of Open.
type Options struct {
	// Logger for what Open and Keep find; nil: nothing is logged.
	Logger hclog.Logger
	// TempDir is where the sockets go when the state directory's path is too
	// long for them; empty: os.TempDir, and /tmp where that is too long itself.
	TempDir string
	// Port of the host that wants the directory, for the message that refuses
	// it; 0 when it is not known yet.
	Port int
}

// Instance is this host's hold on its state directory. Its methods are safe
// for concurrent use.
type Instance struct {
	log       hclog.Logger
	dir       string
	socketDir string
	leftovers []Leftover
	keepEvery time.Duration

	mu      sync.Mutex
	lock    *flock.Flock
	pidPath string // of the PID file; empty: none is written yet
	pidData []byte
	created time.Time // of the first PID file
	closed  bool
}

// Leftover is a PID file that an earlier host left behind.
type Leftover struct {
	Path string
	// Info is what could be read of it.
	Info Info
	// Status and Reasons say why nobody is running behind it; see StaleError.
	Status  Staleness
	Reasons []string
}

// Problem explains it to people, as that of StaleError does.
func (l Leftover) Problem() *problem.Error {
	return (&StaleError{Path: l.Path, PID: l.Info.PID, Status: l.Status, Reasons: l.Reasons}).Problem()
}

// Open takes the state directory at dir, which it creates if need be (mode
// 0700), and holds its lock until Close. It removes what earlier hosts left and
// answers within a second. The error is a *problem.Error: daemon_conflict when
// another host holds the directory, which is then as it was, and
// state_dir_unusable when the directory cannot be used.
func Open(dir string, opts Options) (*Instance, error) {
	i := &Instance{log: opts.Logger, keepEvery: keepEvery}
	if i.log == nil {
		i.log = hclog.NewNullLogger()
	}
	temps := []string{opts.TempDir}
	if opts.TempDir == "" {
		temps = temporary()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, unusableFor(dir, err)
	}
	if i.dir, err = makeDirectory(dir); err != nil {
		return nil, err
	}
	if i.lock, err = takeLock(i.dir, opts.Port); err != nil {
		return nil, err
	}
	if err := i.settle(temps, opts.Port); err != nil {
		_ = i.lock.Unlock()
		return nil, err
	}
	return i, nil
}

// settle makes the directory, whose lock is held, ours.
func (i *Instance) settle(temps []string, port int) error {
	// The lock may be new because somebody removed the old one under a host
	// that is still there.
	if info, err := Running(i.dir); err == nil && info.PID != os.Getpid() {
		return conflict(i.dir, port, &info)
	}
	open, err := secureDirectory(i.dir)
	if err != nil {
		return err
	}
	if open {
		i.log.Warn("state directory was open to other users, is not any more", "path", i.dir)
	}
	var sockets []string
	for _, path := range pidFiles(i.dir) {
		left := Leftover{Path: path, Status: StalePIDFile, Reasons: []string{"an earlier host of this process wrote it"}}
		left.Info, err = ReadPID(path)
		if err == nil {
			err = left.Info.Verify()
		}
		if stale, ok := errors.AsType[*StaleError](err); ok {
			left.Status, left.Reasons = stale.Status, stale.Reasons
		}
		sockets = append(sockets, left.Info.SocketDir)
		if err := clearAway(path); err != nil {
			return unusableFor(i.dir, err)
		}
		i.leftovers = append(i.leftovers, left)
	}
	unfinished, _ := filepath.Glob(filepath.Join(i.dir, unfinishedPattern))
	for _, path := range unfinished {
		_ = os.Remove(path)
	}
	for _, path := range sweepSocketDirs(i.dir, temps, sockets) {
		i.log.Info("removed the sockets of an earlier host", "path", path)
	}
	i.socketDir, err = makeSocketDir(i.dir, temps)
	return err
}

// clearAway removes what is in the way of a PID file: a file, a link (never what
// it points to), or whatever else. What cannot be removed is moved aside.
func clearAway(path string) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if os.Rename(path, fmt.Sprintf("%s.aside-%d", path, time.Now().UnixNano())) == nil {
		return nil
	}
	return err
}

// Dir is the state directory's absolute path, without symbolic links.
func (i *Instance) Dir() string { return i.dir }

// SocketDir is the folder for unix sockets: the state directory, or a private
// temporary folder when a path in there would be too long for the kernel.
func (i *Instance) SocketDir() string { return i.socketDir }

// Leftovers are the PID files of earlier hosts that Open found and removed.
func (i *Instance) Leftovers() []Leftover { return i.leftovers }

// unfinishedPattern matches PID files that were being written when a host died.
const unfinishedPattern = ".host-*.pid.*"

// ErrClosed is returned when the instance was closed before.
var ErrClosed = errors.New("the state directory was let go of before")

// WritePID writes the PID file host-<port>.pid, in one step and safe from power
// loss; the fields that concern this process are filled in. It may be called
// again when facts change; a changed port moves the file. On an error, a
// *problem.Error or ErrClosed, the earlier file is as it was.
func (i *Instance) WritePID(info Info) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return ErrClosed
	}
	info.CreatedAt = i.created
	if err := info.identify(time.Now()); err != nil {
		return unusable(i.dir, err.Error(), err, "make sure that host may look at its own process (/proc)")
	}
	info.StateDir, info.SocketDir = i.dir, i.socketDir
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return unusable(i.dir, err.Error(), err, "report this: it is a bug")
	}
	data = append(data, '\n')
	path := filepath.Join(i.dir, fmt.Sprintf("host-%d.pid", info.Port))
	if err := replaceFile(path, data); err != nil {
		return unusableFor(i.dir, err)
	}
	if i.pidPath != "" && i.pidPath != path {
		i.removePID()
	}
	i.pidPath, i.pidData, i.created = path, data, info.CreatedAt
	return nil
}

// replaceFile puts data at path, which at any moment, also after a power
// failure, is either the file before or the one after.
func replaceFile(path string, data []byte) (err error) {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+name+".*") // 0600; a new file, so no link is followed
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// pidStands says whether the PID file is the one that we wrote.
func (i *Instance) pidStands() bool {
	f, err := os.OpenFile(i.pidPath, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	if stat, err := f.Stat(); err != nil || !stat.Mode().IsRegular() || stat.Size() != int64(len(i.pidData)) {
		return false
	}
	data := make([]byte, len(i.pidData))
	n, _ := f.ReadAt(data, 0)
	return n == len(data) && bytes.Equal(data, i.pidData)
}

// removePID removes the PID file unless somebody has put another in its place.
func (i *Instance) removePID() {
	if i.pidPath != "" && i.pidStands() {
		_ = os.Remove(i.pidPath)
	}
}

// Close removes the PID file if it is still ours and the temporary socket
// folder, and lets go of the lock. The lock file stays. Calls after the first
// do nothing.
func (i *Instance) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil
	}
	i.closed = true
	i.removePID()
	if i.socketDir != i.dir {
		_ = os.RemoveAll(i.socketDir)
	}
	if err := i.lock.Unlock(); err != nil {
		return fmt.Errorf("let go of the lock %s: %w", i.lock.Path(), err)
	}
	return nil
}
