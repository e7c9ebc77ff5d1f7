package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/core/recovery"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/hubproc"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

const (
	// maxQuarantined is how many are kept out at a time. When it is full, who would
	// come back first gives way.
	maxQuarantined = 256
	// tellTimeout bounds how long the hub may take to hear who is let in again.
	tellTimeout = 2 * time.Second
)

// quarantine is who is kept out. The hub does it; host remembers, so that a new hub
// knows from the beginning.
type quarantine struct {
	mu      sync.Mutex
	serial  int
	entries []quarantined // oldest first
	// telling is held while the hub is told, so that it is told in order.
	telling sync.Mutex
}

// quarantined is one who is kept out.
type quarantined struct {
	recovery.Offender
	id       string
	since    time.Time
	until    time.Time
	incident string
}

// add keeps offenders out until a time, once each.
func (q *quarantine) add(now, until time.Time, incident string, offenders []recovery.Offender) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, o := range offenders {
		q.entries = slices.DeleteFunc(q.entries, func(e quarantined) bool { return e.Kind == o.Kind && e.ID == o.ID })
		q.serial++
		q.entries = append(q.entries, quarantined{o, fmt.Sprintf("qua-%d", q.serial), now, until, incident})
	}
	for len(q.entries) > maxQuarantined {
		first := 0
		for i, e := range q.entries {
			if e.until.Before(q.entries[first].until) {
				first = i
			}
		}
		q.entries = slices.Delete(q.entries, first, first+1)
	}
}

// remove lets in again who is kept out under an id; "" means everybody.
func (q *quarantine) remove(now time.Time, id string) []quarantined {
	q.mu.Lock()
	defer q.mu.Unlock()
	var removed []quarantined
	q.entries = slices.DeleteFunc(q.entries, func(e quarantined) bool {
		match := now.Before(e.until) && (id == "" || e.id == id)
		if match {
			removed = append(removed, e)
		}
		return match
	})
	return removed
}

// present are those who are kept out now, oldest first.
func (q *quarantine) present(now time.Time) []quarantined {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries = slices.DeleteFunc(q.entries, func(e quarantined) bool { return !now.Before(e.until) })
	return slices.Clone(q.entries)
}

// tellHub tells the hub who is kept out now. It returns how many were disconnected.
func (a *App) tellHub(ctx context.Context) (int64, error) {
	a.quarantine.telling.Lock()
	defer a.quarantine.telling.Unlock()
	var list []hubproc.Quarantined
	for _, e := range a.quarantine.present(time.Now()) {
		list = append(list, hubproc.Quarantined{Kind: e.Kind, ID: e.ID, Address: e.Address, Until: e.until})
	}
	return a.keeper.SetQuarantine(ctx, list)
}

// suspects are who and what causes most, as the hub said last.
func (a *App) suspects() ([]recovery.Suspect, int64) {
	s := a.keeper.Snapshot().Statistics
	return suspectsOf(s), s.GetConnectedClients()
}

func suspectsOf(s *hubv1.Statistics) []recovery.Suspect {
	var list []recovery.Suspect
	for _, one := range s.GetSuspects() {
		list = append(list, recovery.Suspect{
			Kind: one.GetKind(), ID: one.GetId(), Measure: one.GetMeasure(), Share: one.GetShare(), Rate: one.GetRate(), Clients: one.GetClients(),
			Address: one.GetAddress(), AddressClients: one.GetAddressClients(), Token: one.GetToken(), TokenClients: one.GetTokenClients(),
		})
	}
	return list
}

func (a *App) offenderPolicy() recovery.OffenderPolicy {
	q := a.inForce().Recovery.Quarantine
	return recovery.OffenderPolicy{MinShare: float64(q.MinSharePercent) / 100, MaxOffenders: q.MaxOffenders, Duration: q.Duration.Duration()}
}

// offenders are those who would be put into quarantine now, or why there are none.
func (a *App) offenders() ([]recovery.Offender, string) {
	if state := a.keeper.Snapshot().State; state != hubproc.Running {
		return nil, fmt.Sprintf("the hub is %s: nobody is connected", state)
	}
	suspects, connected := a.suspects()
	now := time.Now()
	out := a.quarantine.present(now)
	// What somebody did who is kept out already fades, and calls for nothing more.
	suspects = slices.DeleteFunc(suspects, func(s recovery.Suspect) bool {
		return slices.ContainsFunc(out, func(e quarantined) bool { return e.Kind == s.Kind && e.ID == s.ID })
	})
	return a.offenderPolicy().Find(suspects, connected)
}

// quarantineOffenders is the action quarantine_offender.
func (a *App) quarantineOffenders(ctx context.Context, order monitor.Order) error {
	found, why := a.offenders()
	if len(found) == 0 {
		return errors.New(why)
	}
	now := time.Now()
	until := now.Add(a.offenderPolicy().Duration)
	a.quarantine.add(now, until, order.Incident, found)
	disconnected, err := a.tellHub(ctx)
	for _, o := range found {
		a.log.Warn("kept out, because of what it did", "kind", o.Kind, "name", o.ID, "measure", o.Measure,
			"share", o.Share, "rate", o.Rate, "until", until, "incident", order.Incident, "attempt", order.Attempt)
	}
	if err == nil {
		a.log.Info("offenders disconnected", "attempt", order.Attempt, "offenders", len(found), "disconnected", disconnected)
	}
	return err
}

// Quarantine lists who is kept out.
func (o *operations) Quarantine() adminapi.Quarantine {
	a, now := (*App)(o), time.Now()
	out := adminapi.Quarantine{SchemaVersion: adminapi.SchemaVersion, Entries: []adminapi.Quarantined{}}
	for _, e := range a.quarantine.present(now) {
		out.Entries = append(out.Entries, adminQuarantined(e))
	}
	return out
}

func adminQuarantined(e quarantined) adminapi.Quarantined {
	return adminapi.Quarantined{
		ID: e.id, Kind: e.Kind, Name: e.ID, Address: e.Address, Measure: e.Measure, Share: e.Share, Rate: e.Rate,
		Since: e.since.UTC(), Until: e.until.UTC(), Incident: e.incident,
	}
}

// ReleaseQuarantine lets one, or with an empty id everybody, in again.
func (o *operations) ReleaseQuarantine(ctx context.Context, id string) (adminapi.Quarantine, error) {
	a := (*App)(o)
	out := adminapi.Quarantine{SchemaVersion: adminapi.SchemaVersion, Entries: []adminapi.Quarantined{}}
	removed := a.quarantine.remove(time.Now(), id)
	if len(removed) == 0 && id != "" {
		return out, &problem.Error{Code: problem.NotFound, What: fmt.Sprintf("nobody is kept out under %q", id),
			Why: "its time may be over", Steps: []string{"see who is kept out: host quarantine list"}}
	}
	var names []string
	for _, e := range removed {
		out.Entries = append(out.Entries, adminQuarantined(e))
		names = append(names, e.Kind+" "+e.ID)
	}
	if len(removed) == 0 {
		return out, nil
	}
	a.log.Info("let in again by an admin request", "names", strings.Join(names, ", "))
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if _, err := a.tellHub(ctx); err != nil { // the next hub knows, and time ends it
		a.log.Warn("the hub was not told who is let in again", "error", err)
	}
	return out, nil
}

// adminSuspects are the gravest suspects that are somebody, for the screen.
func adminSuspects(list []recovery.Suspect) []adminapi.Suspect {
	out := []adminapi.Suspect{}
	for _, s := range list {
		out = append(out, adminapi.Suspect{Kind: s.Kind, Name: s.ID, Measure: s.Measure, Share: s.Share, Rate: s.Rate, Clients: s.Clients, Address: s.Address})
	}
	return out
}

func shownSuspects(list []recovery.Suspect) []httpapi.Suspect {
	var out []httpapi.Suspect
	for _, s := range list {
		out = append(out, httpapi.Suspect{Kind: s.Kind, Name: s.ID, Measure: s.Measure, Share: s.Share, Rate: s.Rate, Clients: s.Clients, Address: s.Address})
	}
	return out
}

func shownQuarantine(list []quarantined) []httpapi.Quarantined {
	var out []httpapi.Quarantined
	for _, e := range list {
		out = append(out, httpapi.Quarantined{ID: e.id, Kind: e.Kind, Name: e.ID, Measure: e.Measure, Since: e.since, Until: e.until, Incident: e.incident})
	}
	return out
}
