// Package fleet is the load generator of the bench: many raw Socket.IO clients
// over WebSockets, one publisher, and what is measured with them.
//
// It owns sockets, frames and clocks. Subscribers are non-blocking sockets that
// one epoll thread serves; a delivered event is not decoded, but its sequence
// number is read, and so order, loss and doubles are checked for every event of
// every subscriber. It refuses to know which server it talks to: how one is run
// is the bench's affair. Its only caller is test/bench. Linux only.
//
// # What is measured
//
// At a fixed rate the publisher is an open loop: it sends when the schedule says
// so, whatever has arrived, and the latency of a delivery counts from that
// intended time until the read that brought it, so that a server that stalls
// cannot hide it. Saturated, it sends as long as fewer than Window events are
// outstanding against the slowest of eight subscribers, which are spread evenly
// over all; latency then counts from the sending.
//
// Deliveries and CPU are taken at the same two moments, so their quotient is of
// one interval; loss, order and doubles are of the whole run, warm-up and drain
// included. CPU is the kernel's clock of each process (what schedstat adds up),
// memory is from smaps_rollup.
//
// Each client comes from an address of its own choice in 127.0.0.0/8, because
// servers limit by address and the kernel has about 28 000 local ports for each.
//
// # Goroutines
//
// A Fleet has none while no method runs. Publish runs the publisher and the
// sampler beside the loop and waits for both. The loop and the publisher are
// locked to threads of their own. A Fleet is not safe for concurrent use.
package fleet
