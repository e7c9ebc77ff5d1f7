package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newHistoryCommand is host history.
func newHistoryCommand(c *cli) *cobra.Command {
	var limit int
	var window time.Duration
	cmd := &cobra.Command{
		Use: "history", Short: "show what happened: rounds of checks, changes of health, recoveries", Args: operands(),
		Long: `History shows what happened since host started, newest first. With --json it
gives the three lists apart: reports, transitions and recoveries.`,
		Example: "  host history\n  host history --window 24h --limit 100",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return &usageError{fmt.Sprintf("--limit %d is no limit", limit), "give a number from 1 to 1000"}
			}
			if window <= 0 || window > 7*24*time.Hour {
				return &usageError{fmt.Sprintf("--window %s is no window", window), "give a time such as 30m or 24h, at most 168h"}
			}
			h, err := c.ask()
			if err != nil {
				return err
			}
			past, err := h.client.History(cmd.Context(), window, limit)
			if err != nil {
				return h.unanswered(err)
			}
			return c.print(past, func(p *page) { historyPage(p, past, time.Now()) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "show at most so many lines (with --json: of each kind)")
	cmd.Flags().DurationVar(&window, "window", time.Hour, "go back so far")
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

func historyPage(p *page, past adminapi.History, now time.Time) {
	type line struct {
		at    time.Time
		cells []string
	}
	var lines []line
	add := func(at time.Time, kind, what, detail string) {
		lines = append(lines, line{at, []string{problem.Age(max(0, now.Sub(at))) + " ago", kind, what, oneLine(detail)}})
	}
	// Where times are equal the order is that of cause and effect, newest first.
	for _, e := range past.Recoveries {
		detail := fmt.Sprintf("%s %s", e.Incident, took(e.DurationMS))
		for _, text := range []string{e.Reason, e.Error} {
			if text != "" {
				detail += ": " + text
			}
		}
		add(e.Time, "recovery", e.Action+" "+e.Outcome, detail)
	}
	for _, t := range past.Transitions {
		add(t.Time, "change", t.From+" -> "+t.To, "")
	}
	for _, r := range past.Reports {
		add(r.Time, "report", r.Status, fmt.Sprintf("#%d %s %s", r.Sequence, took(r.DurationMS), r.Reason))
	}
	if len(lines) == 0 {
		p.printf("nothing happened in the last %s\n", problem.Age(seconds(past.WindowSeconds)))
		return
	}
	slices.SortStableFunc(lines, func(a, b line) int { return b.at.Compare(a.at) })
	rows := [][]string{{"WHEN", "KIND", "WHAT", "DETAIL"}}
	for _, l := range lines[:min(len(lines), past.Limit)] {
		rows = append(rows, l.cells)
	}
	p.table(rows)
}
