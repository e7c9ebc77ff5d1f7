// Package recovery holds what may be done about bad health, when, and how
// often. Which rung of the ladder comes next is not decided here but by the
// strategy plugin; this package owns the action, the incident, the attempt and
// its effects, the breaker, the budgets, pauses, questions to people, dry runs,
// safe mode, and the guard that stands between a proposal and an effect.
//
// It refuses to know clocks, files and people: time is an argument, what has to
// survive a restart is one value (State) that others write, and who does
// something by hand is a name. The same calls with the same times give the same
// decisions, to the bit.
//
// Everything is a pure state machine: nothing reads a clock, holds a timer or
// starts a goroutine. The monitor's loop owns a Manager and is the only one to
// call it. A Manager keeps two books, of what was done and of what would have
// been done in a dry run besides; see docs/adr/0017-two-books.md.
package recovery
