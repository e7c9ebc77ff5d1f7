// Package systemd tells a service manager how host is, as sd_notify(3) describes:
// that it is ready, reloads, stops, what it is doing in one line, and, when the
// manager watches, that it is still alive.
//
// It owns the protocol and nothing else: when something is to be told is the
// caller's, internal/app's. Without a service manager every method does nothing.
// It starts no goroutine; a message takes a second at most, and one that cannot be
// sent is dropped, because a manager that does not listen is no reason to stop.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// sendTimeout bounds one message. The manager's socket takes it at once unless the
// manager itself hangs.
const sendTimeout = time.Second

// Variables of the protocol.
const (
	socketVariable      = "NOTIFY_SOCKET"
	watchdogVariable    = "WATCHDOG_USEC"
	watchdogPIDVariable = "WATCHDOG_PID"
)

// Notifier talks to one service manager. The zero value, and nil, talk to nobody.
// Its methods may be called from any goroutine.
type Notifier struct {
	socket   string
	watchdog time.Duration
}

// New reads who is to be told from the environment of the process with the given
// id. The error names a variable that cannot be understood; the notifier beside it
// tells what can be told all the same.
func New(getenv func(string) string, pid int) (*Notifier, error) {
	n := &Notifier{socket: getenv(socketVariable)}
	if n.socket == "" {
		return n, nil
	}
	if !strings.HasPrefix(n.socket, "/") && !strings.HasPrefix(n.socket, "@") {
		err := fmt.Errorf("%s=%q is neither a path nor an abstract socket (vsock is not supported): the service manager is not told anything", socketVariable, n.socket)
		n.socket = ""
		return n, err
	}
	usec := getenv(watchdogVariable)
	if usec == "" {
		return n, nil
	}
	if owner := getenv(watchdogPIDVariable); owner != "" && owner != strconv.Itoa(pid) {
		return n, nil // another process of the service is watched
	}
	v, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || v <= 0 || v > int64(time.Hour*24*365/time.Microsecond) {
		return n, fmt.Errorf("%s=%q is not a number of microseconds: the watchdog is not fed", watchdogVariable, usec)
	}
	n.watchdog = time.Duration(v) * time.Microsecond
	return n, nil
}

// Variables are the names of the environment that belong to this process alone and
// that no child may inherit.
func Variables() []string { return []string{socketVariable, watchdogVariable, watchdogPIDVariable} }

// Told says whether there is somebody to tell.
func (n *Notifier) Told() bool { return n != nil && n.socket != "" }

// Watchdog is within what time the manager wants a sign of life; zero: it does not
// watch.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready tells that the start, or a reload, is complete.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", statusLine(status)) }

// Status tells in one line what host is doing.
func (n *Notifier) Status(status string) error { return n.send(statusLine(status)) }

// Reloading tells that a reload began; Ready must follow, whatever comes of it.
// The time is what Type=notify-reload wants beside it.
func (n *Notifier) Reloading() error {
	now, err := monotonic()
	if err != nil {
		return n.send("RELOADING=1")
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Microseconds(), 10))
}

// Stopping tells that the stop began.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1", statusLine(status)) }

// Feed gives a sign of life, twice as often as the manager asks, as long as alive
// says so, until ctx ends. It returns at once when nobody watches. lost is told
// once each time alive begins to say no; the manager will then end the process.
func (n *Notifier) Feed(ctx context.Context, alive func(now time.Time) bool, lost func()) {
	if n.Watchdog() <= 0 {
		return
	}
	ticker := time.NewTicker(n.watchdog / 2)
	defer ticker.Stop()
	fed := true
	for now := time.Now(); ; {
		was := fed
		if fed = alive(now); fed {
			_ = n.send("WATCHDOG=1")
		} else if was {
			lost()
		}
		select {
		case <-ctx.Done():
			return
		case now = <-ticker.C:
		}
	}
}

func statusLine(s string) string {
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}

func (n *Notifier) send(assignments ...string) error {
	if !n.Told() {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	err = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err == nil {
		_, err = conn.Write([]byte(strings.Join(assignments, "\n")))
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}
