// Package attribution remembers who causes what: how many events, bytes, failures,
// refusals and slow writes came from which client, address and token, and concern
// which room and which event.
//
// It owns accounts, which are counted on, and a Ledger, which sums them up: the
// largest of each, by the space-saving algorithm (Metwally, Agrawal and El Abbadi,
// 2005), so that its memory is bounded whoever comes. What is counted fades: after
// HalfLife half of it is left. It refuses to know clients, connections and what is
// done about whom. The hub calls it, from any goroutine; it has none of its own and
// reads no clock.
//
// Counting costs an atomic addition on memory that is the sender's own; a lock that
// others share is taken once for each account between two calls of Suspects.
package attribution
