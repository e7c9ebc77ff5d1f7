// Package health holds what Upkeep knows about health: statuses, metrics,
// results, reports, their history and the rules that join them.
//
// It owns the vocabulary and the arithmetic. It refuses to know where a result
// comes from, what is done about it, and what time it is: every function that
// depends on time takes it as an argument. The monitor calls it; nothing in
// here starts a goroutine, and only History is safe for concurrent use.
package health
