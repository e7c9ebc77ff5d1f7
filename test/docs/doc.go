// Package docs holds the tests of what the documents say: the commands in
// docs/operating and docs/plugins run as they stand against the built bin/host,
// and the catalogue of metrics is what the built plugins describe.
package docs
