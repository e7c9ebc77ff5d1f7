// Package httpapi is what host says about itself over HTTP: health, status,
// diagnostics and metrics, all read-only.
//
// It owns the shapes of the answers, which existing clients and monitoring
// systems rely on. It refuses to know where its facts come from (a Source gives
// a snapshot), who listens, and how anything is changed. The application serves
// its Handler on the admin listener and on the private socket through which the
// hub asks. It starts no goroutine beside those of the HTTP server.
package httpapi
