package fleet

import (
	"context"
	"fmt"
	"time"
)

// parkAfter is how long a client counts among those that connect in parallel: a
// lost one does not slow the others down.
const parkAfter = 500 * time.Millisecond

// Connected says how clients connected.
type Connected struct {
	Started int `json:"started"`
	Joined  int `json:"joined"`
	// Lost got no answer to their namespace connect within Patience.
	Lost int `json:"lost"`
	// Failed were refused or broken off, or got no further than the upgrade.
	Failed int `json:"failed"`
	// FirstFailure is why, for people.
	FirstFailure string `json:"first_failure,omitempty"`
	// Took is from the first start until the last client had joined.
	Took time.Duration `json:"took_ns"`
	// Slowest of those that joined.
	Slowest time.Duration `json:"slowest_ns"`
}

// PerSecond is how many joined each second.
func (c Connected) PerSecond() float64 {
	if c.Took <= 0 {
		return 0
	}
	return float64(c.Joined) / c.Took.Seconds()
}

// Connect lets n clients join, at most parallel at a time, each once. With keep
// they become members; else they leave as soon as they have joined, with a close
// frame. An error means that the fleet itself could not go on.
func (f *Fleet) Connect(ctx context.Context, n, parallel int, keep bool) (Connected, error) {
	var result Connected
	var failure error
	pending := make([]*client, 0, parallel)
	first := f.now()
	err := f.loop(ctx, func(now int64) bool {
		busy, kept := 0, pending[:0]
		for _, c := range pending {
			age := time.Duration(now - c.began)
			switch {
			case c.state == joined:
				result.Joined++
				result.Took = time.Duration(now - first)
				result.Slowest = max(result.Slowest, age)
				if keep {
					f.members = append(f.members, c)
				} else {
					_ = c.send(goodbyeFrame)
					f.drop(c, nil)
				}
				continue
			case c.state == gone:
				result.Failed++
				if result.FirstFailure == "" {
					result.FirstFailure = c.why.Error()
				}
				continue
			case age > f.Patience:
				if c.state == joining {
					result.Lost++
				} else {
					result.Failed++
					if result.FirstFailure == "" {
						result.FirstFailure = fmt.Sprintf("no answer within %s while %s", f.Patience, stateNames[c.state])
					}
				}
				f.drop(c, nil)
				continue
			case age < parkAfter:
				busy++
			}
			kept = append(kept, c)
		}
		pending = kept
		for ; busy < parallel && result.Started < n; busy++ {
			c, err := f.open()
			if err != nil {
				failure = err
				return true
			}
			result.Started++
			pending = append(pending, c)
		}
		return len(pending) == 0
	})
	for _, c := range pending {
		f.drop(c, nil)
	}
	if failure != nil {
		err = failure
	}
	return result, err
}

// Gather connects until there are n members, and again where clients were lost,
// three times at most.
func (f *Fleet) Gather(ctx context.Context, n, parallel int) (Connected, error) {
	var all Connected
	for range 3 {
		r, err := f.Connect(ctx, n-f.Members(), parallel, true)
		if all.Started == 0 {
			all.Took, all.Slowest = r.Took, r.Slowest
		}
		all.Started, all.Joined, all.Lost, all.Failed = all.Started+r.Started, all.Joined+r.Joined, all.Lost+r.Lost, all.Failed+r.Failed
		if all.FirstFailure == "" {
			all.FirstFailure = r.FirstFailure
		}
		if err != nil || f.Members() == n {
			return all, err
		}
	}
	return all, fmt.Errorf("%d of %d clients joined, %d were lost, %d failed: %s", f.Members(), n, all.Lost, all.Failed, all.FirstFailure)
}
