package app

import (
	"io"

	"github.com/hashicorp/go-hclog"
	"gopkg.in/natefinch/lumberjack.v2"
)

// newLog makes the log that the configuration asks for: on standard error, or in
// a file of mode 0600 that is put aside when it is full.
func (a *App) newLog() hclog.Logger {
	c := a.cfg.Logging
	var out io.Writer = a.opts.Stderr
	if c.File != "" {
		file := &lumberjack.Logger{Filename: c.File, MaxSize: c.MaxSizeMB, MaxBackups: c.BackupCount}
		a.onStop("log file", file.Close)
		out = file
	}
	return hclog.New(&hclog.LoggerOptions{Name: "host", Level: hclog.LevelFromString(c.Level), Output: out, JSONFormat: c.Format == "json"})
}
