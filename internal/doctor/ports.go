package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
)

// adminOffset lies between the public port and the default admin port.
const adminOffset = 10000

func (e *examination) ports() {
	if e.ConfigErr != nil {
		e.add("ports", Skip, "the configuration does not say which", "")
		return
	}
	if e.Port == 0 {
		e.add("ports", Skip, "any free port will do (port 0)", "")
	} else {
		hosts := []string{e.Host}
		if e.Host == "localhost" {
			hosts = []string{"127.0.0.1", "::1"}
		}
		e.port(fmt.Sprintf("port %d", e.Port), hosts, e.Port, e.runs && e.running.Port == e.Port, Error,
			fmt.Sprintf("serve on another port: host start --port %d", problem.PortBeside(e.Port)))
	}
	switch {
	case e.Admin == "off":
		e.add("admin port", Skip, "switched off", "")
	case e.Admin != "":
		host, text, err := net.SplitHostPort(e.Admin)
		n, numErr := strconv.Atoi(text)
		if err != nil || numErr != nil {
			e.add("admin port", Error, fmt.Sprintf("%q is no address", e.Admin), "give host:port, e.g. --admin 127.0.0.1:18765, or off")
			return
		}
		e.port("admin port "+text, []string{host}, n, e.ours(n), Error, "choose another address: host start --admin 127.0.0.1:0")
	case e.Port > 0 && e.Port+adminOffset <= 65535:
		n := e.Port + adminOffset
		e.port(fmt.Sprintf("admin port %d", n), []string{"127.0.0.1"}, n, e.ours(n), Warn, "nothing needs to be done: host takes a free one instead and names it on its first screen")
	}
}

// ours says whether the admin port is the running host's.
func (e *examination) ours(port int) bool {
	_, text, err := net.SplitHostPort(e.running.Admin)
	return e.runs && err == nil && text == strconv.Itoa(port)
}

// port judges one port on some addresses of this machine.
func (e *examination) port(name string, hosts []string, port int, ours bool, level Level, fix string) {
	if ours {
		e.ok(name, "the running host's (pid %d)", e.running.PID)
		return
	}
	if port == 0 {
		e.ok(name, "any free one")
		return
	}
	for _, host := range hosts {
		err := bind(e.ctx, host, port)
		switch {
		case err == nil:
		case inUse(err):
			e.add(name, level, fmt.Sprintf("%s is taken by %s", net.JoinHostPort(host, strconv.Itoa(port)), e.holder(port)), fix)
			return
		case host == "::1": // no IPv6 on this machine
		case errors.Is(err, fs.ErrPermission):
			e.add(name, Error, fmt.Sprintf("this user may not listen on %d", port), "choose a port above 1023: --port 8770")
			return
		default:
			e.add(name, Error, err.Error(), "name an address of this machine: --host localhost")
			return
		}
	}
	e.ok(name, "free")
}

// bindPatience bounds the search for the address of a name.
const bindPatience = 2 * time.Second

// bind listens for a moment.
func bind(ctx context.Context, host string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, bindPatience)
	defer cancel()
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// inUse also knows the number that Windows gives (WSAEADDRINUSE).
func inUse(err error) bool {
	var number syscall.Errno
	return errors.Is(err, syscall.EADDRINUSE) || errors.As(err, &number) && number == 10048
}

// holder says who listens on a port.
func (e *examination) holder(port int) string {
	if e.Listeners == nil {
		return "another process"
	}
	found, err := e.Listeners(e.ctx, port)
	if err != nil {
		return "another process (" + err.Error() + ")"
	}
	if len(found) == 0 {
		return "another process"
	}
	text := fmt.Sprintf("process %d", found[0].PID)
	if found[0].Name != "" {
		text += " (" + found[0].Name + ")"
	}
	if len(found) > 1 {
		text += fmt.Sprintf(" and %d more", len(found)-1)
	}
	return text
}
