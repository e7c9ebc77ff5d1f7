package pluginhost

import (
	"fmt"

	"github.com/upkeephub/upkeep/internal/child"
)

// weighing counts the looks in a row at which a process was too large.
type weighing struct{ over int }

// weigh looks at the memory of a plugin's process and its descendants, and
// condemns it when that has been over the limit for some looks in a row: one
// look may meet a moment's need.
func (i *Instance) weigh(s *session, w *weighing) {
	bytes, err := child.Memory(s.run.process().PID())
	if err != nil {
		return // it is ending, or the platform does not tell
	}
	i.mu.Lock()
	if i.session == s {
		i.snapshot.Memory = bytes
	}
	limit := i.snapshot.MemoryLimit
	i.mu.Unlock()
	if limit == 0 || bytes <= limit {
		w.over = 0
		return
	}
	if w.over++; w.over < i.opts.MemoryLooks {
		i.log.Warn("plugin holds more memory than it may", "memory_mb", bytes>>20, "limit_mb", limit>>20, "looks", w.over)
		return
	}
	s.condemn(verdict{
		reason: fmt.Sprintf("it held %d MB of memory, more than its limit of %d MB", bytes>>20, limit>>20),
		remedy: "find out what it keeps, or raise plugins." + i.name + ".memory_limit_mb",
	})
}
