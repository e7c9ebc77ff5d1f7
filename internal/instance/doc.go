// Package instance makes a host the only one of its state directory and tells
// others who it is: the directory, the lock, the PID file, the identity of a
// process.
//
// The lock (host.lock, held for life, never removed) is the truth about whether
// a host runs; the PID file is information for people and programs, and is
// believed only when the process it names is proved to be the one that wrote it.
// The package refuses to know what a host does, and never signals a process.
// The application opens an Instance at start and closes it as its last step;
// commands read PID files. It starts no goroutine: Keep blocks, and its caller
// owns it.
package instance
