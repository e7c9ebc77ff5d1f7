package main

import (
	"context"
	"fmt"
	"time"

	"github.com/shirou/gopsutil/v3/process"
	"github.com/spf13/cobra"
)

// newRestartCommand is host restart.
func newRestartCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "restart", Short: "stop a running host and start it again in the background", Args: operands(),
		Long: `Restart stops a running host, as stop does, and starts it again in the background
with the command line that it had, in the directory where that was given. Clients
are told, and are back as soon as it is ready. A new configuration needs no
restart as long as host reload takes it over.

Exit codes are those of stop and start. Where a service manager looks after the
host, use that instead: it would see a host that ends.`,
		Example: "  host restart\n  host restart --port 8766",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := c.find()
			if err != nil {
				return err
			}
			dir, args, err := commandLine(cmd.Context(), h.PID)
			if err != nil {
				return fmt.Errorf("find out how the host (pid %d) was started, so it was left alone: %w", h.PID, err)
			}
			if _, err := h.stop(context.WithoutCancel(cmd.Context()), stopPatience, "host restart"); err != nil {
				return err
			}
			return c.start(cmd.Context(), h.place, dir, args)
		},
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

// commandLine is what a process was started with, behind the program's name, and
// the directory it works in (empty where the system does not say).
func commandLine(ctx context.Context, pid int) (dir string, args []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p, err := process.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return "", nil, err
	}
	line, err := p.CmdlineSliceWithContext(ctx)
	if err != nil {
		return "", nil, err
	}
	dir, _ = p.CwdWithContext(ctx)
	return dir, line[min(1, len(line)):], nil
}
