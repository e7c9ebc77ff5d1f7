package sdk

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/upkeephub/upkeep/proto/handshake"
)

const (
	// maxMessage bounds a message in either direction, in bytes.
	maxMessage = 4 << 20
	// drainTime is how long calls may take to end after SIGTERM, flushTime how
	// long their answers may take to leave.
	drainTime = time.Second
	flushTime = 250 * time.Millisecond
	// stopTime is how long the server may take to let go of its socket when the
	// host is gone.
	stopTime = 100 * time.Millisecond
)

// The exit codes of a plugin.
const (
	exitDone   = 0 // the host ended it, or is gone
	exitByHand = 1 // not started by a host, or it could not listen
	exitMisuse = 2 // the program is wrong: see the text
)

// Serve is the main of a plugin: it answers the host until the host ends it,
// and then ends the process; it does not return. implementation is a Checker, a
// Strategy, or both, and whatever optional interfaces it has are used.
//
// If implementation or info is wrong, Serve says all that is and exits with 2;
// started by hand it says what it is and exits with 1. The process ends at once
// when the host is gone (standard input, a pipe by contract, ends; or the parent
// process changes). SIGTERM lets calls end within 1 s and runs the Shutdowner;
// SIGINT is ignored, since Ctrl-C is the host's business.
//
// Print nothing to standard output before Serve: its first line is the host's.
// Log with Logger; what is printed to os.Stdout or os.Stderr once the host asks
// something ends up in the host's log as well, without level and fields.
func Serve(info Info, implementation any) { os.Exit(serve(info, implementation, stderr)) }

func serve(info Info, implementation any, stderr io.Writer) int {
	p, err := newPlugin(info, implementation)
	if err != nil {
		fmt.Fprintf(stderr, "plugin %q cannot serve:\n%v\n", info.Name, err)
		return exitMisuse
	}
	if os.Getenv(handshake.CookieKey) != handshake.CookieValue {
		fmt.Fprintf(stderr, "%[1]s %[2]s is a plugin of Upkeep: it works for the host and does nothing by itself.\n"+
			"Put it into a plugin directory as DIR/%[1]s/%[1]s and start: host --plugins DIR\n", info.Name, info.Version)
		return exitByHand
	}
	signal.Ignore(os.Interrupt)
	var server atomic.Pointer[grpc.Server] // nil until go-plugin asks for it
	var abandoned atomic.Bool              // the host is gone
	gone := func() {
		abandoned.Store(true)
		stop(server.Load())
		os.Exit(exitDone)
	}
	watchInput(os.Stdin, gone)
	watchParent(gone)
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		p.end(server.Load())
		os.Exit(exitDone)
	}()

	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  handshake.ProtocolVersion,
			MagicCookieKey:   handshake.CookieKey,
			MagicCookieValue: handshake.CookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{
			handshake.ProtocolVersion: {handshake.PluginKey: served{plugin: p}},
		},
		// go-plugin adds grpc.health.v1 for handshake.HealthService to it.
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(append(append(options, serverOptions()...), grpc.UnaryInterceptor(restoreOutput()))...)
			server.Store(s)
			return s
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: stderr, JSONFormat: true}),
	})
	if server.Load() == nil { // go-plugin has logged why
		return exitByHand
	}
	if abandoned.Load() {
		return exitDone
	}
	if err := p.shutdown(); err != nil {
		Logger().Warn("shutdown failed", "error", err)
	}
	return exitDone
}

// stop ends the server for its listener's sake, which removes its socket from
// the file system, but waits for nobody else.
func stop(server *grpc.Server) {
	if server == nil {
		return
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		server.Stop()
	}()
	select {
	case <-stopped:
	case <-time.After(stopTime):
	}
}

// serverOptions bound messages, and let a host that sends keepalives do so:
// the default would answer them with GOAWAY.
func serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
}

// restoreOutput gives the first call, which is the host's for the plugin's
// health, the effect that what the author prints goes to the process's standard
// error, and so into the host's log. go-plugin has replaced os.Stdout and
// os.Stderr by pipes that it reads and sends to the host in its own time: what
// was printed right before a crash would be lost, which is what matters most.
func restoreOutput() grpc.UnaryServerInterceptor {
	var once sync.Once
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		once.Do(func() { os.Stdout, os.Stderr = stderr, stderr })
		return handler(ctx, req)
	}
}

// end lets what is under way finish, releases what the author holds, and stops
// the server. It is bounded by drainTime, shutdownTime and flushTime.
func (p *plugin) end(server *grpc.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	p.calls.drain(ctx)
	if err := p.shutdown(); err != nil {
		Logger().Warn("shutdown failed", "error", err)
	}
	if server == nil {
		return
	}
	// The answers of the last calls may still be on their way out. The stream
	// of go-plugin's own that stays open keeps GracefulStop from ever ending.
	flushed := time.AfterFunc(flushTime, server.Stop)
	defer flushed.Stop()
	server.GracefulStop()
}

// served is the plugin in go-plugin's form.
type served struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin *plugin
}

var _ goplugin.GRPCPlugin = served{}

func (s served) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	s.plugin.register(server)
	return nil
}

// GRPCClient is the host's half; a plugin's process never calls it.
func (served) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}
