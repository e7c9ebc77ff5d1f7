package main

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/instance"
)

// remember keeps an error for host explain --guide: in the state directory that
// it is about, or, where that is another host's or cannot be written, in the
// user's cache folder, which keeps the last of those. Mistakes on the command
// line and questions to a host that does not run are not worth it. It creates no
// state directory, and what cannot be kept is no second trouble.
func (c *cli) remember(err error) {
	told, ok := errors.AsType[*problem.Error](err)
	if !ok || slices.Contains([]string{problem.Usage, problem.NotRunning, problem.NotFound, problem.Interrupted}, told.Code) {
		return
	}
	dir, err := instance.Resolve(c.stateDir, c.getenv, cmp.Or(c.port, defaultPort))
	if where, placed := c.place(); placed == nil {
		dir, err = where.dir, nil
	}
	if err != nil {
		return
	}
	// The loser of a conflict leaves everything of the winner as it is.
	if told.Code != problem.DaemonConflict && problem.SaveLast(dir, told) == nil {
		return
	}
	aside, err := c.aside()
	if err != nil || os.MkdirAll(aside, 0o700) != nil {
		return
	}
	kept := *told
	kept.Context = maps.Clone(told.Context)
	if kept.Context == nil {
		kept.Context = map[string]any{}
	}
	kept.Context["state_dir"] = dir
	_ = problem.SaveLast(aside, &kept)
}

// recall gives the last error that remember kept for the state directory dir.
// The error wraps fs.ErrNotExist when there is none.
func (c *cli) recall(dir string) (*problem.Error, error) {
	last, failed := problem.LoadLast(dir)
	folder, err := c.aside()
	if err != nil {
		return last, failed
	}
	aside, err := problem.LoadLast(folder)
	if err != nil || aside.Context["state_dir"] != dir || failed == nil && aside.At.Before(last.At) {
		return last, failed
	}
	return aside, nil
}

// aside is the folder for errors that no state directory keeps.
func (c *cli) aside() (string, error) {
	if c.memory == nil {
		return "", fs.ErrNotExist
	}
	base, err := c.memory()
	return filepath.Join(base, "upkeep"), err
}
