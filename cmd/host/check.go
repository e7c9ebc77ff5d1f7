package main

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newCheckCommand is host check.
func newCheckCommand(c *cli) *cobra.Command {
	var ready, live bool
	cmd := &cobra.Command{
		Use: "check [--ready|--live]", Short: "say in one line and by exit code whether a host is well", Args: operands(),
		Long: `Check answers yes or no, for scripts and container probes: is health good enough
(as /health has it), are clients served (--ready), does host's own loop turn
(--live).

With --json the answer has probe, ok, status and message, and problem, the error
health_check_failed, when a check is why. host explain --guide then tells more.

Exit code 0 yes, 6 no, 3 when no host runs.`,
		Example: "  host check && echo well\n  HEALTHCHECK CMD [\"/host\", \"check\", \"--ready\"]",
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind := adminapi.Healthy
			switch {
			case ready && live:
				return &usageError{"--ready and --live are two questions", "ask one of them at a time"}
			case ready:
				kind = adminapi.Ready
			case live:
				kind = adminapi.Live
			}
			h, err := c.ask()
			if err != nil {
				return c.no(kind, err)
			}
			probe, err := h.client.Probe(cmd.Context(), kind)
			if err != nil {
				return c.no(kind, h.unanswered(err))
			}
			if err := c.print(probe, func(p *page) { probeLine(p, probe) }); err != nil {
				return err
			}
			if told := new(problem.Error); !probe.OK && len(probe.Problem) > 0 && json.Unmarshal(probe.Problem, told) == nil {
				c.remember(told) // for host explain --guide
			}
			if !probe.OK {
				return &exitError{code: exitUnhealthy}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether clients are served")
	cmd.Flags().BoolVar(&live, "live", false, "ask whether host's own loop turns")
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

// no is the answer when host could not be asked: one line as well.
func (c *cli) no(kind adminapi.ProbeKind, err error) error {
	exit, ok := errors.AsType[*exitError](err)
	told, explained := errors.AsType[*problem.Error](err)
	if !ok || !explained {
		return err
	}
	probe := adminapi.Probe{Probe: kind, Status: "unknown", Message: told.What}
	if err := c.print(probe, func(p *page) { probeLine(p, probe) }); err != nil {
		return err
	}
	return &exitError{code: exit.code}
}

func probeLine(p *page, probe adminapi.Probe) {
	word := string(probe.Probe)
	switch {
	case !probe.OK:
		word = "not " + word
	case probe.Probe == adminapi.Healthy:
		word = probe.Status // which may be a warning, or not known yet
	}
	p.printf("%s: %s\n", word, oneLine(probe.Message))
}
