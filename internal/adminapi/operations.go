package adminapi

import (
	"context"
	"time"
)

// Operations is what a host lets its owner see and do. The handler calls it from
// many goroutines. What only tells must not block, also while the hub hangs.
// Errors that people can mend are *problem.Error.
type Operations interface {
	Steering
	// Status is host at this moment.
	Status() Status
	// Probe answers the question of a script or a container probe.
	Probe(ProbeKind) Probe
	// Plugins are those that were found, sorted by name.
	Plugins() Plugins
	// ReleasePlugin starts a plugin now that is quarantined, refused or waiting
	// for its next start, and does nothing to any other. The error has the code
	// not_found when there is no plugin of that name.
	ReleasePlugin(name string) (Plugin, error)
	// ReloadPlugin looks at the files of one plugin again, and lets a process that
	// is started from them take over if it is no worse. That it is worse is no
	// error. The error has the code not_found when there is no plugin of that
	// name, neither running nor in the folder. It ends when ctx does; what was
	// begun is ended all the same.
	ReloadPlugin(ctx context.Context, name string) (PluginChange, error)
	// RescanPlugins does so for the whole plugin folder.
	RescanPlugins(ctx context.Context) (PluginChanges, error)
	// Quarantine is who is kept out now.
	Quarantine() Quarantine
	// ReleaseQuarantine lets one in again by its id, or everybody when that is empty,
	// and returns who that was. The error has the code not_found when nobody is kept
	// out under that id. It takes at most 2 s, also while the hub hangs.
	ReleaseQuarantine(ctx context.Context, id string) (Quarantine, error)
	// History is what happened within the window, newest first, at most limit of
	// each kind.
	History(window time.Duration, limit int) History
	// Config is the configuration in force, with secrets masked.
	Config() Configuration
	// Version says what runs.
	Version() Version
	// Reload reads the configuration again and applies it as a whole, or, with an
	// error of the code config_invalid, changes nothing. It ends when ctx does.
	Reload(ctx context.Context) (Reloaded, error)
	// Stop begins to stop host, as a signal does, and returns at once.
	Stop(reason string)
	// SetLogLevel changes what is logged, until the next start or reload. The
	// level is one of LogLevels.
	SetLogLevel(level string) error
	// SetMonitoring switches health monitoring, and recovery with it, off or on,
	// until the next start or reload.
	SetMonitoring(enabled bool) error
	// SetRecovery switches recovery on or off, until the next start or reload.
	SetRecovery(enabled bool) error
}

// LogLevels are the levels that SetLogLevel takes, the most talkative first.
func LogLevels() []string { return []string{"trace", "debug", "info", "warn", "error"} }

// ProbeKind is a question with yes or no as its answer.
type ProbeKind string

const (
	// Healthy: is it well, as /health has it?
	Healthy ProbeKind = "healthy"
	// Ready: are clients served, as /readyz has it?
	Ready ProbeKind = "ready"
	// Live: does host's own loop turn, as /livez has it?
	Live ProbeKind = "live"
)
