// Package authors holds the tests of what a plugin's author does: the commands
// that "host plugins new" prints are run as they stand, with the built bin/host,
// npm and Debian's Python.
package authors
