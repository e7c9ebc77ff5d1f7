package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/upkeephub/upkeep/internal/child"
)

// What callers branch on. A *CallError or *LaunchError wraps one of these.
var (
	// ErrDown: the plugin is not running, so it could not be asked.
	ErrDown = errors.New("the plugin is not running")
	// ErrExited: the plugin's process ended while it was asked.
	ErrExited = errors.New("the plugin's process ended")
	// ErrTimeout: the plugin did not answer before the deadline.
	ErrTimeout = errors.New("no answer before the deadline")
	// ErrTooLarge: the answer exceeds the limit on messages.
	ErrTooLarge = errors.New("the answer is too large")
	// ErrNotOffered: the plugin has no such service.
	ErrNotOffered = errors.New("the plugin does not offer this")
	// ErrStopped: host does not run its plugins yet, or not any more.
	ErrStopped = errors.New("host does not run its plugins now")
	// ErrUnknownPlugin: no plugin has that name.
	ErrUnknownPlugin = errors.New("no such plugin")
)

// LaunchError says which plugin did not start and what the operator can do.
type LaunchError struct {
	Plugin string // name in the plugin directory
	Err    error
	Remedy string // one imperative sentence
	// Tail has the last lines of standard error, oldest first; nil when no
	// process was started or it said nothing.
	Tail []string

	// again: starting once more may help; otherwise the plugin is refused.
	again bool
	// ours: the host lacked something, the plugin is not to blame.
	ours bool
}

func (e *LaunchError) Error() string { return fmt.Sprintf("launch plugin %q: %v", e.Plugin, e.Err) }

// Unwrap gives the cause.
func (e *LaunchError) Unwrap() error { return e.Err }

// Hint is one imperative sentence for the operator.
func (e *LaunchError) Hint() string { return e.Remedy }

// ExitError says how a running plugin's process came to its end. Its text does
// not name the plugin: whatever carries it, a CallError or a Snapshot, does.
type ExitError struct {
	Plugin string
	// Reason is why host ended it; empty when it ended by itself.
	Reason string
	// Exit is a phrase like "exit status 2 after 3s".
	Exit string
	// Tail has the last lines of standard error, oldest first.
	Tail []string

	remedy string // for what host ended it for
	killed bool   // by somebody else's SIGKILL
	// recycled: host ended a process that still answered its health calls.
	recycled bool
}

func (e *ExitError) Error() string {
	if e.Reason != "" {
		return "host ended its process: " + e.Reason + lastWords(e.Tail)
	}
	return "its process ended: " + e.Exit + lastWords(e.Tail)
}

// Is makes every ExitError an ErrExited.
func (e *ExitError) Is(target error) bool { return target == ErrExited }

// Hint is one imperative sentence for the operator.
func (e *ExitError) Hint() string {
	switch {
	case e.remedy != "":
		return e.remedy
	case e.Reason != "":
		return "find out what the plugin waits for; a check must return before its deadline"
	case e.killed:
		return "find out who sent it SIGKILL: a person, or the kernel for want of memory (dmesg)"
	}
	return "mend what its last words on standard error name"
}

// quarantineError says that a plugin failed too often, and how the last time.
type quarantineError struct {
	policy RestartPolicy
	last   error
}

func (e *quarantineError) Error() string {
	return fmt.Sprintf("%d failures within %v, the last: %v", e.policy.Crashes, e.policy.Window, e.last)
}

// Unwrap gives the last failure.
func (e *quarantineError) Unwrap() error { return e.last }

// Hint is that of the last failure, and the way out.
func (e *quarantineError) Hint() string {
	var hinter interface{ Hint() string }
	if errors.As(e.last, &hinter) {
		return hinter.Hint() + "; then release the plugin"
	}
	return "mend it, then release the plugin"
}

func newExitError(plugin string, why verdict, exit child.Exit) *ExitError {
	return &ExitError{
		Plugin: plugin, Reason: why.reason, remedy: why.remedy, Exit: exit.String(), Tail: exit.Tail,
		killed: why.reason == "" && exit.Signal == syscall.SIGKILL, recycled: why.recycled,
	}
}

// oneLine is an error's text, fit for one line.
func oneLine(err error) string {
	return cleanText(strings.ReplaceAll(err.Error(), "\n", "; "), maxText)
}

// hintOf is the next step that an error carries, if any.
func hintOf(err error) string {
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		return hinter.Hint()
	}
	return ""
}

// lastWords is the end of a sentence that quotes the last line of stderr that
// says what happened.
func lastWords(tail []string) string {
	for _, line := range tail { // a Go panic names itself above its stack
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return "; last words: " + cleanText(line, 400)
		}
	}
	if len(tail) == 0 {
		return "; it wrote nothing to standard error"
	}
	return "; last words: " + cleanText(tail[len(tail)-1], 400)
}

// CallError says which plugin could not be asked, and why.
type CallError struct {
	Plugin string
	// Call is what was asked: "check", "decide", "execute", "watch".
	Call   string
	Err    error
	Remedy string
}

func (e *CallError) Error() string { return fmt.Sprintf("plugin %q: %s: %v", e.Plugin, e.Call, e.Err) }

// Unwrap gives the cause.
func (e *CallError) Unwrap() error { return e.Err }

// Hint is one imperative sentence for the operator; it may be empty.
func (e *CallError) Hint() string { return e.Remedy }

// fromStatus translates what gRPC says into words and sentinels. It is the only
// place that knows gRPC's codes.
func fromStatus(err error) (cause error, remedy string) {
	st, ok := status.FromError(err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			return ErrTimeout, "see whether the plugin hangs; raise its timeout if it needs longer"
		}
		return err, ""
	}
	text := cleanText(st.Message(), maxText)
	switch st.Code() {
	case codes.DeadlineExceeded:
		return ErrTimeout, "see whether the plugin hangs; raise its timeout if it needs longer"
	case codes.Canceled:
		return context.Canceled, ""
	case codes.ResourceExhausted:
		if strings.Contains(text, "larger than max") {
			return fmt.Errorf("%w: the limit is %d MiB", ErrTooLarge, maxMessageBytes>>20), "make the plugin return less"
		}
	case codes.Unimplemented:
		return fmt.Errorf("%w (%s)", ErrNotOffered, text), "remove the kind from its Describe, or register the service"
	case codes.Unavailable:
		return fmt.Errorf("its connection broke: %s", text), "see whether the plugin still serves on its socket"
	}
	return fmt.Errorf("%s (%s)", text, st.Code()), "mend what the plugin's message names"
}
