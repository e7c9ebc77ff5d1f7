package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Outcome is what came of looking at a plugin's files again.
type Outcome string

// The outcomes of Reload and Rescan.
const (
	// Installed: it is new and was started.
	Installed Outcome = "installed"
	// Reloaded: a new process took over.
	Reloaded Outcome = "reloaded"
	// Kept: the new process was worse, so what was before goes on.
	Kept Outcome = "kept"
	// Removed: its files are gone, and so is its process.
	Removed Outcome = "removed"
	// Unchanged: its files are what runs.
	Unchanged Outcome = "unchanged"
)

// Change is what became of one plugin.
type Change struct {
	Plugin  string
	Outcome Outcome
	// Err says why it was kept, or why what was installed does not run; its Hint
	// what to do. It is a *LaunchError.
	Err error
	// Before and After are the plugin, before and after; zero: there was, or is, none.
	Before, After Snapshot
}

// Reload looks at one plugin's files again. A plugin that runs is started anew
// from them, beside the process that runs; the new process takes over between
// two calls once it is verified, healthy, configured and has answered what the
// old one was asked last. Else the old one goes on: that is the Outcome Kept and
// no error. One that does not run is started if it can be, one that is new is
// installed, and one that is gone is removed.
//
// Reload blocks until then, one reload at a time, or until ctx ends; what was
// begun is ended all the same. The error is ErrUnknownPlugin, ErrStopped, or
// ctx's.
func (h *Host) Reload(ctx context.Context, name string) (Change, error) {
	changes, err := h.change(ctx, func(ctx context.Context) ([]Change, error) {
		i, unknown := h.Instance(name)
		c, refusal, present := lookUp(h.root, name)
		if enabled := h.given.Settings[name].Enabled; i == nil && enabled != nil && !*enabled {
			refusal = &distrust{"is switched off in the configuration", "set plugins." + name + ".enabled to true to use it"}
		}
		h.refreshSkipped()
		switch {
		case i == nil && !present:
			return nil, unknown
		case i == nil && refusal != nil:
			return nil, fmt.Errorf("%w that may run: %q %s: %s", ErrUnknownPlugin, name, refusal.reason, refusal.remedy)
		case i == nil:
			return []Change{h.install(ctx, c)}, nil
		case !present:
			return []Change{h.remove(i, refusal)}, nil
		}
		return []Change{h.exchange(ctx, i, c, refusal)}, nil
	})
	if err != nil {
		return Change{}, err
	}
	return changes[0], nil
}

// Rescan looks at the whole plugin directory again: what is new is installed,
// what has changed is reloaded, what is gone is removed. It tells of every
// plugin, sorted by name, and blocks as Reload does. The error is a
// *DirectoryError, ErrStopped, or ctx's.
func (h *Host) Rescan(ctx context.Context) ([]Change, error) {
	return h.change(ctx, func(ctx context.Context) ([]Change, error) {
		found, skipped, err := Discover(h.opts.Dir)
		if err != nil {
			return nil, err
		}
		return h.follows(ctx, found, skipped, func(string) bool { return true }), nil
	})
}

// change does what alters the plugins in a goroutine of host's own, one at a
// time, so that nothing is left half done when the caller loses patience.
func (h *Host) change(ctx context.Context, do func(context.Context) ([]Change, error)) ([]Change, error) {
	type answer struct {
		changes []Change
		err     error
	}
	done := make(chan answer, 1)
	h.mu.Lock()
	if h.running == nil || h.stopped || h.running.Err() != nil {
		h.mu.Unlock()
		return nil, ErrStopped
	}
	running := h.running
	h.work.Go(func() {
		select {
		case h.turn <- struct{}{}:
		case <-ctx.Done():
			return
		case <-running.Done():
			done <- answer{nil, ErrStopped}
			return
		}
		defer func() { <-h.turn }()
		changes, err := do(running)
		done <- answer{changes, err}
	})
	h.mu.Unlock()
	select {
	case a := <-done:
		return a.changes, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// follows makes the plugins what was found, as far as may says so by name. The
// turn is ours.
func (h *Host) follows(ctx context.Context, found []Candidate, skipped []Skipped, may func(name string) bool) []Change {
	found, skipped = h.judge(found, skipped)
	candidates, refusals := map[string]Candidate{}, map[string]Skipped{}
	for _, s := range skipped {
		refusals[s.Name] = s
	}
	var mu sync.Mutex
	var changes []Change
	var all sync.WaitGroup
	begin := func(name string, do func() Change) {
		if may(name) {
			all.Go(func() {
				c := do()
				mu.Lock()
				defer mu.Unlock()
				changes = append(changes, c)
			})
		}
	}
	present := h.all()
	for _, c := range found {
		candidates[c.Name] = c
		if i, _ := h.Instance(c.Name); i == nil {
			begin(c.Name, func() Change { return h.install(ctx, c) })
		}
	}
	for _, i := range present {
		c, is := candidates[i.name]
		refused, there := refusals[i.name]
		_, _, exists := lookUp(h.root, i.name)
		switch {
		case is && i.present().runs(c):
			begin(i.name, func() Change {
				s := i.Snapshot()
				return Change{Plugin: i.name, Outcome: Unchanged, Before: s, After: s}
			})
		case is:
			begin(i.name, func() Change { return h.exchange(ctx, i, c, nil) })
		case exists && there:
			begin(i.name, func() Change { return h.exchange(ctx, i, c, &distrust{refused.Reason, refused.Remedy}) })
		default:
			begin(i.name, func() Change {
				return h.remove(i, &distrust{"its files are gone, but the configuration requires it", "put them back, or set plugins." + i.name + ".required to false"})
			})
		}
	}
	all.Wait()
	h.setSkipped(skipped)
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Plugin, b.Plugin) })
	return changes
}

// install adds a plugin and waits until its first start succeeded or failed.
func (h *Host) install(ctx context.Context, c Candidate) Change {
	first := make(chan struct{})
	i := newInstance(c, &h.opts, h.given, h.checks, func() { close(first) })
	h.mu.Lock()
	h.instances = append(h.instances, i)
	slices.SortFunc(h.instances, func(a, b *Instance) int { return cmp.Compare(a.name, b.name) })
	h.keepLocked(i) // h.work is not waited for yet: the change that we are holds it
	h.mu.Unlock()
	select {
	case <-first:
	case <-ctx.Done():
	}
	out := Change{Plugin: i.name, Outcome: Installed, After: i.Snapshot()}
	if s := out.After; s.State != Running {
		out.Err = &LaunchError{Plugin: i.name, Err: errors.New(cmp.Or(s.LastError, "it is "+string(s.State))), Remedy: s.LastHint}
	}
	return out
}

// remove ends a plugin whose files are gone, unless it is required.
func (h *Host) remove(i *Instance, why *distrust) Change {
	out := Change{Plugin: i.name, Outcome: Removed, Before: i.Snapshot()}
	if h.given.Settings[i.name].Required {
		err := &LaunchError{Plugin: i.name, Err: errors.New(why.reason), Remedy: why.remedy}
		i.kept(err)
		out.Outcome, out.Err, out.After = Kept, err, i.Snapshot()
		return out
	}
	h.mu.Lock()
	h.instances = slices.DeleteFunc(h.instances, func(other *Instance) bool { return other == i })
	h.mu.Unlock()
	i.cancel()
	<-i.ended
	h.checks.release(i)
	return out
}

// exchange reloads a plugin from what lies on disk now, or says why that may
// not run.
func (h *Host) exchange(ctx context.Context, i *Instance, c Candidate, refusal *distrust) Change {
	out := Change{Plugin: i.name, Outcome: Reloaded, Before: i.Snapshot()}
	if refusal != nil {
		out.Err = &LaunchError{Plugin: i.name, Err: errors.New(refusal.reason), Remedy: refusal.remedy}
		i.kept(out.Err)
	} else {
		out.Err = i.replace(ctx, c)
	}
	if out.Err != nil {
		out.Outcome = Kept
	}
	out.After = i.Snapshot()
	return out
}

// refreshSkipped looks at what is passed over in the plugin directory.
func (h *Host) refreshSkipped() {
	if found, skipped, err := Discover(h.opts.Dir); err == nil {
		_, skipped = h.judge(found, skipped)
		h.setSkipped(skipped)
	}
}

// setSkipped keeps what is passed over; what runs all the same is told with its
// plugin.
func (h *Host) setSkipped(skipped []Skipped) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skipped = slices.DeleteFunc(slices.Clone(skipped), func(s Skipped) bool {
		return slices.ContainsFunc(h.instances, func(i *Instance) bool { return i.name == s.Name })
	})
}

// present is what runs now or, when nothing runs, what was started last.
func (i *Instance) present() *installed {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.tried
	if i.session != nil {
		p = *i.session.from
	}
	return &p
}
