package hub

import (
	"context"
	"sync"
)

// tasks counts the goroutines of a hub, so that Stop can wait for them. Unlike
// sync.WaitGroup it allows a task to begin while somebody waits.
type tasks struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running falls to 0; nil: nobody waits
}

// spawn runs fn on a goroutine of its own.
func (t *tasks) spawn(fn func()) {
	t.mu.Lock()
	t.running++
	t.mu.Unlock()
	go func() {
		defer t.done()
		fn()
	}()
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	if t.running == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// wait returns true when no task runs, or false when ctx ends first.
func (t *tasks) wait(ctx context.Context) bool {
	t.mu.Lock()
	if t.running == 0 {
		t.mu.Unlock()
		return true
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}
