package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newReloadCommand is host reload.
func newReloadCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload", Short: "let a running host read its configuration again", Args: operands(),
		Long: `Reload lets a running host read its configuration file again, as SIGHUP does. If
there is a mistake in it, or a plugin refuses its new settings, nothing changes,
and all mistakes are shown. Else what can change at run time changes now; the
rest is listed and waits for a restart (host config show --origin says which).

Exit code 0 when the file is good, 2 when it is not, 3 when no host runs.`,
		Example: "  host doctor --config upkeep.json && host reload",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := c.ask()
			if err != nil {
				return err
			}
			done, err := h.client.Reload(cmd.Context())
			if err != nil {
				return h.unanswered(err)
			}
			return c.print(done, func(p *page) { reloadPage(p, done) })
		},
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

func reloadPage(p *page, done adminapi.Reloaded) {
	later := 0
	for _, change := range done.Changes {
		note := ""
		if !change.Live {
			later++
			note = "   (after a restart)"
		}
		p.printf("%s: %s -> %s%s\n", change.Key, shown(change.Old), shown(change.New), note)
	}
	switch {
	case len(done.Changes) == 0:
		p.printf("nothing has changed\n")
	case later > 0:
		p.printf("%d of %d changes wait for a restart: host restart\n", later, len(done.Changes))
	}
}

// shown is a value of the configuration as it stands in the file.
func shown(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}
