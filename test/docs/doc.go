// Package docs holds the tests of what the documents say: the commands in
// docs/operating run as they stand against the built bin/host.
package docs
