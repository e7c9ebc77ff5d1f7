// Package hubproc keeps a hub worker running. It owns the listening sockets
// that clients use, starts the hub with duplicates of them, asks it every half
// second whether it lives, replaces it when it ends or hangs, and hands over
// from an old hub to a new one without refusing anybody: while no hub accepts,
// connecting clients wait in the queue of the socket, which stays open here.
//
// Supervision is not recovery. The keeper replaces a hub that exited or hangs,
// within a budget, and knows no health, no incident and no strategy. Beyond the
// budget it gives up, says so, and waits for somebody to decide: Restart leads
// out again. It refuses to know what clients and the hub tell each other; its
// contract with the hub is proto/upkeep/hub/v1 and proto/handshake.
//
// Package app calls it. Keeper.Run is one loop that owns all decisions. Below it
// run, and end with it: at most one goroutine that brings a hub up, one per hub
// that asks it for its heartbeat (with one for each question that awaits an
// answer), and those of package child.
//
// A hub can be started where a process inherits sockets, which is on Unix; New
// says so elsewhere. The verdict "hung" needs /proc for more than the last limit
// (busy and silent for five seconds), so it is quick on Linux only.
package hubproc
