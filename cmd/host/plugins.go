package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newPluginsCommand is host plugins.
func newPluginsCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "plugins", Short: "list the plugins of a running host", Args: operands(),
		Long: `Plugins lists what was found in the plugin folder of a running host: what runs,
what does not, and why not.

Exit code 0 when every plugin runs or is on its way, 5 when one is refused or
quarantined, 3 when no host runs.`,
		Example: "  host plugins\n  host plugins reload network\n  host plugins test ./plugins/network",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := c.ask()
			if err != nil {
				return err
			}
			list, err := h.client.Plugins(cmd.Context())
			if err != nil {
				return h.unanswered(err)
			}
			if err := c.print(list, func(p *page) { pluginsPage(p, list) }); err != nil {
				return err
			}
			for _, p := range list.Plugins {
				if p.State == "refused" || p.State == "quarantined" {
					return &exitError{code: exitPlugins}
				}
			}
			return nil
		},
	}
	release := &cobra.Command{
		Use: "release NAME", Short: "start a plugin now that waits, is quarantined or was refused", Args: operands("NAME"),
		Long: `Release starts a plugin at once that is quarantined, was refused, or waits for
its next start; its crashes are forgotten, and its file may have changed. A
plugin that runs is left alone.

Exit code 0 when it is on its way, 5 when there is no such plugin, 3 when no
host runs.`,
		Example: "  host plugins release network",
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := c.ask()
			if err != nil {
				return err
			}
			p, err := h.client.ReleasePlugin(cmd.Context(), args[0])
			if problem.Code(err) == problem.NotFound {
				return &exitError{exitPlugins, err}
			}
			if err != nil {
				return h.unanswered(err)
			}
			return c.print(p, func(out *page) { out.printf("%s %s\n", p.Name, p.State) })
		},
	}
	for _, one := range []*cobra.Command{cmd, release} {
		c.hostFlags(one)
		c.outputFlags(one)
	}
	cmd.AddCommand(release, newPluginsReloadCommand(c))
	cmd.AddCommand(newPluginsNewCommand(c), newPluginsTestCommand(c), newPluginsRunCommand(c)) // for authors: they need no running host
	cmd.AddCommand(newPluginsLockCommand(c), newPluginsVerifyCommand(c), newPluginsSignCommand(c), newPluginsKeygenCommand(c))
	return cmd
}

func pluginsPage(p *page, list adminapi.Plugins) {
	rows := [][]string{{"NAME", "KIND", "VERSION", "STATE", "PID", "RESTARTS", "MEMORY", "DETAIL"}}
	for _, one := range list.Plugins {
		detail := one.Check
		if one.Interpreter != "" {
			detail = strings.TrimSpace(detail + " (run by " + oneLine(one.Interpreter) + ")")
		}
		switch {
		case one.State != "running" && one.LastError != "":
			detail = withHint(one.LastError, one.Hint)
		case one.ReloadError != "":
			detail = "not reloaded: " + withHint(one.ReloadError, one.ReloadHint)
		case len(one.Warnings) > 0:
			detail = "warning: " + oneLine(strings.Join(one.Warnings, "; "))
		}
		rows = append(rows, []string{one.Name, dash(strings.Join(one.Kinds, ",")), dash(one.Version), one.State, dash(fmt.Sprint(one.PID)), fmt.Sprint(one.Restarts), megabytes(one.MemoryBytes), detail})
	}
	for _, s := range list.Skipped {
		rows = append(rows, []string{s.Name, "-", "-", "skipped", "-", "-", "-", withHint(s.Reason, s.Remedy)})
	}
	if len(rows) == 1 {
		p.printf("no plugins in %s: nobody looks after the hub's health\n", list.Directory)
		return
	}
	p.table(rows)
	trustLine(p, list.Trust)
}

// trustLine says what the lock says, where there is anything to say.
func trustLine(p *page, t adminapi.PluginTrust) {
	switch {
	case t.Error != "":
		p.printf("no plugin is run: %s\n", withHint(t.Error, t.Hint))
	case t.SignedBy != "":
		p.printf("locked, signed by the trusted key %s\n", t.SignedBy)
	case t.Locked:
		p.printf("locked\n")
	}
	for _, w := range t.Warnings {
		p.printf("warning: %s\n", oneLine(w))
	}
}

// megabytes shows a size in MB; a dash where it is not known.
func megabytes(bytes uint64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%d MB", (bytes+1<<19)>>20)
}

func withHint(reason, hint string) string {
	if hint == "" {
		return oneLine(reason)
	}
	return oneLine(reason) + " (" + oneLine(hint) + ")"
}
