// Package problem is the one shape of errors that people read: what happened,
// why, and what to do next, under a code that programs can rely on.
//
// It owns the shape (Error), how it is shown (Text for a terminal, JSON for
// programs, RFC 9457 for HTTP), the codes with a page about each (PageOf), the
// troubleshooting guide (Guide), and the errors that the server which Upkeep
// replaces has, too: NewDaemonConflict, NewPortConflict, NewStaleProcess,
// NewRecoveryFailed and NewHealthCheckFailed. Commands in the texts are those of
// a Platform; our own verbs come before those of the system, and no text tells
// anybody to end a process that nobody proved to be a host.
//
// It refuses to look at processes, ports and files: whoever notices something
// fills in the error. The exception is the last error of a state directory
// (SaveLast, LoadLast), which a later command explains. Everything that meets an
// operator (command line, HTTP) uses the package; it starts no goroutine.
package problem
