// Package rig is what the end-to-end tests and the bench stand on: it builds
// the binaries, runs a built host with its real plugins on free ports and in a
// state directory of its own, looks at its processes from outside, freezes and
// kills them by signal, and talks to it as clients do: the stock Socket.IO
// client on Node.js, python-socketio, raw WebSockets and plain HTTP.
//
// It refuses to know anything of host's inside: it imports none of Upkeep's
// packages but the constants that processes agree on (proto/handshake), and
// host has no switch for it.
//
// Goroutines: Start owns those that read host's output and wait for its end
// (waited for by Host.Wait); Drive owns the reader of a driver's output (waited
// for by Driver.Close); StartLoad owns its connectors (waited for by Load.Stop).
package rig
