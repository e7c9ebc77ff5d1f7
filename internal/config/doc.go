// Package config is the configuration: its keys, their defaults and limits,
// where each value comes from, and a reader that reports every mistake at once.
//
// Load lays the sources over each other: flags over environment over file over
// profile over defaults. Diff says what a reload changes, and what of it waits
// for a restart. Schema describes the file, Import translates the files of the
// server that Upkeep replaces.
//
// It refuses to know what the values are good for, to ask the process's own
// environment (callers hand it in), and to judge what plugins are given: each
// plugin does that itself. The command line and internal/app call it; it starts
// no goroutine.
package config
