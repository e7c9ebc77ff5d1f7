package main

import (
	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newPluginsReloadCommand is host plugins reload.
func newPluginsReloadCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload [NAME]", Short: "let new files of a plugin take over while host runs", Args: atMost(1, "NAME"),
		Long: `Reload looks at the files of a plugin again. A new process is started from them
beside the one that runs. When it is verified, healthy and configured, and has
answered what the old one was asked last, it takes over between two checks. When
it is worse the old one goes on, and the reason is shown.

Without NAME the whole plugin folder is looked at: what is new is started, what
has changed is reloaded, and what is gone is stopped, unless the configuration
requires it.

Exit code 0 when all went well, 5 when a plugin was kept as it was or does not
run, or when there is no such plugin, 3 when no host runs.`,
		Example: "  host plugins reload network\n  host plugins reload",
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := c.ask()
			if err != nil {
				return err
			}
			var all adminapi.PluginChanges
			var answer any
			if len(args) == 0 {
				all, err = h.client.RescanPlugins(cmd.Context())
				answer = all
			} else {
				var one adminapi.PluginChange
				one, err = h.client.ReloadPlugin(cmd.Context(), args[0])
				all.Changes, answer = []adminapi.PluginChange{one}, one
			}
			switch problem.Code(err) {
			case problem.NotFound, problem.PluginsMissing:
				return &exitError{exitPlugins, err}
			}
			if err != nil {
				return h.unanswered(err)
			}
			if err := c.print(answer, func(p *page) { pluginChangesPage(p, all) }); err != nil {
				return err
			}
			for _, change := range all.Changes {
				if change.Error != "" {
					return &exitError{code: exitPlugins}
				}
			}
			return nil
		},
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

func pluginChangesPage(p *page, all adminapi.PluginChanges) {
	if len(all.Changes) == 0 {
		p.printf("no plugins\n")
		return
	}
	for _, change := range all.Changes {
		version := change.Version
		switch {
		case change.Outcome == "removed":
			version = change.VersionBefore
		case change.VersionBefore != "" && change.VersionBefore != change.Version:
			version = change.VersionBefore + " -> " + change.Version
		}
		p.printf("%s %s", change.Name, change.Outcome)
		if version != "" {
			p.printf(" (%s)", version)
		}
		if change.Error != "" {
			p.printf(": %s", withHint(change.Error, change.Hint))
		}
		p.printf("\n")
	}
}
