package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/upkeephub/upkeep/hub/internal/eventlog"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

const (
	// replyBytes bounds the events of one event_history. It stays under the
	// 4 MiB that common Python clients accept in a message.
	replyBytes = 3 << 20
	// pageBytes bounds the events of one page, for those who ask for pages.
	pageBytes = 256 << 10
)

// historyReply is one event_history.
type historyReply struct {
	events []byte // the elements of a JSON list
	count  int
	binary [][]byte
}

const (
	eventBefore = `["claude_event",`
	placeholder = `{"_placeholder":true,"num":`
)

// add adds an event as it was relayed. Its placeholders count on from those of the
// events before it.
func (r *historyReply) add(record *eventlog.Record) error {
	event, ok := bytes.CutPrefix(record.Data, []byte(eventBefore))
	event, closed := bytes.CutSuffix(event, []byte("]"))
	if !ok || !closed {
		return fmt.Errorf("event %d of the log is none of the history", record.Sequence)
	}
	if r.count > 0 {
		r.events = append(r.events, ',')
	}
	r.count++
	// In JSON text a quote is itself, never a part of a string.
	for n := 0; n < len(record.Attachments); n++ {
		before, behind, found := bytes.Cut(event, []byte(placeholder))
		number, rest, ends := bytes.Cut(behind, []byte("}"))
		i, err := strconv.Atoi(string(number))
		if !found || !ends || err != nil || i < 0 || i >= len(record.Attachments) {
			return fmt.Errorf("event %d of the log lacks its attachments", record.Sequence)
		}
		r.events = append(append(r.events, before...), placeholder...)
		r.events = append(strconv.AppendInt(r.events, int64(len(r.binary)), 10), '}')
		r.binary = append(r.binary, record.Attachments[i])
		event = rest
	}
	r.events = append(r.events, event...)
	return nil
}

// payload is the event, which page and more belong to if it is one of several.
func (r *historyReply) payload(total, page int, more bool) payload {
	args := fmt.Appendf(nil, `["event_history",{"events":[%s],"total_available":%d,"returned":%d`, r.events, total, r.count)
	if page > 0 {
		args = fmt.Appendf(args, `,"page":%d,"more":%t`, page, more)
	}
	return payload{args: append(args, "}]"...), attachments: r.binary}
}

// onGetHistory answers with one event_history or, when the client asks for pages,
// with as many as it takes, each sent when the client has taken those before it.
func (h *Hub) onGetHistory(c *client, args []any) (*answer, error) {
	query := historyQuery(args)
	selection := h.relay.log.Select(query.kinds, query.limit, h.opts.EventHistory)
	size := int64(pageBytes)
	if !query.paged {
		size = replyBytes
		selection.Newest(size)
	}
	for page := 1; ; page++ {
		records, err := selection.Next(size)
		if err != nil {
			return nil, err
		}
		reply := &historyReply{}
		for _, record := range records {
			if hides(record) {
				continue
			}
			if err := reply.add(record); err != nil {
				return nil, err
			}
		}
		if !query.paged {
			h.adapter.tell(c, reply.payload(selection.Total, 0, false))
			return nil, nil
		}
		h.adapter.tell(c, reply.payload(selection.Total, page, selection.More()))
		if !selection.More() {
			return nil, nil
		}
		select {
		case <-c.link.drained():
		case <-c.left:
			return nil, nil
		}
	}
}

// hides reports whether an event without attachments has what its receiver would
// take for the place of one, beside events that have some: it would be closed for
// that.
func hides(record *eventlog.Record) bool {
	return len(record.Attachments) == 0 && bytes.Contains(record.Data, []byte(`"_placeholder"`))
}

// tell sends a client an event of its own.
func (a *adapter) tell(c *client, p payload) {
	d := &delivery{rooms: []socket.Room{socket.Room(c.socket.Id())}, payload: p}
	if m := a.only(d); m != nil {
		m.send(d)
	}
}

// defaultHistoryLimit is how many events get_history returns unasked.
const defaultHistoryLimit = 100

// query is what get_history asks for.
type query struct {
	limit int
	kinds []string // none: all
	paged bool
}

// historyQuery reads the argument of get_history, which may be anything: what
// cannot be understood counts as not given, because the sender waits for an
// answer. A bare number is a limit.
func historyQuery(args []any) query {
	q := query{limit: defaultHistoryLimit}
	if len(args) == 0 {
		return q
	}
	switch arg := args[0].(type) {
	case map[string]any:
		if n, ok := wholeNumber(arg["limit"]); ok {
			q.limit = n
		}
		q.paged, _ = arg["paged"].(bool)
		list, _ := arg["event_types"].([]any)
		for _, item := range list {
			if kind, ok := item.(string); ok {
				q.kinds = append(q.kinds, kind)
			}
		}
	default:
		if n, ok := wholeNumber(arg); ok {
			q.limit = n
		}
	}
	return q
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
