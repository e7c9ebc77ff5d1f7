// Package journal is host's memory on disk: a journal of everything that was
// decided and done, and a ledger of what a restart of host must not forget.
//
// The journal is a folder of segments, each a file of JSON lines. A line is one
// Record; it carries the SHA-256 of the record before it and of itself, also
// over the edges of segments, so that Verify finds the first record that was
// altered, taken out or put in. Segments are bounded in size and age; before one
// is removed a record says so, with its hash, and the chain goes on. A line that
// a kill or a power failure cut off is taken away by the next Journal, which
// says so in a record. A disk that is full or gone costs records, counted and
// said, and nothing else.
//
// The ledger is one small file that is replaced as a whole. A ledger that is
// damaged, or written by a newer host, is put aside.
//
// It owns the formats. It refuses to know what is worth recording and what it
// means: internal/app writes, cmd/host reads. One process at a time writes to a
// folder: the one that holds the lock of the state directory. Anybody may read
// meanwhile. Journal.Run and Ledger.Run are the only goroutines that touch a
// file to write it; their caller owns them.
package journal
