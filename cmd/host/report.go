package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/app"
)

// Exit codes. They are documented (docs/command-line.md) and stable.
const (
	exitOK            = 0
	exitFailure       = 1
	exitUsage         = 2 // command line or configuration
	exitNotRunning    = 3
	exitConflict      = 4 // already running, or the port is taken
	exitPlugins       = 5
	exitUnhealthy     = 6
	exitRefused       = 7 // recovery's guard does not let it happen
	exitEmergencyStop = 8
)

// exitError ends the command with an exit code of its own. Without an err there
// is nothing more to say: the command has said it.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// form is how a command line wants its answer.
type form struct{ json, quiet bool }

// formOf finds --json and --quiet among the arguments, also where they cannot be
// parsed as a whole: a mistake on the command line is told in the wanted form.
func formOf(args []string) (f form) {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	for _, arg := range args {
		name, value, hasValue := strings.Cut(arg, "=")
		on, err := strconv.ParseBool(value)
		on = on && err == nil || !hasValue
		switch name {
		case "--json":
			f.json = on
		case "--quiet", "-q":
			f.quiet = on
		}
	}
	return f
}

// report is the one place that prints errors and picks exit codes. Text goes to
// standard error. JSON goes where the answer would have gone, so that a program
// reads one document from one place; with --quiet to standard error.
func report(f form, stdout, stderr io.Writer, err error) int {
	code := exitCode(err)
	if err == nil {
		return code
	}
	if exit, ok := errors.AsType[*exitError](err); ok && exit.err == nil {
		return code // the command has said it
	}
	told, explained := errors.AsType[*problem.Error](err)
	if f.json {
		if f.quiet {
			stdout = stderr
		}
		if !explained {
			told = explain(err)
		}
		_, _ = stdout.Write(told.CommandJSON(code))
		return code
	}
	if explained {
		fmt.Fprintf(stderr, "host: error %s: %s", told.Code, told.Text())
	} else {
		fmt.Fprintf(stderr, "host: error: %v\n", err)
	}
	return code
}

// explain makes an error that has no page of its own one that programs read.
func explain(err error) *problem.Error {
	if mistake, ok := errors.AsType[*usageError](err); ok {
		return mistake.problem()
	}
	page, _ := problem.PageOf(problem.Internal)
	return &problem.Error{Code: problem.Internal, What: err.Error(), Steps: page.Steps}
}

// exitCode is what the command ends with after err.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	if errors.Is(err, app.ErrEmergencyStop) {
		return exitEmergencyStop
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	switch problem.Code(err) {
	case problem.ConfigInvalid, problem.PluginsMissing, problem.Usage:
		return exitUsage
	case problem.DaemonConflict, problem.PortConflict:
		return exitConflict
	}
	return exitFailure
}
