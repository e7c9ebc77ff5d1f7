package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newApprovalsCommand is host approvals.
func newApprovalsCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "approvals", Short: "list the actions of recovery that wait for a yes", Args: operands(),
		Long: `Approvals lists the questions that recovery asked, the newest first: what it wants
to do and why, until when it waits, and what the answer is when nobody gives one.
Which actions wait for a yes is set by recovery.approval. A question gets exactly
one answer: the first one.`,
		Example: "  host approvals\n  host approvals --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := c.ask()
			if err != nil {
				return err
			}
			a, err := h.client.Approvals(cmd.Context())
			if err != nil {
				return h.unanswered(err)
			}
			return c.print(a, func(p *page) { approvalsPage(p, a, time.Now()) })
		},
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

func approvalsPage(p *page, a adminapi.Approvals, now time.Time) {
	if len(a.Approvals) == 0 {
		p.printf("nothing waits for a yes\n")
		return
	}
	rows := [][]string{{"ID", "ACTION", "ANSWER", "BY", "LEFT", "ELSE", "INCIDENT", "BECAUSE"}}
	for _, one := range a.Approvals {
		left := "-"
		if one.Answered == nil && one.Answer == "waiting" {
			left = problem.Age(max(0, one.Until.Sub(now)))
		}
		rows = append(rows, []string{one.ID, oneLine(one.Action), one.Answer, dash(oneLine(one.By)), left, one.Default, dash(one.Incident), dash(oneLine(one.Reason))})
	}
	p.table(rows)
}

// newApproveCommand is host approve.
func newApproveCommand(c *cli) *cobra.Command {
	return answerCommand(c, true, &cobra.Command{
		Use: "approve ID", Short: "say yes to an action of recovery",
		Long: `Approve says yes to the question with the ID that host approvals and host status
show. The action goes before recovery's guard once more, with the health of now:
what has become wrong meanwhile is not done.

Exit code 0 when the action is taken, 1 when there is no such question or it has
its answer already, 3 when no host runs, 7 when recovery's guard does not let the
action be taken now; the answer says by which rule.`,
		Example: "  host approve apr-20260301t120000-7",
	})
}

// newDenyCommand is host deny.
func newDenyCommand(c *cli) *cobra.Command {
	return answerCommand(c, false, &cobra.Command{
		Use: "deny ID", Short: "say no to an action of recovery",
		Long: `Deny says no to the question with the ID that host approvals and host status show.
The action is not asked for again in this incident.

Exit code 0 when the answer is no now, 1 when there is no such question or it has
its answer already, 3 when no host runs.`,
		Example: "  host deny apr-20260301t120000-7",
	})
}

func answerCommand(c *cli, yes bool, cmd *cobra.Command) *cobra.Command {
	cmd.Args = operands("ID")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h, err := c.ask()
		if err != nil {
			return err
		}
		d, err := h.client.AnswerApproval(cmd.Context(), args[0], yes)
		if err != nil {
			return h.unanswered(err)
		}
		if err := c.print(d, func(p *page) {
			if yes {
				decisionPage(p, d)
			} else {
				p.printf("%s is denied\n", oneLine(d.Action))
			}
		}); err != nil || !yes {
			return err
		}
		return decided(d)
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

// decisionPage says what became of an action.
func decisionPage(p *page, d adminapi.Decision) {
	switch {
	case d.DryRun && d.Verdict == "run":
		p.printf("%s would be taken: it is a dry run\n", oneLine(d.Action))
	case d.Verdict == "run":
		p.printf("%s is taken: attempt %s of %s, at most %s; health says whether it helped: host history\n", oneLine(d.Action), dash(d.Attempt), dash(d.Incident), problem.Age(seconds(d.DeadlineSeconds)))
	default:
		p.printf("%s is not taken: %s (%s)\n", oneLine(d.Action), oneLine(d.Reason), d.Rule)
	}
}

// decided is exit code 7 for what the guard does not let happen.
func decided(d adminapi.Decision) error {
	if d.Verdict == "run" {
		return nil
	}
	return &exitError{code: exitRefused}
}
