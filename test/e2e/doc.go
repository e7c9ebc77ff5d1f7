// Package e2e proves Upkeep on real input: it runs the built host with its
// real plugins, default settings and no test switch, as an operator would, and
// real clients: the stock Socket.IO client on Node.js, python-socketio, raw
// WebSockets. What must be survived is done for real, from outside, by signal.
//
// Everything is in the tests; package test/rig is what they stand on. Each
// test prints what it measured as lines "measured: name=value".
//
//	go test ./test/e2e
//
// builds what it runs (make build), and fails naming whatever this machine
// lacks and the command that installs it. It owns no goroutine but those of rig.
package e2e
