package hub

import (
	"encoding/json"
)

const (
	// historyBytes bounds what all kept events take together, in bytes.
	historyBytes = 64 << 20
	// replyBytes bounds the events of one event_history. It stays under the
	// 4 MiB that common Python clients accept in a message.
	replyBytes = 3 << 20
)

// entry is one event as it was relayed.
type entry struct {
	// kind is the event's "type"; empty when it has none.
	kind string
	// event is json.RawMessage, or a map[string]any when it carries binary data.
	event any
	// payload is the event as it is relayed.
	payload payload
	// size is what the event takes, in bytes, measured or estimated.
	size int
}

// history keeps the newest events, at most limit of them and at most maxBytes,
// in the order in which they were delivered. It is not safe for concurrent use:
// the relay's lock guards it.
type history struct {
	limit    int
	maxBytes int
	ring     []entry
	first    int
	count    int
	bytes    int
}

func newHistory(limit, maxBytes int) *history {
	return &history{limit: limit, maxBytes: maxBytes}
}

// add appends an event and drops the oldest ones that no longer fit.
func (h *history) add(e entry) {
	if h.count == h.limit {
		h.dropOldest()
	}
	if h.count == len(h.ring) {
		h.grow()
	}
	h.ring[(h.first+h.count)%len(h.ring)] = e
	h.count++
	h.bytes += e.size
	for h.bytes > h.maxBytes && h.count > 1 {
		h.dropOldest()
	}
}

func (h *history) dropOldest() {
	oldest := &h.ring[h.first]
	h.bytes -= oldest.size
	*oldest = entry{}
	h.first = (h.first + 1) % len(h.ring)
	h.count--
}

// grow doubles the ring up to the limit, so that a quiet hub stays small.
func (h *history) grow() {
	ring := make([]entry, min(max(64, 2*len(h.ring)), h.limit))
	for i := range h.count {
		ring[i] = h.ring[(h.first+i)%len(h.ring)]
	}
	h.ring, h.first = ring, 0
}

// newest returns the newest events, oldest first: at most limit, of the given
// kinds (none: all), and no more than fit into maxBytes, though always one. total
// is how many events of these kinds are kept.
func (h *history) newest(limit int, kinds map[string]bool, maxBytes int) (events []any, total int) {
	wanted := func(e *entry) bool { return len(kinds) == 0 || kinds[e.kind] }
	events = []any{}
	size, full := 0, limit <= 0
	for i := h.count - 1; i >= 0; i-- {
		e := &h.ring[(h.first+i)%len(h.ring)]
		if !wanted(e) {
			continue
		}
		total++
		if full {
			continue
		}
		if size += e.size; size > maxBytes && len(events) > 0 {
			full = true
			continue
		}
		events = append(events, e.event)
		full = len(events) == limit
	}
	for i, j := 0, len(events)-1; i < j; i, j = i+1, j-1 {
		events[i], events[j] = events[j], events[i]
	}
	return events, total
}

// defaultHistoryLimit is how many events get_history returns unasked.
const defaultHistoryLimit = 100

// historyQuery reads the argument of get_history, which may be anything: what
// cannot be understood counts as not given, because the sender waits for an
// answer. A bare number is a limit.
func historyQuery(args []any) (limit int, kinds map[string]bool) {
	limit = defaultHistoryLimit
	if len(args) == 0 {
		return limit, nil
	}
	switch arg := args[0].(type) {
	case map[string]any:
		if n, ok := wholeNumber(arg["limit"]); ok {
			limit = n
		}
		list, _ := arg["event_types"].([]any)
		for _, item := range list {
			if kind, ok := item.(string); ok {
				if kinds == nil {
					kinds = make(map[string]bool)
				}
				kinds[kind] = true
			}
		}
	default:
		if n, ok := wholeNumber(arg); ok {
			limit = n
		}
	}
	return limit, kinds
}

// wholeNumber reads a JSON number, cutting fractions and clamping to what an int
// on every platform holds.
func wholeNumber(v any) (int, bool) {
	var f float64
	switch n := v.(type) {
	case json.Number:
		parsed, err := n.Float64()
		if err != nil && parsed == 0 {
			return 0, false
		}
		f = parsed // beyond the range: an infinity, clamped below
	case float64:
		f = n
	default:
		return 0, false
	}
	const bound = 1 << 30
	return int(max(-bound, min(bound, f))), true
}
