// Package adminapi is how a running host is steered: an HTTP API under /api/v1
// for its owner, and the client with which the command line uses it.
//
// It owns the shapes of requests and answers, which are stable and described by
// the embedded OpenAPI document, and everything that stands between a request
// and an effect: who may ask (the owner of the unix socket, or who has the
// token), from where (host and origin), how much and how long. It refuses to
// know how anything is done: the application implements Operations, serves
// Handler on a socket of ListenUnix and on its admin listener, and decides where
// these are. It starts no goroutine beside those of the HTTP server.
package adminapi
