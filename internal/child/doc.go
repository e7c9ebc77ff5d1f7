// Package child owns one child process from its first instruction to the end
// of everything that it forked: its process group, its pipes, and its death.
//
// What it promises, whatever the child does:
//
//   - The child dies with us. It leads a process group of its own; on Linux the
//     kernel kills it when we die, and everywhere its standard input, a pipe
//     that we hold open, ends. What it forked and left behind is found at the
//     next start by a marker in its environment (Marker, Sweep).
//   - Its death is noticed when it happens, also while a forgotten grandchild
//     holds its pipes: the death is awaited, the group is killed, and the pipes
//     then get a last quarter of a second.
//   - Its output never blocks it, never floods us and never carries a control
//     character: lines are cut, escaped and rate-limited here.
//   - Ending it takes a bounded time, also when it is stopped or ignores SIGTERM.
//
// The package refuses to know what the child is for: no handshake, no restart
// policy, no log library. Package pluginhost runs plugins with it, package
// hubproc the hub.
//
// Per child it runs three goroutines, all of which end with the child: one that
// starts it, stays locked to its thread (the parent-death signal follows the
// thread that forked, not the process) and waits for the death, and one for each
// of standard output and standard error. Process.Done tells when they are
// through, unless a caller's line function is still blocking.
package child
