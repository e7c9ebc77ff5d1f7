package app

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/core/health"
	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/systemd"
)

// loopPatience is how long the monitor's loop, which turns every second, may stand
// still before the service manager gets no more signs of life. It is more than a
// busy machine needs, and less than any watchdog of use.
const loopPatience = 5 * time.Second

// findManager looks whether a service manager wants to be told. What is meant for
// this process alone is taken out of the environment that children get.
func (a *App) findManager() {
	var err error
	if a.manager, err = systemd.New(os.Getenv, os.Getpid()); err != nil {
		a.log.Warn("the service manager cannot be told everything", "error", err)
	}
	for _, name := range systemd.Variables() {
		_ = os.Unsetenv(name)
	}
	if a.manager.Told() {
		a.log.Info("the service manager is told", "watchdog", a.manager.Watchdog())
	}
}

// tellManager logs that telling failed. Nothing depends on it.
func (a *App) tellManager(err error) {
	if err != nil {
		a.log.Warn("the service manager was not told", "error", err)
	}
}

// feedManager gives signs of life as long as the monitor's loop turns.
func (a *App) feedManager(ctx context.Context) error {
	a.manager.Feed(ctx, func(now time.Time) bool {
		beat := a.monitor.Beat()
		if beat.IsZero() {
			beat = a.started
		}
		return now.Sub(beat) < loopPatience || a.Phase() == httpapi.Stopping
	}, func() {
		a.log.Error("the monitor's loop stands still: the service manager gets no more signs of life and will start host anew",
			"since", a.monitor.Beat())
	})
	return nil
}

// statusLine says in one line how host is.
func (a *App) statusLine() string {
	return a.statusLineOf(httpapi.Judge(a.Snapshot(), time.Now()).Status)
}

// statusLineOf is the line for a status that the snapshot may not show yet.
func (a *App) statusLineOf(status health.Status) string {
	s := a.Snapshot()
	return fmt.Sprintf("%s, %d clients, listening on %s", status, s.Hub.Statistics.ConnectedClients, strings.Join(s.Server.Addresses, " "))
}
