package hubproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// InUseError says that an address clients would use belongs to somebody else.
type InUseError struct {
	Addr string // host:port
	Err  error
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("listen on %s: another process listens there already; stop it or choose another port", e.Addr)
}

// Unwrap gives the system's error.
func (e *InUseError) Unwrap() error { return e.Err }

// Listeners are the sockets that clients connect to. They stay open here for as
// long as host runs; hubs accept from duplicates.
type Listeners struct {
	tcp []*net.TCPListener
}

// portAttempts bounds the search for a port that is free on both loopbacks.
const portAttempts = 20

// Listen binds what clients use. "localhost" is 127.0.0.1 and, where this
// machine has it, ::1, on the same port, also for port 0; any other host is the
// one address it stands for, and an empty one is all addresses. On failure
// nothing stays bound; *InUseError tells a port that is taken. A name may take up
// to 5 s to resolve.
func Listen(host string, port int) (*Listeners, error) {
	if port < 0 || port > 65535 {
		return nil, fmt.Errorf("listen on port %d: choose a port from 0 to 65535", port)
	}
	if host != "localhost" {
		l, err := listenTCP("tcp", host, port)
		if err != nil {
			return nil, err
		}
		return &Listeners{tcp: []*net.TCPListener{l}}, nil
	}
	for attempt := 1; ; attempt++ {
		both, err := listenLoopback(port)
		var inUse *InUseError
		if port == 0 && attempt < portAttempts && errors.As(err, &inUse) {
			continue // the kernel's choice for IPv4 is taken on IPv6
		}
		return both, err
	}
}

func listenLoopback(port int) (*Listeners, error) {
	four, err := listenTCP("tcp4", "127.0.0.1", port)
	if err != nil {
		return nil, err
	}
	six, err := listenTCP("tcp6", "::1", four.Addr().(*net.TCPAddr).Port)
	switch {
	case err == nil:
		return &Listeners{tcp: []*net.TCPListener{four, six}}, nil
	case isAbsent(err):
		return &Listeners{tcp: []*net.TCPListener{four}}, nil
	}
	_ = four.Close()
	return nil, err
}

func listenTCP(network, host string, port int) (*net.TCPListener, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var config net.ListenConfig
	config.SetMultipathTCP(false) // plain TCP: what inheritance and handover were proved with
	l, err := config.Listen(ctx, network, addr)
	if isInUse(err) {
		return nil, &InUseError{Addr: addr, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; choose an address of this machine and a port that you may use", addr, err)
	}
	return l.(*net.TCPListener), nil
}

// Addrs are the bound addresses, as host:port.
func (l *Listeners) Addrs() []string {
	addrs := make([]string, len(l.tcp))
	for i, tcp := range l.tcp {
		addrs[i] = tcp.Addr().String()
	}
	return addrs
}

// Port is the one port of all addresses.
func (l *Listeners) Port() int { return l.tcp[0].Addr().(*net.TCPAddr).Port }

// Close gives the addresses up. A hub that still runs keeps its duplicates, so
// end the keeper first. Who waits in the queue is reset by the kernel.
func (l *Listeners) Close() error {
	var errs []error
	for _, tcp := range l.tcp {
		if err := tcp.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
