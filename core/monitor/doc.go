// Package monitor is the loop of Upkeep: it runs the checkers, joins their
// results into a report, keeps the history, and when health is bad asks the
// strategy and lets the guard decide whether its proposal becomes an action. Before
// results count they are damped: rise and fall, flapping, symptoms. Whoever steers
// recovery does it through the loop, which alone owns it.
//
// It refuses to know what a checker, a strategy or an action is made of: they
// are the small interfaces of this package, and internal/app supplies them. It
// logs nothing; Hooks tell.
//
// Goroutines: Run is the loop and owns all state. It starts one goroutine for
// each running check, at most one that waits for the subject to settle, at most
// one that asks the strategy and at most one that acts; each has a deadline,
// reports back through a channel of the loop, and is waited for when Run ends.
package monitor
