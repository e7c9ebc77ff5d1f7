package app

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"gopkg.in/natefinch/lumberjack.v2"
)

// ownLogName is the file in the state directory that host start redirects the
// output of a host in the background to.
const ownLogName = "host.log"

// newLog makes the log that the configuration asks for: on standard error, or in
// a file of mode 0600 that is put aside when it is full.
func (a *App) newLog() hclog.Logger {
	c := a.cfg.Logging
	var out io.Writer
	if c.File != "" {
		file := rotating(c.File, c.MaxSizeMB, c.BackupCount)
		a.onStop("log file", file.Close)
		out = file
	} else {
		a.stderr = &redirected{out: a.opts.Stderr}
		out = a.stderr
	}
	return hclog.New(&hclog.LoggerOptions{Name: "host", Level: hclog.LevelFromString(c.Level), Output: out, JSONFormat: c.Format == "json"})
}

func rotating(path string, maxSizeMB, backups int) *lumberjack.Logger {
	return &lumberjack.Logger{Filename: path, MaxSize: maxSizeMB, MaxBackups: backups}
}

// rotateOwnLog has host.log put aside when it is full, as a configured log file
// is, if that is where our standard error goes: nobody else could do it while we
// run. Elsewhere standard error is left alone.
func (a *App) rotateOwnLog() error {
	if a.stderr == nil {
		return nil
	}
	file, isFile := a.opts.Stderr.(*os.File)
	path := filepath.Join(a.instance.Dir(), ownLogName)
	there, err := os.Lstat(path)
	if !isFile || err != nil || !there.Mode().IsRegular() {
		return nil
	}
	if ours, err := file.Stat(); err != nil || !os.SameFile(there, ours) {
		return nil
	}
	all := []*os.File{file}
	if out, isFile := a.opts.Stdout.(*os.File); isFile && out != file {
		if info, err := out.Stat(); err == nil && os.SameFile(there, info) {
			all = append(all, out)
		}
	}
	c := a.cfg.Logging
	a.stderr.rotateWith(&ownLog{
		path: path, size: there.Size(), most: int64(c.MaxSizeMB) << 20, files: all, rotate: rotating(path, c.MaxSizeMB, c.BackupCount),
	})
	return nil
}

// redirected is standard error, which may be a file that has to be put aside when
// it is full. It is safe for concurrent use.
type redirected struct {
	out io.Writer

	mu  sync.Mutex
	own *ownLog // nil: not ours to put aside
}

func (r *redirected) rotateWith(own *ownLog) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own = own
}

// Write writes one line.
func (r *redirected) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own != nil {
		r.own.makeRoom(len(line))
	}
	return r.out.Write(line)
}

// ownLog is a file that descriptors of ours were opened on before we began, and
// that is written to through them alone, so that all that this process says,
// also when it panics, stands in one file and in its order.
type ownLog struct {
	path       string
	size, most int64
	files      []*os.File // whose descriptors refer to it
	rotate     *lumberjack.Logger
}

// makeRoom puts the file aside if the line does not fit any more.
func (l *ownLog) makeRoom(line int) {
	l.size += int64(line)
	if l.size <= l.most || l.size == int64(line) {
		return
	}
	l.size = int64(line) // also when it fails: to be tried again when as much more was written
	if err := l.putAside(); err != nil {
		fmt.Fprintf(l.files[0], "host: the log %s could not be put aside: %v\n", l.path, err)
	}
}

func (l *ownLog) putAside() error {
	if err := l.rotate.Rotate(); err != nil {
		return err
	}
	if err := l.rotate.Close(); err != nil {
		return err
	}
	fresh, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { _ = fresh.Close() }()
	for _, f := range l.files {
		if err := redirect(f, fresh); err != nil {
			return fmt.Errorf("let descriptor %d follow: %w", f.Fd(), err)
		}
	}
	return nil
}
