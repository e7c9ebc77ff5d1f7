package main

import (
	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newRecoverCommand is host recover.
func newRecoverCommand(c *cli) *cobra.Command {
	var order adminapi.RecoverRequest
	cmd := &cobra.Command{
		Use: "recover ACTION", Short: "take an action of recovery by hand", Args: operands("ACTION"),
		Long: `Recover takes an action of recovery by hand, also when nothing is wrong: e.g.
clear_connections or restart_service. It is an attempt as every other, judged by
the health that follows; host history has its outcome. The pause after an attempt,
the budgets, the breaker, a pause and safe mode hold it up, unless --force says
that they shall not. emergency_stop is taken only while health is critical, or
with --force.

With --preview nothing is done: the answer says what would become of it, and how
many clients are connected.

Exit code 0 when the action is taken, or would be, 2 for a mistake on the command
line, 3 when no host runs, 7 when recovery's guard does not let it be taken now;
the answer says by which rule, and how long that still holds.`,
		Example: "  host recover restart_service --preview\n  host recover clear_connections --reason \"stuck clients\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if order.Force {
				if err := needReason(order.Reason); err != nil {
					return err
				}
			}
			h, err := c.ask()
			if err != nil {
				return err
			}
			order.Action = args[0]
			r, err := h.client.Recover(cmd.Context(), order)
			if err != nil {
				return h.unanswered(err)
			}
			if err := c.print(r, func(p *page) {
				if r.Preview && r.Decision.Verdict == "run" {
					p.printf("%s would be taken; %d clients are connected\n", oneLine(r.Decision.Action), r.Clients)
					return
				}
				decisionPage(p, r.Decision)
			}); err != nil {
				return err
			}
			return decided(r.Decision)
		},
	}
	cmd.Flags().BoolVar(&order.Preview, "preview", false, "do nothing, and say what would happen and to how many clients")
	cmd.Flags().StringVar(&order.Reason, "reason", "", "why, for the log and the history")
	cmd.Flags().BoolVar(&order.Force, "force", false, "take it although the breaker, a budget or a pause speaks against it; needs --reason")
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}
