// Command host runs Upkeep: a Socket.IO hub that keeps itself up.
//
//	host --plugins ./plugins
//
// serves Socket.IO, watches the service through checker plugins and heals it
// through a strategy plugin behind a circuit breaker. This package owns flags,
// signals, exit codes and how errors look; everything else is internal/app's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/hub"
	"github.com/upkeephub/upkeep/internal/app"
)

// Exit codes. They are documented and stable.
const (
	exitOK            = 0
	exitFailure       = 1
	exitUsage         = 2 // command line or configuration
	exitConflict      = 4 // already running, or the port is taken
	exitEmergencyStop = 8
)

func main() {
	// The hub is this very executable, started by host with inherited sockets.
	// It takes its way before any flag is looked at, since its start is what
	// clients wait for after a crash.
	if len(os.Args) > 1 && os.Args[1] == app.HubCommand {
		os.Exit(hub.Main(os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	// A hangup has host read its configuration again; a closed terminal is no
	// reason to stop serving.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := command(stdout, stderr, hangups)
	cmd.SetArgs(args)
	return report(stderr, cmd.ExecuteContext(ctx))
}

// report is the one place that prints errors and picks exit codes.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var told *problem.Error
	exit, hasCode := errors.AsType[*exitError](err)
	if hasCode && exit.err == nil {
		return exit.code // the command has said it
	}
	if errors.As(err, &told) {
		fmt.Fprintf(stderr, "host: error %s: %s", told.Code, told.Text())
	} else {
		fmt.Fprintf(stderr, "host: error: %v\n", err)
	}
	switch {
	case hasCode:
		return exit.code
	case errors.Is(err, app.ErrEmergencyStop):
		return exitEmergencyStop
	case errors.As(err, new(*usageError)):
		return exitUsage
	case told == nil:
		return exitFailure
	}
	switch told.Code {
	case problem.ConfigInvalid, problem.PluginsMissing:
		return exitUsage
	case problem.DaemonConflict, problem.PortConflict:
		return exitConflict
	}
	return exitFailure
}
