package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/upkeephub/upkeep/hub/internal/eventlog"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// errNotRelayed says that an event was not passed on, because the relaying of an
// earlier one failed with it. It is not acknowledged.
var errNotRelayed = errors.New("the event was not relayed")

// relay writes events to the log and delivers them, in one step, so that the order
// of the log is the order of delivery. Its lock is what a heartbeat passes.
type relay struct {
	hub *Hub
	log *eventlog.Log

	// waiting are on their way. Who gets mu takes them all, so that events that come
	// at once are written at once.
	waitingMu sync.Mutex
	waiting   []*passage

	mu     sync.Mutex
	taken  []*passage         // reused
	record []*eventlog.Record // reused

	beatMu sync.Mutex
	beat   chan struct{} // the heartbeat that is under way; nil: none
}

// passage is one event on its way through the relay.
type passage struct {
	adapter *adapter
	d       *delivery
	// record is what is kept of the event; nil: it is not kept.
	record *eventlog.Record
	// What comes of it, guarded by the relay's lock.
	done    bool
	clients int
	err     error
}

// entry is one event of the contract.
type entry struct {
	// kind is the event's "type"; empty when it has none.
	kind    string
	payload payload
}

// publish keeps an event and sends it to everybody but its sender and the probes.
// When it returns without an error the event outlives this process.
func (r *relay) publish(e entry, sender socket.SocketId) error {
	except := []socket.Room{socket.Room(sender), probeRoom}
	return r.send(&passage{
		adapter: r.hub.adapter,
		d:       &delivery{except: except, payload: e.payload},
		record: &eventlog.Record{
			Time: time.Now(), Namespace: "/", Except: []string{string(sender), string(probeRoom)},
			Listed: true, Kind: e.kind, Data: e.payload.args, Attachments: e.payload.attachments,
		},
	})
}

// broadcast sends what is not of the contract, and returns to how many clients. It is kept unless it is volatile or asks for an acknowledgement.
func (r *relay) broadcast(a *adapter, d *delivery) (int, error) {
	p := &passage{adapter: a, d: d}
	if !d.volatile && d.id == nil {
		p.record = &eventlog.Record{
			Time: time.Now(), Namespace: a.Nsp().Name(), Rooms: names(d.rooms), Except: names(d.except),
			Data: d.payload.args, Attachments: d.payload.attachments,
		}
	}
	err := r.send(p)
	r.hub.blameRooms(d, err)
	return p.clients, err
}

func names(rooms []socket.Room) []string {
	list := make([]string, len(rooms))
	for i, room := range rooms {
		list[i] = string(room)
	}
	return list
}

// send takes an event through the log to its clients.
func (r *relay) send(p *passage) error {
	r.waitingMu.Lock()
	r.waiting = append(r.waiting, p)
	r.waitingMu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.done {
		r.passLocked()
	}
	if !p.done {
		return errNotRelayed
	}
	return p.err
}

// passLocked passes on what waits.
func (r *relay) passLocked() {
	r.waitingMu.Lock()
	r.taken, r.waiting = r.waiting, r.taken[:0]
	r.waitingMu.Unlock()
	defer clear(r.taken)
	records := r.record[:0]
	for _, p := range r.taken {
		if p.record != nil {
			records = append(records, p.record)
		}
	}
	var last eventlog.Offset
	var err error
	if len(records) > 0 {
		last, err = r.log.Append(records...)
		clear(records)
		r.record = records
	}
	for _, p := range r.taken {
		switch {
		case p.record == nil:
		case err != nil: // it would be lost on everybody who is away
			p.done, p.err = true, fmt.Errorf("keep the event: %w", err)
			continue
		case r.hub.opts.recovers():
			p.d.offset = eventlog.Offset{Generation: last.Generation, Sequence: p.record.Sequence}.String()
		}
		p.clients = p.adapter.deliver(p.d)
		p.done = true
	}
}

// takeOver makes this process the writer of the log. It waits for the process that
// is the writer to end, until ctx does.
func (r *relay) takeOver(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.log.TakeOver(ctx); err != nil {
		return fmt.Errorf("take over the event log: %w", err)
	}
	return nil
}

// close lets another process have the log. Events that come later fail.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.Close()
}

// Heartbeat takes the path of an event, through the relay's lock, the log's and the
// adapter's broadcast, and returns the statistics. When the path is blocked it
// returns the context's error. One beat is under way at a time: a caller that finds
// an earlier one blocked waits for that.
func (h *Hub) Heartbeat(ctx context.Context) (Statistics, error) {
	select {
	case <-h.relay.beatUnderWay():
		return h.Statistics(), nil
	case <-ctx.Done():
		return Statistics{}, ctx.Err()
	}
}

func (r *relay) beatUnderWay() <-chan struct{} {
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	if r.beat != nil {
		return r.beat
	}
	beat := make(chan struct{})
	r.beat = beat
	r.hub.tasks.spawn(func() {
		r.pass()
		r.beatMu.Lock()
		r.beat = nil
		r.beatMu.Unlock()
		close(beat)
	})
	return beat
}

func (r *relay) pass() {
	_ = r.send(&passage{
		adapter: r.hub.adapter,
		d:       &delivery{rooms: []socket.Room{emptyRoom}, except: []socket.Room{probeRoom}},
	})
	r.log.Last()
}
