package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Note is something that happened to a client of a driver.
type Note struct {
	Client string `json:"client"`
	// What: "connect", "disconnect", "connect_error", "event", "upgrade",
	// "reconnect_attempt" or "error" (an exception in a handler).
	What      string            `json:"note"`
	AtMillis  int64             `json:"at"`
	SID       string            `json:"sid"`
	Transport string            `json:"transport"`
	Recovered bool              `json:"recovered"`
	Reason    string            `json:"reason"`
	Name      string            `json:"name"` // of the event
	Args      []json.RawMessage `json:"args"`
}

// At is when it happened, by the clock of this machine, to the millisecond.
func (n Note) At() time.Time { return time.UnixMilli(n.AtMillis) }

// Object is the event's argument as a JSON object. Only an offset may follow it.
func (n Note) Object() (map[string]any, error) {
	if len(n.Args) != 1 && (len(n.Args) != 2 || n.Offset() == "") {
		return nil, fmt.Errorf("event %s has %d arguments, want 1: %s", n.Name, len(n.Args), n.Args)
	}
	var o map[string]any
	if err := json.Unmarshal(n.Args[0], &o); err != nil || o == nil {
		return nil, fmt.Errorf("event %s carries no object: %s", n.Name, n.Args[0])
	}
	return o, nil
}

// Offset is the offset that follows the event's argument; empty: none does.
func (n Note) Offset() string {
	var text string
	if len(n.Args) == 2 {
		_ = json.Unmarshal(n.Args[1], &text) // else it is something else
	}
	return text
}

func (n Note) String() string {
	b, _ := json.Marshal(n)
	return string(b)
}

// Answer to a command.
type Answer struct {
	Error     string            `json:"error"`
	Args      []json.RawMessage `json:"args"`
	Connected bool              `json:"connected"`
	Active    bool              `json:"active"`
	Transport string            `json:"transport"`
}

// Open says how a client of a driver is to connect.
type Open struct {
	Client    string         `json:"client"`
	URL       string         `json:"url"`
	Transport string         `json:"transport"` // "websocket", "polling" or "upgrade"
	Auth      map[string]any `json:"auth,omitempty"`
	// Options of the library (Node.js only); none: its defaults.
	Options map[string]any `json:"options,omitempty"`
	// Asynchronous takes the library's asynchronous client (Python only).
	Asynchronous bool `json:"asynchronous,omitempty"`
}

// Driver is a process that holds real clients.
type Driver struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr tail
	read   chan struct{} // closed by the reader at the end of the driver's output

	mu      sync.Mutex
	changed chan struct{} // closed and renewed with each note and answer
	notes   []Note
	answers map[int]Answer
	serial  int
	ended   bool
}

// DriveNode starts a driver of stock Socket.IO clients on Node.js.
func DriveNode(root string) (*Driver, error) {
	return drive("node", filepath.Join(ClientsDir(root), "client.js"))
}

// Browser is the executable of Debian's browser.
const Browser = "chromium"

// DriveBrowser starts a driver of stock Socket.IO clients on a page of a real,
// headless browser. The page's origin is http://127.0.0.1 with the given port.
func DriveBrowser(root string, port int) (*Driver, error) {
	return drive("node", filepath.Join(ClientsDir(root), "browser.js"), strconv.Itoa(port), Browser)
}

// DrivePython starts a driver of python-socketio clients.
func DrivePython(root string) (*Driver, error) {
	return drive(Python, filepath.Join(ClientsDir(root), "client.py"))
}

func drive(name string, args ...string) (*Driver, error) {
	d := &Driver{cmd: exec.Command(name, args...), read: make(chan struct{}), changed: make(chan struct{}), answers: map[int]Answer{}}
	d.cmd.Stderr = &d.stderr
	stdin, err := d.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.stdin = stdin
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("rig: start %s: %w", name, err)
	}
	go d.receive(stdout)
	return d, nil
}

func (d *Driver) receive(stdout io.Reader) {
	defer close(d.read)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var m struct {
			ID *int `json:"id"` // of the command that is answered; a note has none
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			fmt.Fprintf(&d.stderr, "no JSON line: %s\n", lines.Text())
			continue
		}
		d.mu.Lock()
		if m.ID != nil {
			var a Answer
			_ = json.Unmarshal(lines.Bytes(), &a)
			d.answers[*m.ID] = a
		} else {
			var n Note
			_ = json.Unmarshal(lines.Bytes(), &n)
			d.notes = append(d.notes, n)
		}
		close(d.changed)
		d.changed = make(chan struct{})
		d.mu.Unlock()
	}
	d.mu.Lock()
	d.ended = true
	close(d.changed)
	d.changed = make(chan struct{})
	d.mu.Unlock()
}

// await calls ready, under the lock, now and after each change until it
// returns true or ctx ends.
func (d *Driver) await(ctx context.Context, ready func() bool) error {
	for {
		d.mu.Lock()
		ok, ended, changed := ready(), d.ended, d.changed
		d.mu.Unlock()
		switch {
		case ok:
			return nil
		case ended:
			return fmt.Errorf("rig: the driver ended: %s", d.stderr.String())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// do sends a command and waits for its answer. An answer with an error is an error.
func (d *Driver) do(ctx context.Context, what string, command map[string]any) (Answer, error) {
	d.mu.Lock()
	d.serial++
	id := d.serial
	d.mu.Unlock()
	command["id"], command["do"] = id, what
	line, err := json.Marshal(command)
	if err != nil {
		return Answer{}, err
	}
	if _, err := d.stdin.Write(append(line, '\n')); err != nil {
		return Answer{}, fmt.Errorf("rig: the driver does not listen: %w: %s", err, d.stderr.String())
	}
	var a Answer
	err = d.await(ctx, func() bool {
		var ok bool
		a, ok = d.answers[id]
		return ok
	})
	if err != nil {
		return a, fmt.Errorf("rig: %s %v: no answer: %w", what, command["client"], err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("rig: %s %v: %s", what, command["client"], a.Error)
	}
	return a, nil
}

// Open begins a client. With Node.js it returns at once; with Python when the
// client is connected.
func (d *Driver) Open(ctx context.Context, o Open) error {
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var command map[string]any
	if err := json.Unmarshal(raw, &command); err != nil {
		return err
	}
	_, err = d.do(ctx, "open", command)
	return err
}

// Emit emits an event without acknowledgement.
func (d *Driver) Emit(ctx context.Context, client, event string, args ...any) error {
	_, err := d.do(ctx, "emit", map[string]any{"client": client, "event": event, "args": args})
	return err
}

// Ack emits an event and waits for the server's acknowledgement, whose arguments it returns.
func (d *Driver) Ack(ctx context.Context, client, event string, args ...any) ([]json.RawMessage, error) {
	a, err := d.do(ctx, "ack", map[string]any{"client": client, "event": event, "args": args})
	return a.Args, err
}

// Burst emits an event count times in a row (Node.js only).
func (d *Driver) Burst(ctx context.Context, client string, count int, event string, args ...any) error {
	_, err := d.do(ctx, "burst", map[string]any{"client": client, "event": event, "args": args, "count": count})
	return err
}

// State asks what a client believes of itself.
func (d *Driver) State(ctx context.Context, client string) (Answer, error) {
	return d.do(ctx, "state", map[string]any{"client": client})
}

// CloseClient disconnects a client and forgets it.
func (d *Driver) CloseClient(ctx context.Context, client string) error {
	_, err := d.do(ctx, "close", map[string]any{"client": client})
	return err
}

// Notes returns a copy of everything noted so far, oldest first, from the
// given position on.
func (d *Driver) Notes(from int) []Note {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Note(nil), d.notes[min(from, len(d.notes)):]...)
}

// Mark is the position behind the newest note.
func (d *Driver) Mark() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.notes)
}

// WaitNote waits for the first note at or behind position from that fits.
func (d *Driver) WaitNote(ctx context.Context, from int, fits func(Note) bool) (Note, error) {
	var found Note
	at := from
	err := d.await(ctx, func() bool {
		for ; at < len(d.notes); at++ {
			if fits(d.notes[at]) {
				found = d.notes[at]
				return true
			}
		}
		return false
	})
	return found, err
}

// WaitNotes waits until count notes at or behind position from fit, and returns them.
func (d *Driver) WaitNotes(ctx context.Context, from, count int, fits func(Note) bool) ([]Note, error) {
	var found []Note
	at := from
	err := d.await(ctx, func() bool {
		for ; at < len(d.notes); at++ {
			if fits(d.notes[at]) {
				found = append(found, d.notes[at])
			}
		}
		return len(found) >= count
	})
	if err != nil {
		err = fmt.Errorf("%d of %d: %w", len(found), count, err)
	}
	return found, err
}

// Close ends the driver and waits for it, at most 2 s before it is killed.
func (d *Driver) Close() error {
	d.stdin.Close()
	kill := time.AfterFunc(2*time.Second, func() { _ = d.cmd.Process.Kill() })
	defer kill.Stop()
	<-d.read
	err := d.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("rig: the driver ended with %w: %s", err, d.stderr.String())
	}
	return err
}
