package recovery

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Effect is what is remembered of an action against a cause. The weights are
// the counts with each count halved every half-life, so that what happened long
// ago fades.
type Effect struct {
	Cause          string    `json:"cause"`
	Action         Action    `json:"action"`
	Cured          int       `json:"cured"`
	NotCured       int       `json:"not_cured"`
	CuredWeight    float64   `json:"cured_weight"`
	NotCuredWeight float64   `json:"not_cured_weight"`
	Last           time.Time `json:"last"` // when it was last learnt; the weights are of that time, but in a Request of its Now
}

// faded gives the effect with the weights that it has at the given time. A
// half-life of zero or less lets nothing fade.
func (e Effect) faded(now time.Time, halfLife time.Duration) Effect {
	if halfLife <= 0 || !now.After(e.Last) {
		return e
	}
	factor := math.Exp2(-float64(now.Sub(e.Last)) / float64(halfLife))
	e.CuredWeight, e.NotCuredWeight = e.CuredWeight*factor, e.NotCuredWeight*factor
	return e
}

type effectKey struct {
	cause  string
	action Action
}

// memory of effects, bounded: the oldest gives way.
type memory map[effectKey]Effect

// learn adds what an attempt did to a cause.
func (m memory) learn(cause string, action Action, cured bool, now time.Time, halfLife time.Duration) {
	key := effectKey{cause, action}
	if _, known := m[key]; !known && len(m) >= maxEffects {
		oldest := m.sorted()[0]
		for _, e := range m.sorted() {
			if e.Last.Before(oldest.Last) {
				oldest = e
			}
		}
		delete(m, effectKey{oldest.Cause, oldest.Action})
	}
	e := m[key].faded(now, halfLife)
	e.Cause, e.Action, e.Last = cause, action, now
	if cured {
		e.Cured++
		e.CuredWeight++
	} else {
		e.NotCured++
		e.NotCuredWeight++
	}
	m[key] = e
}

// sorted lists the effects by cause and action.
func (m memory) sorted() []Effect {
	all := make([]Effect, 0, len(m))
	for _, e := range m {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Effect) int {
		if c := strings.Compare(a.Cause, b.Cause); c != 0 {
			return c
		}
		return strings.Compare(string(a.Action), string(b.Action))
	})
	return all
}
