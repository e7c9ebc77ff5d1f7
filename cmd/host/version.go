package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/app"
	"github.com/upkeephub/upkeep/internal/sbom"
)

// versionAnswer is the answer of version.
type versionAnswer struct {
	adminapi.Version
	Modules []sbom.Module `json:"modules"`
}

// newVersionCommand is host version.
func newVersionCommand(c *cli) *cobra.Command {
	var bill bool
	cmd := &cobra.Command{
		Use: "version", Short: "show the version of this program", Args: operands(),
		Long: `Version shows the version of this program. What a running host is, host status
--json tells. With --json the modules that it was built from are listed, too;
--sbom prints them as a bill of materials: a CycloneDX 1.5 document in JSON.`,
		Example: "  host version\n  host version --json\n  host version --sbom > host.cdx.json",
		RunE: func(*cobra.Command, []string) error {
			if bill {
				document, err := sbom.CycloneDX("github.com/upkeephub/upkeep", app.Version)
				if err == nil && !c.quiet {
					_, err = c.stdout.Write(document)
				}
				return err
			}
			v := adminapi.Version{
				Version: app.Version, APIVersion: "v1", SocketIOVersion: app.SocketIOVersion,
				GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
			}
			return c.print(versionAnswer{v, sbom.Modules()}, func(p *page) {
				p.printf("host %s  admin API %s  Socket.IO %s  %s %s\n", v.Version, v.APIVersion, v.SocketIOVersion, v.GoVersion, v.Platform)
			})
		},
	}
	c.outputFlags(cmd)
	cmd.Flags().BoolVar(&bill, "sbom", false, "print the bill of materials (CycloneDX, JSON)")
	return cmd
}
