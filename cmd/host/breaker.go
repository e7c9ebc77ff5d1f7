package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newBreakerCommand is host breaker.
func newBreakerCommand(c *cli) *cobra.Command {
	show := &cobra.Command{
		Use: "breaker", Short: "show the circuit breaker of recovery, open it or close it", Args: operands(),
		Long: `Breaker shows the circuit breaker of recovery. Closed, it lets attempts through;
after too many that did not help it is open and lets none through, and after a
time half-open, which lets one through as a trial.`,
		Example: "  host breaker\n  host breaker open --reason \"the cause is known\"\n  host breaker close --reason \"the disk was replaced\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.breaker(func(client *adminapi.Client) (adminapi.Breaker, error) { return client.Breaker(cmd.Context()) })
		},
	}
	set := func(open bool, use, short, long string) *cobra.Command {
		var reason string
		cmd := &cobra.Command{
			Use: use + " --reason TEXT", Short: short, Args: operands(), Long: long + "\nExit code 0 when it is so, 2 without a reason, 3 when no host runs.",
			Example: fmt.Sprintf("  host breaker %s --reason \"the cause is known\"", use),
			RunE: func(cmd *cobra.Command, _ []string) error {
				if err := needReason(reason); err != nil {
					return err
				}
				return c.breaker(func(client *adminapi.Client) (adminapi.Breaker, error) {
					return client.SetBreaker(cmd.Context(), open, reason)
				})
			},
		}
		cmd.Flags().StringVar(&reason, "reason", "", "why, for everybody who looks")
		return cmd
	}
	all := []*cobra.Command{show,
		set(true, "open", "let recovery begin nothing until somebody closes the breaker", "Open opens the breaker. It stays open until host breaker close: unlike a pause it\ndoes not end by itself.\n"),
		set(false, "close", "let recovery begin attempts again", "Close closes the breaker, whoever or whatever opened it, and forgets the failures\nthat it counted.\n"),
	}
	for _, one := range all {
		c.hostFlags(one)
		c.outputFlags(one)
	}
	show.AddCommand(all[1:]...)
	return show
}

// breaker asks for the breaker and shows it.
func (c *cli) breaker(ask func(*adminapi.Client) (adminapi.Breaker, error)) error {
	h, err := c.ask()
	if err != nil {
		return err
	}
	b, err := ask(h.client)
	if err != nil {
		return h.unanswered(err)
	}
	return c.print(b, func(p *page) {
		p.printf("breaker %s  %d/%d failures", p.paint(b.State, b.State), b.Failures, b.FailureThreshold)
		if b.RemainingSeconds > 0 {
			p.printf("  for %s more", problem.Age(seconds(b.RemainingSeconds)))
		}
		p.printf("%s\n", byWhom(b))
	})
}

// byWhom says who made the breaker what it is, if somebody did by hand.
func byWhom(b adminapi.Breaker) string {
	if b.By == "" {
		return ""
	}
	return fmt.Sprintf("  by %s: %s", oneLine(b.By), oneLine(b.Reason))
}
