package pluginhost

import (
	"context"
	"time"
)

// seen is what the last look at the plugin directory found, and what was done
// about it, so that one change leads to one act.
type seen struct {
	last  map[string]look // of each plugin's files; the zero look: none there
	acted map[string]look // what was acted upon, or runs
}

// follow looks at the plugin directory until ctx ends.
func (h *Host) follow(ctx context.Context) {
	ticker := time.NewTicker(h.opts.LookInterval)
	defer ticker.Stop()
	s := &seen{last: map[string]look{}, acted: map[string]look{}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if h.opts.Follow {
			h.followAll(ctx, s)
		} else {
			h.releaseChanged(s)
		}
	}
}

// settled notes what is seen of a plugin's files now, and says whether that is
// news which looked the same the last time: a file may be half written.
func (s *seen) settled(name string, now look, runs look) bool {
	before, known := s.last[name]
	s.last[name] = now
	if acted, is := s.acted[name]; now == runs || is && acted == now {
		return false
	}
	if !known || before != now {
		return false
	}
	s.acted[name] = now
	return true
}

// releaseChanged starts what is quarantined or refused again when its files
// have changed since the latest start. One that is refused because its file was
// exchanged waits for a person.
func (h *Host) releaseChanged(s *seen) {
	for _, i := range h.all() {
		i.mu.Lock()
		down := (i.snapshot.State == Quarantined || i.snapshot.State == Refused) && !i.byHand
		runs := i.triedLook
		i.mu.Unlock()
		if !down {
			delete(s.last, i.name)
			delete(s.acted, i.name)
			continue
		}
		c, refusal, _ := lookUp(h.root, i.name)
		if refusal != nil {
			continue
		}
		if s.settled(i.name, lookAt(c), runs) {
			h.opts.Log.Info("plugin is released: its files have changed", "plugin", i.name)
			i.Release()
		}
	}
}

// followAll does what Rescan does, for what has changed and settled.
func (h *Host) followAll(ctx context.Context, s *seen) {
	found, skipped, err := Discover(h.opts.Dir)
	if err != nil {
		h.opts.Log.Warn("cannot look at the plugin directory", "error", err)
		return
	}
	runs := map[string]look{}
	for _, i := range h.all() {
		i.mu.Lock()
		runs[i.name] = i.triedLook
		i.mu.Unlock()
	}
	changed := map[string]bool{}
	present := map[string]bool{}
	note := func(name string, now look) {
		present[name] = true
		if s.settled(name, now, runs[name]) {
			changed[name] = true
		}
	}
	for _, c := range found {
		note(c.Name, lookAt(c))
	}
	for _, k := range skipped {
		note(k.Name, look{path: k.Reason})
	}
	for name := range runs {
		if !present[name] {
			note(name, look{})
		}
	}
	for name := range s.last {
		if _, is := runs[name]; !is && !present[name] {
			delete(s.last, name)
			delete(s.acted, name)
		}
	}
	if len(changed) == 0 {
		return
	}
	select { // a reload by hand has the turn: look again later
	case h.turn <- struct{}{}:
	default:
		for name := range changed {
			delete(s.acted, name)
		}
		return
	}
	defer func() { <-h.turn }()
	for _, c := range h.follows(ctx, found, skipped, func(name string) bool { return changed[name] }) {
		if c.Outcome != Unchanged {
			h.opts.Log.Info("plugin directory has changed", "plugin", c.Plugin, "outcome", string(c.Outcome), "version", c.After.Info.Version)
		}
	}
}
