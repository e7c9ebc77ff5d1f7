package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newQuarantineCommand is host quarantine.
func newQuarantineCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine", Short: "show who is kept out of the hub, and let them in again",
		Long: `Quarantine is about clients that are kept out for a while, because they caused
most of the trouble of an ill hub: recovery disconnects them before it does
anything that everybody feels.`,
		Example: "  host quarantine list\n  host quarantine release qua-1",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return &usageError{"quarantine what?", "host quarantine list or release"}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	list := &cobra.Command{
		Use: "list", Short: "list who is kept out, for what and for how long", Args: operands(),
		Long: `List shows who is kept out, the oldest first: a client by the id of its socket,
an address, or a token by its name; what it did, in which incident, and when it
may come back.`,
		Example: "  host quarantine list\n  host quarantine list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := c.ask()
			if err != nil {
				return err
			}
			q, err := h.client.Quarantine(cmd.Context())
			if err != nil {
				return h.unanswered(err)
			}
			return c.print(q, func(p *page) { quarantinePage(p, q, time.Now()) })
		},
	}
	var all bool
	release := &cobra.Command{
		Use: "release [ID]", Short: "let one in again who is kept out", Args: atMost(1, "ID"),
		Long: `Release lets one in again by the ID that host quarantine list shows, or with
--all everybody. A client that was told to stay away has to be started again.

Exit code 0 when it is done, 1 when nobody is kept out under that ID, 3 when no
host runs.`,
		Example: "  host quarantine release qua-1\n  host quarantine release --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return &usageError{"release whom?", "give one ID of host quarantine list, or --all"}
			}
			h, err := c.ask()
			if err != nil {
				return err
			}
			id := ""
			if !all {
				id = args[0]
			}
			q, err := h.client.ReleaseQuarantine(cmd.Context(), id)
			if problem.Code(err) == problem.NotFound {
				return err
			}
			if err != nil {
				return h.unanswered(err)
			}
			return c.print(q, func(p *page) {
				for _, e := range q.Entries {
					p.printf("%s released: %s %s\n", e.ID, e.Kind, oneLine(e.Name))
				}
				if len(q.Entries) == 0 {
					p.printf("nobody is kept out\n")
				}
			})
		},
	}
	release.Flags().BoolVar(&all, "all", false, "let everybody in again")
	for _, one := range []*cobra.Command{list, release} {
		c.hostFlags(one)
		c.outputFlags(one)
	}
	cmd.AddCommand(list, release)
	return cmd
}

func quarantinePage(p *page, q adminapi.Quarantine, now time.Time) {
	if len(q.Entries) == 0 {
		p.printf("nobody is kept out\n")
		return
	}
	rows := [][]string{{"ID", "KIND", "NAME", "LEFT", "INCIDENT", "BECAUSE"}}
	for _, e := range q.Entries {
		because := fmt.Sprintf("%.0f%% of all %s, %s a second", 100*e.Share, e.Measure, number(e.Rate))
		if e.Address != "" {
			because += ", from " + oneLine(e.Address)
		}
		rows = append(rows, []string{e.ID, e.Kind, oneLine(e.Name), problem.Age(max(0, e.Until.Sub(now))), dash(e.Incident), because})
	}
	p.table(rows)
}

// maxSuspectRows bounds what status shows of those who cause most.
const maxSuspectRows = 5

// suspectRows are the clients, addresses and tokens that cause most, each once.
func suspectRows(suspects []adminapi.Suspect) [][]string {
	seen := map[string]bool{}
	var rows [][]string
	for _, s := range suspects {
		key := s.Kind + " " + s.Name
		if s.Kind == "room" || s.Kind == "event" || seen[key] || s.Share < 0.5 || len(rows) == maxSuspectRows {
			continue
		}
		seen[key] = true
		rows = append(rows, []string{"causes most", s.Kind, fmt.Sprintf("%s: %.0f%% of all %s, %s a second", oneLine(s.Name), 100*s.Share, s.Measure, number(s.Rate))})
	}
	return rows
}
