// Package config is the configuration: its keys, their defaults and limits, and
// a reader that reports every mistake at once.
//
// It refuses to know what the values are good for, to ask the environment, and
// to judge what plugins are given: each plugin does that itself. The commands
// call it; it starts no goroutine.
package config
