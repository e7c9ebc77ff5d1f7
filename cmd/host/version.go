package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/app"
)

// newVersionCommand is host version.
func newVersionCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "show the version of this program", Args: operands(),
		Long:    "Version shows the version of this program. What a running host is, host status --json tells.",
		Example: "  host version\n  host version --json",
		RunE: func(*cobra.Command, []string) error {
			v := adminapi.Version{
				Version: app.Version, APIVersion: "v1", SocketIOVersion: app.SocketIOVersion,
				GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
			}
			return c.print(v, func(p *page) {
				p.printf("host %s  admin API %s  Socket.IO %s  %s %s\n", v.Version, v.APIVersion, v.SocketIOVersion, v.GoVersion, v.Platform)
			})
		},
	}
	c.outputFlags(cmd)
	return cmd
}
