//go:build linux

package pluginhost

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPluginThatGrowsBeyondItsMemoryIsReplaced(t *testing.T) {
	for _, c := range []struct{ id, why string }{
		{"grow", "its own memory"},
		{"grow-below", "that of a process that it forked"},
	} {
		t.Run(c.id, func(t *testing.T) {
			dir := pluginDir(t)
			install(t, dir, "greedy", "good", nil)
			install(t, dir, "roomy", "good", nil)
			b := run(t, dir, func(o *Options) {
				o.MemoryInterval, o.MemoryLimit = 10*time.Millisecond, 150<<20
				o.Settings = map[string]Settings{"roomy": {MemoryLimit: 2 << 30}}
			})
			before, roomy := b.is("greedy", Running), b.is("roomy", Running)
			if _, err := b.check("roomy", c.id, patience); err != nil {
				t.Fatal(err)
			}
			if _, err := b.check("greedy", c.id, patience); err != nil && !errors.Is(err, ErrExited) { // it may be caught in the act
				t.Fatal(err)
			}
			after := b.until("greedy", "replaced", func(s Snapshot) bool { return s.State == Running && s.PID != before.PID })
			if !strings.Contains(after.LastError, "MB of memory, more than its limit of 150 MB") || !strings.Contains(after.LastHint, "plugins.greedy.memory_limit_mb") {
				t.Errorf("%s: replaced because of %q (%s)", c.why, after.LastError, after.LastHint)
			}
			var s Snapshot
			eventually(t, "a look at the plugin with a limit of its own", func() bool { // its looks go on beside those of the other
				s = b.instance("roomy").Snapshot()
				return s.Memory > 200<<20
			})
			if s.PID != roomy.PID || s.MemoryLimit != 2<<30 {
				t.Errorf("the plugin with a limit of its own: %+v", s)
			}
		})
	}
}

func TestMomentsNeedOfMemoryIsNoReason(t *testing.T) {
	o := DefaultOptions()
	if o.MemoryLooks < 2 || time.Duration(o.MemoryLooks)*o.MemoryInterval > 10*time.Second {
		t.Errorf("%d looks %v apart: want more than one, and an end within 10 s", o.MemoryLooks, o.MemoryInterval)
	}
}
