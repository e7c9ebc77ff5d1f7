// Package trial is one plugin process in the hands of its author: started as
// host starts it, asked by hand, ended.
//
// It owns the client's half of the handshake, written against the wire and not
// with go-plugin, so that each step can be seen, varied and named; the target
// that a plugin is tried on (Target); and the requests that stand for those of
// a host (Requests). It refuses to judge: package conformance does that, and
// the command line shows what it gets. Nothing is restarted here.
//
// For each process it has one goroutine that drains what go-plugin's library
// prints through the connection, and those of package child; they end with
// Process.End. A Target has one for each port and one for each connection.
package trial
