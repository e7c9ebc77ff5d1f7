// Package eventlog keeps the events that a hub relayed, and the sessions of its
// clients, so that a client that was away gets what it missed, also after the hub
// or the machine's host process was killed.
//
// It owns one directory: segments of events, one file of sessions, and a lock. It
// refuses to know Socket.IO: an event is bytes with a few names to select it by.
// Package hub calls it: it opens a log, takes it over, and appends each event
// before it is delivered.
//
// # Sequence, generation, offset
//
// Each event has a sequence number, 1 for the first of a log, without gaps over the
// life of the log. Each writer has a generation of its own, a number that is never
// used again. An Offset is both: what a client has seen last, and who said so. A
// log whose end was lost therefore never takes an offset that it gave out before
// for one of its new events: an offset that it cannot vouch for is ErrUnknownOffset.
//
// # Files
//
//	<base>-<generation>.events  a segment: a header and records, see segment.go
//	sessions                    records of sessions, rewritten when it has grown
//	lock                        held by the one writer; the lock ends with its process
//
// A record carries a checksum. What follows the first record that is broken is cut
// off when the log is taken over, and reported. Open reads a log while another
// process writes it; nothing is changed before TakeOver has the lock.
//
// # Bounds
//
// The log keeps at most Options.MaxEvents events and Options.MaxBytes bytes (or one
// event, if that is larger), none much older than Options.MaxAge: whole segments are
// deleted, each about an eighth of that. Sessions: Options.MaxSessions, the ones that
// are gone longest make room.
//
// # When the disk fails
//
// Append does not fail. When a segment cannot be written, events are kept in memory,
// at most 16 MiB of them, State says why, and a mark in the last segment says that
// something may be missing behind it. Every second the log tries the disk again, and
// writes down what it still has.
//
// # Goroutines
//
// One, from TakeOver or, in memory, from the first event or session on. It syncs,
// retries the disk and drops what is too old; Close ends it and waits for it. All methods may be called from any goroutine.
package eventlog
