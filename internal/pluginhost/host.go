package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Host finds the plugins of one directory and keeps them alive.
type Host struct {
	opts      Options
	instances []*Instance // sorted by name
	skipped   []Skipped
	started   chan struct{} // closed by the last instance whose first start ended
	pending   sync.WaitGroup
}

// New finds the plugins and makes the folder for their sockets; it starts
// nothing. The error is a *DirectoryError when the plugin directory cannot be
// used, or names every mistake in the options.
func New(o Options) (*Host, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	found, skipped, err := Discover(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := prepareRuntimeDir(o.RuntimeDir); err != nil {
		return nil, err
	}
	h := &Host{opts: o, skipped: skipped, started: make(chan struct{})}
	checks := &checkNames{owners: map[string]*Instance{}}
	known := map[string]bool{}
	for _, c := range found {
		known[c.Name] = true
		if enabled := o.Settings[c.Name].Enabled; enabled != nil && !*enabled {
			h.skipped = append(h.skipped, Skipped{c.Name, "is switched off in the configuration", "set plugins." + c.Name + ".enabled to true to use it"})
			continue
		}
		h.pending.Add(1)
		h.instances = append(h.instances, newInstance(len(h.instances), c, &h.opts, checks, h.pending.Done))
	}
	for _, s := range skipped {
		known[s.Name] = true
	}
	for name := range o.Settings {
		if !known[name] {
			h.skipped = append(h.skipped, Skipped{name, "is configured, but " + o.Dir + " holds no such plugin", "correct the name in the configuration, or install the plugin"})
		}
	}
	slices.SortFunc(h.skipped, func(a, b Skipped) int { return strings.Compare(a.Name, b.Name) })
	return h, nil
}

// prepareRuntimeDir makes the folder and removes what an earlier host left.
func prepareRuntimeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for the plugins' sockets: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("make the folder for the plugins' sockets: %w", err)
	}
	if _, _, stranger := access(info); !info.IsDir() || stranger != "" {
		return fmt.Errorf("the folder for the plugins' sockets, %s, is a link or belongs to somebody else: remove it", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("protect the folder for the plugins' sockets: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "plugin-dir*"))
	if err != nil {
		return fmt.Errorf("look for old sockets in %s: %w", dir, err)
	}
	for _, old := range left {
		if err := os.RemoveAll(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old sockets: %w", err)
		}
	}
	return nil
}

// Run starts all plugins in parallel and keeps them alive until ctx ends. It
// returns when no process is left, within StopTimeout and half a second. It is
// called once. A plugin that does not start is no error: see Plugins.
func (h *Host) Run(ctx context.Context) error {
	for _, s := range h.skipped {
		h.opts.Log.Warn("plugin skipped", "plugin", s.Name, "reason", s.Reason, "hint", s.Remedy)
	}
	var running sync.WaitGroup
	for _, i := range h.instances {
		for _, w := range i.candidate.Warnings {
			h.opts.Log.Warn("plugin may be exchanged by others", "plugin", i.name, "reason", w)
		}
		running.Go(func() { i.run(ctx) })
	}
	h.pending.Wait()
	close(h.started)
	running.Wait()
	return nil
}

// Started is closed once the first start of every plugin has succeeded or
// failed; at most StartTimeout and a second after Run began.
func (h *Host) Started() <-chan struct{} { return h.started }

// Plugins gives all plugins as they are now, sorted by name.
func (h *Host) Plugins() []Snapshot {
	all := make([]Snapshot, len(h.instances))
	for n, i := range h.instances {
		all[n] = i.Snapshot()
	}
	return all
}

// Skipped gives the entries of the directory that are not started, and the
// configured plugins that do not exist, sorted by name.
func (h *Host) Skipped() []Skipped { return slices.Clone(h.skipped) }

// Instance gives the plugin of that name; the error is an ErrUnknownPlugin that
// names those there are.
func (h *Host) Instance(name string) (*Instance, error) {
	var names []string
	for _, i := range h.instances {
		if i.name == name {
			return i, nil
		}
		names = append(names, i.name)
	}
	return nil, fmt.Errorf("%w: %q; there are: %s", ErrUnknownPlugin, name, strings.Join(names, ", "))
}

// OfKind gives the plugins that have said that they are of that kind, sorted by
// name; running or not. One that has never started has not said anything.
func (h *Host) OfKind(k Kind) []*Instance {
	var of []*Instance
	for _, i := range h.instances {
		if i.Snapshot().Info.Is(k) {
			of = append(of, i)
		}
	}
	return of
}

// Strategy gives the recovery plugin that a configuration means by name:
// "graded" is the plugin recovery-graded, or the name is the plugin's own.
func (h *Host) Strategy(name string) (*Instance, error) {
	i, err := h.Instance("recovery-" + name)
	if err == nil {
		return i, nil
	}
	return h.Instance(name)
}
