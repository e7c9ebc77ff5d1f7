package hubproc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

// Quarantined is somebody whom the hub keeps out for a while.
type Quarantined struct {
	Kind, ID string // "client", "address" or "token", and its name
	Address  string // of a client: where it came from; else empty
	Until    time.Time
}

// quarantine is who is kept out, by the hub in service and by those after it. The
// keeper's lock guards it.
type quarantine struct {
	version uint64
	list    []Quarantined
}

func (q quarantine) proto() *hubv1.Quarantine {
	p := &hubv1.Quarantine{Version: q.version}
	for _, e := range q.list {
		p.Entries = append(p.Entries, &hubv1.Quarantined{Kind: e.Kind, Id: e.ID, Address: e.Address, Until: timestamppb.New(e.Until)})
	}
	return p
}

// SetQuarantine says who is kept out from now on, in place of what was said before.
// The hub in service disconnects those that are here, and every hub after it is told
// before it accepts. It returns how many clients were disconnected. It blocks until
// the hub has answered, ctx ends, or Options.ClearDeadline is over; what it says
// holds for later hubs also when it fails. Without a hub it is not an error.
func (k *Keeper) SetQuarantine(ctx context.Context, list []Quarantined) (disconnected int64, err error) {
	k.mu.Lock()
	k.quarantine.version++
	k.quarantine.list = slices.Clone(list)
	now := k.quarantine.proto()
	hubs := []*worker{k.current, k.arriving}
	k.mu.Unlock()
	ctx, cancel := awakeTimeout(ctx, k.opts.ClearDeadline, k.opts.OwnLateness)
	defer cancel()
	for i, w := range hubs {
		if w == nil || i > 0 && w == hubs[0] {
			continue
		}
		answer, failed := w.client.Quarantine(ctx, &hubv1.QuarantineRequest{Quarantine: now})
		if failed != nil && w == hubs[0] { // one that is arriving and fails is replaced by one that is told
			err = fmt.Errorf("quarantine: %w", w.explain(ctx, "keep anybody out", failed))
		}
		disconnected += answer.GetDisconnected()
	}
	return disconnected, err
}

// arrive makes w the hub that is about to accept, and returns what it is told to
// begin with. What is said later, SetQuarantine tells it.
func (k *Keeper) arrive(w *worker) *hubv1.Quarantine {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.arriving = w
	return k.quarantine.proto()
}
