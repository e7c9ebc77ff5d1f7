package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/core/recovery"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// defaultPause is how long recovery is paused when nobody says for how long.
const defaultPause = time.Hour

// newPauseCommand is host pause.
func newPauseCommand(c *cli) *cobra.Command {
	var d time.Duration
	var reason string
	cmd := &cobra.Command{
		Use: "pause --reason TEXT", Short: "let recovery begin nothing for a while", Args: operands(),
		Long: `Pause lets recovery begin no attempt for a while, e.g. during maintenance. Health
is watched and a dead hub is replaced all the same, warnings are logged, and an
attempt that is under way goes on. A pause ends by itself; another one gives the
present one another end. host status and /diagnostics show who paused and why.

Exit code 0 when it is paused, 2 for a mistake on the command line, 3 when no
host runs.`,
		Example: "  host pause --reason \"moving the database\"\n  host pause --for 20m --reason \"load test\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d <= 0 || d > recovery.MaxPause {
				return &usageError{fmt.Sprintf("--for %s: a pause of that time cannot be", d), "give more than 0 and at most 720h, e.g. 1h"}
			}
			if err := needReason(reason); err != nil {
				return err
			}
			h, err := c.ask()
			if err != nil {
				return err
			}
			p, err := h.client.PauseRecovery(cmd.Context(), d, reason)
			if err != nil {
				return h.unanswered(err)
			}
			return c.print(p, func(out *page) {
				out.printf("recovery is paused until %s (%s); end it before: host resume%s\n", p.Until.Local().Format("2006-01-02 15:04:05"), problem.Age(d), h.flags())
			})
		},
	}
	cmd.Flags().DurationVar(&d, "for", defaultPause, "how long, e.g. 20m; at most 720h")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for everybody who looks")
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

// needReason wants the --reason that others will read.
func needReason(reason string) error {
	if oneLine(reason) == "" {
		return &usageError{"the reason is missing", "say why, for everybody who looks: --reason \"…\""}
	}
	return nil
}

// newResumeCommand is host resume.
func newResumeCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume", Short: "end a pause of recovery", Args: operands(),
		Long: `Resume ends the pause that host pause began, before its time.

Exit code 0 when recovery is not paused, also when it was not before, 3 when no
host runs.`,
		Example: "  host resume",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := c.ask()
			if err != nil {
				return err
			}
			r, err := h.client.ResumeRecovery(cmd.Context())
			if err != nil {
				return h.unanswered(err)
			}
			return c.print(r, func(p *page) {
				if r.Paused {
					p.printf("recovery is resumed\n")
				} else {
					p.printf("recovery was not paused\n")
				}
			})
		},
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

// steerRows are what people did to recovery and what it asks them, for status.
func steerRows(s adminapi.Status) [][]string {
	var rows [][]string
	if p := s.Recovery.Pause; p != nil {
		rows = append(rows, []string{"paused", problem.Age(max(0, p.Until.Sub(s.Timestamp))), fmt.Sprintf("more, by %s: %s", oneLine(p.By), oneLine(p.Reason))})
	}
	if a := s.Recovery.Approval; a != nil {
		rows = append(rows, []string{"approval", a.ID, fmt.Sprintf("%s waits for a yes for %s, else it is %s: host approve %s", oneLine(a.Action), problem.Age(max(0, a.Until.Sub(s.Timestamp))), a.Default, a.ID)})
	}
	return rows
}
