//go:build !unix

package sdk

// watchParent does nothing where a process keeps the id of a dead parent; there
// the end of standard input tells.
func watchParent(func()) {}
