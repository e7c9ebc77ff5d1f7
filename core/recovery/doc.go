// Package recovery holds what may be done about bad health, when, and how
// often. Which rung of the ladder comes next is not decided here but by the
// strategy plugin; this package owns the action, the incident, the attempt, the
// breaker and the guard that stands between a proposal and an effect.
//
// Everything is a pure state machine: time is an argument, nothing reads a
// clock, holds a timer or starts a goroutine. The monitor's loop owns a Manager
// and is the only one to call it.
package recovery
