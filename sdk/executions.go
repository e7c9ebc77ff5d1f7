package sdk

import (
	"context"
	"slices"
	"sync"
)

// maxExecutions is how many answers are remembered by their key.
const maxExecutions = 256

// executions makes sure that one idempotency key is executed once while the
// process lives.
type executions struct {
	mu    sync.Mutex
	byKey map[string]*execution
	order []string // oldest first
}

type execution struct {
	done    chan struct{} // closed when message and err are set
	message string
	err     error
}

// do runs perform, or waits for the call that already does under this key. An
// empty key is nobody's: it always runs.
func (e *executions) do(ctx context.Context, key string, perform func() (string, error)) (string, error) {
	if key == "" {
		return perform()
	}
	e.mu.Lock()
	if known, ok := e.byKey[key]; ok {
		e.mu.Unlock()
		select {
		case <-known.done:
			return known.message, known.err
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	mine := &execution{done: make(chan struct{})}
	if e.byKey == nil {
		e.byKey = make(map[string]*execution)
	}
	e.byKey[key] = mine
	e.order = append(e.order, key)
	e.forget()
	e.mu.Unlock()

	answered := make(chan answer[string], 1)
	protected("Execute", perform, answered)
	a := <-answered
	mine.message, mine.err = a.value, a.err
	close(mine.done)
	return mine.message, mine.err
}

// forget drops the oldest answers beyond the bound, but none still under way.
func (e *executions) forget() {
	for i := 0; i < len(e.order) && len(e.order) > maxExecutions; {
		select {
		case <-e.byKey[e.order[i]].done:
			delete(e.byKey, e.order[i])
			e.order = slices.Delete(e.order, i, i+1)
		default:
			i++
		}
	}
}
