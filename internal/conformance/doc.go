// Package conformance tries a plugin's real executable, in whatever language it
// was written, against everything that host relies on, and says rule by rule
// whether it is kept and what to change.
//
// It owns the rules (Rules) and their judgement. It refuses to know what a plugin
// looks at or decides: whether it is right is for its author's tests to say. The
// command line calls it. Each rule gets a process of its own, so that a plugin
// which breaks one rule is not blamed for another; package trial starts and asks
// them. Rules are tried one after the other. A rule's goroutines, and its
// process, have ended when the next rule begins.
package conformance
