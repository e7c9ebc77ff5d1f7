package hub

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/upkeephub/upkeep/hub/internal/liblog"
	"github.com/upkeephub/upkeep/proto/handshake"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"
)

// Exit codes of a hub process.
const (
	// ExitStopped: the supervisor asked for it, with Stop.
	ExitStopped = 0
	// ExitFailed: the hub could not go on, and said why on standard error.
	ExitFailed = 1
	// ExitUsage: the process was not started by a supervisor.
	ExitUsage = 2
	// ExitHostGone: the control channel ended, so the supervisor is gone. Clients
	// are not told; their connections end with the process.
	ExitHostGone = 3
)

// maxListeners bounds what HubListenersEnv may say.
const maxListeners = 64

// answerTimeout bounds how long the answer to Stop may take to leave.
const answerTimeout = 500 * time.Millisecond

// Main is a hub process: it serves the control channel that it inherited from its
// supervisor until it is told to stop or the supervisor is gone, and returns the
// exit code, with which the caller must end the process at once. The log goes to
// stderr as lines of JSON; a supervisor that does not read them does not hold up
// the hub. Signals that a terminal or service manager sends to the whole process
// group are ignored: the supervisor gets them too, and decides.
func Main(stderr io.Writer) int {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	conn, listeners, err := inherit()
	if err != nil {
		fmt.Fprintf(stderr, "host: error: %v\nhost: hint: %q is started by host itself; run host without it\n", err, handshake.HubCommand)
		return ExitUsage
	}
	pipe := newLogPipe(stderr)
	defer pipe.close()
	log := hclog.New(&hclog.LoggerOptions{Name: "hub", Output: pipe, JSONFormat: true, Level: hclog.Info})
	liblog.SetSink(func(message string) { log.Warn("socket.io library", "output", message) })
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard,
		log.Named("grpc").StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn})))
	return serveControl(conn, newControl(log, listeners), log)
}

// serveControl runs the control channel until the process has to end.
func serveControl(conn net.Conn, c *control, log hclog.Logger) int {
	channel := newOneConn(conn)
	server := grpc.NewServer()
	hubv1.RegisterHubServiceServer(server, c)
	served := make(chan error, 1) // sent once, when the channel is served no more
	go func() { served <- server.Serve(channel) }()

	select {
	case <-channel.closed:
		if c.isStopped() { // host may hang up as soon as it has the answer
			return ExitStopped
		}
		log.Error("the control channel has ended: the host is gone")
		return ExitHostGone
	case err := <-served:
		log.Error("the control channel cannot be served", "error", err)
		return ExitFailed
	case err := <-c.over:
		if err != nil {
			log.Error("the hub cannot go on", "error", err)
			return ExitFailed
		}
	}
	// GracefulStop lets the answer to Stop out first.
	timer := time.AfterFunc(answerTimeout, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
	log.Info("hub stopped")
	return ExitStopped
}

// inherit takes over the control channel and the listeners.
func inherit() (net.Conn, []net.Listener, error) {
	text, ok := os.LookupEnv(handshake.HubListenersEnv)
	if !ok {
		return nil, nil, fmt.Errorf("%s is not set: no listeners were handed over", handshake.HubListenersEnv)
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 1 || count > maxListeners {
		return nil, nil, fmt.Errorf("%s is %q, want a number from 1 to %d", handshake.HubListenersEnv, text, maxListeners)
	}
	conn, err := inheritConn(handshake.HubControlFD)
	if err != nil {
		return nil, nil, fmt.Errorf("take over the control channel (file descriptor %d): %w", handshake.HubControlFD, err)
	}
	listeners := make([]net.Listener, 0, count)
	for fd := handshake.HubFirstListenerFD; fd < handshake.HubFirstListenerFD+count; fd++ {
		listener, err := inheritListener(fd)
		if err != nil {
			return nil, nil, fmt.Errorf("take over listener (file descriptor %d): %w", fd, err)
		}
		listeners = append(listeners, listener)
	}
	return conn, listeners, nil
}

// oneConn is a listener that has exactly one connection to give. Accepting again
// blocks until Close.
type oneConn struct {
	conn   net.Conn
	given  chan net.Conn // holds the connection until it is accepted
	closed chan struct{} // closed when the connection is closed by either side
	done   chan struct{} // closed by Close
	once   sync.Once
}

func newOneConn(conn net.Conn) *oneConn {
	l := &oneConn{given: make(chan net.Conn, 1), closed: make(chan struct{}), done: make(chan struct{})}
	l.conn = &reportedConn{Conn: conn, closed: l.closed}
	l.given <- l.conn
	return l
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.given:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// reportedConn reports the end of the connection: what gRPC does with it, and what
// the other side does.
type reportedConn struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (c *reportedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.report()
	}
	return n, err
}

func (c *reportedConn) Close() error {
	c.report()
	return c.Conn.Close()
}

func (c *reportedConn) report() { c.once.Do(func() { close(c.closed) }) }
