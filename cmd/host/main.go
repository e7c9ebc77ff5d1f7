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
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/upkeephub/upkeep/hub"
	"github.com/upkeephub/upkeep/internal/app"
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
	return report(formOf(args), stdout, stderr, cmd.ExecuteContext(ctx))
}
