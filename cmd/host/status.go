package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

// newStatusCommand is host status.
func newStatusCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "show how a running host is", Args: operands(),
		Long: `Status shows the health of a running host on one screen: each check with its
age and its metrics, the hub, the breaker and the last recovery. It asks host
itself and never the hub, so it answers at once also while the hub hangs.

The answer of --json is that of GET /api/v1/status of the admin API, which is
documented and stable; so are those of plugins, history and reload.

Exit code 0 while clients are served well enough, 3 when no host runs, 6 when
health is critical, or unknown for too long, or host does not answer.`,
		Example: "  host status\n  host status --port 8766\n  host status --json | jq -r .status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := c.ask()
			if err != nil {
				return err
			}
			s, err := h.client.Status(cmd.Context())
			if err != nil {
				return h.unanswered(err)
			}
			if err := c.print(s, func(p *page) { statusPage(p, s) }); err != nil {
				return err
			}
			if !s.Serving {
				return &exitError{code: exitUnhealthy}
			}
			return nil
		},
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	return cmd
}

func statusPage(p *page, s adminapi.Status) {
	head := strings.ToUpper(s.Status)
	if s.Phase != "running" {
		head += " (" + s.Phase + ")"
	}
	p.printf("%s  %s:%d  pid %d  up %s  clients %d  events %s\n", p.paint(head, s.Status), s.Server.Host, s.Server.Port, s.Server.PID,
		problem.Age(seconds(s.Server.UptimeSeconds)), s.Hub.ClientsConnected, grouped(s.Hub.EventsProcessed))
	if s.Message != "" {
		p.printf("%s\n", oneLine(s.Message))
	}
	if len(s.Checks) > 0 {
		rows := [][]string{{"CHECK", "STATUS", "AGE", "TOOK", "DETAIL"}}
		for _, c := range s.Checks {
			age := problem.Age(seconds(c.AgeSeconds))
			if c.Stale {
				age += " (overdue)"
			}
			rows = append(rows, []string{c.Name, c.Status, age, took(c.DurationMS), checkDetail(c)})
		}
		p.table(rows)
	}
	rows := [][]string{{"hub", s.Hub.State, hubDetail(s.Hub)}, {"breaker", s.Recovery.Breaker.State, breakerDetail(s)}}
	if inc := s.Recovery.Incident; inc != nil {
		rows = append(rows, []string{"incident", inc.ID, fmt.Sprintf("open for %s, %d attempts: %s", problem.Age(s.Timestamp.Sub(inc.Opened)), inc.Attempts, strings.Join(inc.Causes, ", "))})
	}
	rows = append(rows, steerRows(s)...)
	rows = append(rows, suspectRows(s.Suspects)...)
	if n := s.Hub.Quarantined; n > 0 {
		rows = append(rows, []string{"quarantine", strconv.Itoa(n), "kept out: host quarantine list"})
	}
	p.table(rows)
}

// checkDetail is what a check says when it is not well, else its metrics that
// have a limit.
func checkDetail(c adminapi.CheckState) string {
	var parts []string
	if c.Status != "healthy" {
		for _, text := range append([]string{c.Message}, c.Errors...) {
			if text != "" {
				parts = append(parts, oneLine(text))
			}
		}
	}
	for _, m := range c.Metrics {
		value, isNumber := m.Value.(float64)
		if !isNumber || m.Threshold == nil || len(m.Labels) > 0 && m.Status == "healthy" {
			continue
		}
		part := m.Name
		for _, label := range m.Labels {
			part += "{" + label + "}"
		}
		parts = append(parts, fmt.Sprintf("%s %s (<%s)", part, number(value), number(*m.Threshold)))
	}
	if len(parts) == 0 {
		return oneLine(c.Message)
	}
	return strings.Join(parts, "  ")
}

func hubDetail(h adminapi.Hub) string {
	parts := []string{fmt.Sprintf("pid %s", dash(fmt.Sprint(h.PID))), fmt.Sprintf("restarts %d", h.Restarts)}
	if h.MissedHeartbeats > 0 {
		parts = append(parts, fmt.Sprintf("%d heartbeats missed", h.MissedHeartbeats))
	}
	if h.LastExit != "" {
		parts = append(parts, "the one before: "+oneLine(h.LastExit))
	}
	return strings.Join(parts, "  ")
}

func breakerDetail(s adminapi.Status) string {
	r := s.Recovery
	parts := []string{fmt.Sprintf("%d/%d failures", r.Breaker.Failures, r.Breaker.FailureThreshold)}
	if r.Breaker.RemainingSeconds > 0 {
		parts = append(parts, "for "+problem.Age(seconds(r.Breaker.RemainingSeconds))+" more")
	}
	if by := byWhom(r.Breaker); by != "" {
		parts = append(parts, strings.TrimSpace(by))
	}
	last := "none"
	if e := r.Last; e != nil {
		last = fmt.Sprintf("%s %s, %s ago", e.Action, e.Outcome, problem.Age(s.Timestamp.Sub(e.Time)))
	}
	parts = append(parts, "last recovery: "+last)
	switch {
	case !r.Enabled:
		parts = append(parts, "recovery switched off")
	case !r.Available:
		parts = append(parts, "recovery unavailable: "+oneLine(r.Why))
	}
	return strings.Join(parts, "  ")
}
