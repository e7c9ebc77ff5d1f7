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

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// Host finds the plugins of one directory and keeps them alive. All methods may
// be called from any goroutine.
type Host struct {
	opts    Options
	root    string // of the plugin directory, links resolved
	checks  *checkNames
	started chan struct{} // closed by Run when the first start of every plugin ended
	pending sync.WaitGroup
	// turn is taken by whoever adds, replaces, removes or configures plugins; it has
	// one place.
	turn  chan struct{}
	given Configuration // in force; whoever has the turn may use it

	mu        sync.Mutex
	instances []*Instance     // sorted by name
	skipped   []Skipped       // sorted by name
	running   context.Context // of Run; nil before it
	stopped   bool            // Run waits for work and starts no more
	work      sync.WaitGroup  // instances and reloads; grows only under mu while not stopped
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
	h := &Host{opts: o, started: make(chan struct{}), turn: make(chan struct{}, 1), checks: &checkNames{owners: map[string]*Instance{}}, given: Configuration{o.Settings, o.Thresholds, o.StrategyConfig}}
	if h.root, err = resolve(o.Dir); err != nil {
		return nil, err
	}
	h.opts.gate = &gate{policy: o.Trust, open: o.IgnoreLock}
	h.opts.gate.policy.Dir = h.root
	found, h.skipped = h.judge(found, skipped)
	for _, c := range found {
		h.pending.Add(1)
		h.instances = append(h.instances, newInstance(c, &h.opts, h.given, h.checks, h.pending.Done))
	}
	return h, nil
}

// judge lays the configuration over what was found: it leaves out what is
// switched off, and tells of what is missing.
func (h *Host) judge(found []Candidate, skipped []Skipped) ([]Candidate, []Skipped) {
	known := map[string]bool{}
	var use []Candidate
	for _, c := range found {
		known[c.Name] = true
		if enabled := h.given.Settings[c.Name].Enabled; enabled != nil && !*enabled {
			skipped = append(skipped, Skipped{c.Name, "is switched off in the configuration", "set plugins." + c.Name + ".enabled to true to use it"})
			continue
		}
		use = append(use, c)
	}
	for _, s := range skipped {
		known[s.Name] = true
	}
	if state, err := h.opts.gate.read(); err == nil { // else each plugin is refused with the reason
		for name := range state.Lock.Plugins {
			if !known[name] {
				known[name] = true
				skipped = append(skipped, Skipped{name, "is in " + plugintrust.LockName + ", but " + h.opts.Dir + " holds no such plugin",
					"install it again, or lock what is there: host plugins lock"})
			}
		}
	}
	for name := range h.given.Settings {
		if !known[name] {
			skipped = append(skipped, Skipped{name, "is configured, but " + h.opts.Dir + " holds no such plugin", "correct the name in the configuration, or install the plugin"})
		}
	}
	slices.SortFunc(skipped, func(a, b Skipped) int { return strings.Compare(a.Name, b.Name) })
	return use, skipped
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
	if _, _, stranger := plugintrust.Access(info); !info.IsDir() || stranger != "" {
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
	for _, s := range h.Skipped() {
		h.opts.Log.Warn("plugin skipped", "plugin", s.Name, "reason", s.Reason, "hint", s.Remedy)
	}
	for _, w := range h.Trust().Warnings {
		h.opts.Log.Warn("plugin may be exchanged by others", "reason", w)
	}
	h.mu.Lock()
	h.running = ctx
	for _, i := range h.instances {
		h.keepLocked(i)
	}
	h.work.Go(func() { h.follow(ctx) })
	h.mu.Unlock()
	h.pending.Wait()
	close(h.started)
	<-ctx.Done()
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.work.Wait()
	return nil
}

// keepLocked runs an instance until Run ends or the instance is cancelled. The
// lock is held, and Run has begun.
func (h *Host) keepLocked(i *Instance) {
	for _, w := range i.installed.candidate.Warnings {
		h.opts.Log.Warn("plugin may be exchanged by others", "plugin", i.name, "reason", w)
	}
	ctx, cancel := context.WithCancel(h.running)
	i.cancel = cancel
	h.work.Go(func() { defer cancel(); i.run(ctx) })
}

// Started is closed once the first start of every plugin has succeeded or
// failed; at most StartTimeout and a second after Run began.
func (h *Host) Started() <-chan struct{} { return h.started }

// Plugins gives all plugins as they are now, sorted by name.
func (h *Host) Plugins() []Snapshot {
	all := []Snapshot{}
	for _, i := range h.all() {
		all = append(all, i.Snapshot())
	}
	return all
}

func (h *Host) all() []*Instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.instances)
}

// Skipped gives the entries of the directory that are not started, and the
// configured plugins that do not exist, sorted by name.
func (h *Host) Skipped() []Skipped {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.skipped)
}

// Trust gives what the directory's lock said when it was last read: at New, when
// the directory was looked at again, and before each start of a plugin.
func (h *Host) Trust() Trust { return h.opts.gate.trust() }

// Instance gives the plugin of that name; the error is an ErrUnknownPlugin that
// names those there are.
func (h *Host) Instance(name string) (*Instance, error) {
	var names []string
	for _, i := range h.all() {
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
	for _, i := range h.all() {
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
