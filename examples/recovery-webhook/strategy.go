package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/upkeephub/upkeep/sdk"
)

// Decide proposes what to do now. Host, behind its guard and breaker, acts: it
// may pass over a proposal, and asks again.
func (st strategy) Decide(_ context.Context, s sdk.Situation) (sdk.Proposal, error) {
	settings := st.Current()
	can := func(action sdk.Action) bool {
		return slices.ContainsFunc(s.Actions, func(a sdk.ActionState) bool { return a.Action == action && a.Applicable })
	}
	critical := 0
	for _, past := range s.History {
		if past.StatusWithoutLoad == sdk.Critical {
			critical++
		}
	}
	called := slices.ContainsFunc(s.Incident.Attempts, func(a sdk.Attempt) bool { return a.Action == callWebhook })
	ill := s.Report.StatusWithoutLoad == sdk.Critical && critical >= settings.CriticalReports
	switch {
	case s.Report.Status == sdk.Healthy:
		return sdk.Proposal{Rule: "healthy", Reason: "The report is healthy."}, nil
	case ill && called:
		return sdk.Proposal{Rule: "called", Reason: "The webhook was called in this incident."}, nil
	case ill && settings.URL != "" && can(callWebhook):
		return sdk.Proposal{Action: callWebhook, Rule: "critical", Reason: fmt.Sprintf("%d reports were critical.", critical)}, nil
	case can(sdk.LogWarning) && s.Incident.WarningLoggedAt.IsZero():
		return sdk.Proposal{Action: sdk.LogWarning, Rule: "not_healthy", Reason: "The hub is not healthy, and nobody was told."}, nil
	}
	return sdk.Proposal{Rule: "waiting", Reason: "Nothing can be done now that was not done."}, nil
}
