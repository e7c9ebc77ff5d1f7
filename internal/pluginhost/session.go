package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/proto/handshake"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

const (
	// maxMessageBytes bounds one gRPC message in either direction.
	maxMessageBytes = 4 << 20
	// maxHeaderBytes bounds the headers of an answer, error texts included.
	maxHeaderBytes = 64 << 10
	// connBuffer is what a connection keeps for reading and for writing; messages
	// of checks are smaller. gRPC's own 32 KiB each would be what a hundred
	// plugins cost most.
	connBuffer = 4 << 10
	// closeWait bounds the wait for go-plugin's own tidying once the process is dead.
	closeWait = time.Second
)

// session is one process of a plugin, from its start to the end of everything
// that belongs to it: the process, go-plugin's client with its goroutines, the
// connection and the folder of its socket.
type session struct {
	plugin string
	log    hclog.Logger
	run    *processRunner
	client *goplugin.Client
	conn   *grpc.ClientConn
	ready  time.Time // since when it runs
	info   Description
	config *structpb.Struct // what it has; under the instance's lock once it runs
	loads  map[string]bool  // metrics that are described as load
	missed atomic.Int32     // checks in a row without an answer
	from   *installed       // what was started
	// verified says by what its files were verified.
	verified Verified
	// calls are under way. One begins, under the lock of the Instance, only while
	// this is the process that is asked; so none begins once another took over.
	calls sync.WaitGroup

	// ctx ends with the process; its cause is an *ExitError. Every call is tied to it.
	ctx  context.Context
	end  context.CancelCauseFunc
	dead chan struct{} // closed by await, after ctx ended

	// condemned has one place for why host ended the process: taken by the
	// first reason, before the kill; read by await.
	condemned chan verdict
}

// sessionSpec is what one start needs.
type sessionSpec struct {
	plugin     string
	spec       child.Spec // without environment of the handshake and without observers
	runtimeDir string
	log        hclog.Logger // for what the plugin writes
	timeout    time.Duration
	code       *held // what is executed; released with the session
}

// connPlugin lets go-plugin dispense the bare connection.
type connPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer is never called: host serves nothing to plugins.
func (connPlugin) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("host serves no plugin API")
}

// GRPCClient gives the connection itself.
func (connPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// open starts the process and completes go-plugin's handshake. It blocks until
// that is done, has failed, or ctx ends; after an error nothing is left.
func open(ctx context.Context, spec sessionSpec) (*session, error) {
	stderr := &logSink{log: spec.log}
	spec.spec.Stderr = stderr.line
	printed := func(line string) {
		if line != "" {
			spec.log.Debug("plugin printed", "text", cleanText(line, maxLogText))
		}
	}
	spec.spec.Stdout = printed
	spec.spec.FirstStdoutRaw = true
	s := &session{
		plugin: spec.plugin, log: spec.log, run: &processRunner{spec: spec.spec, code: spec.code},
		dead: make(chan struct{}), condemned: make(chan verdict, 1),
	}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	s.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: handshake.CookieKey, MagicCookieValue: handshake.CookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{handshake.ProtocolVersion: {handshake.PluginKey: connPlugin{}}},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, tmpDir string) (runner.Runner, error) {
			s.run.prepare(cmd, tmpDir)
			return s.run, nil
		},
		StartTimeout:     spec.timeout + time.Second, // ctx ends earlier
		SyncStdout:       &printSink{line: printed},
		SyncStderr:       &printSink{line: (&logSink{log: spec.log}).line},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(), // we say what happens ourselves
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
			grpc.WithMaxHeaderListSize(maxHeaderBytes),
			grpc.WithReadBufferSize(connBuffer), grpc.WithWriteBufferSize(connBuffer), grpc.WithSharedWriteBuffer(true),
			grpc.WithContextDialer(s.run.dial),
			grpc.WithStreamInterceptor(s.interceptStream),
		},
		SkipHostEnv:      true,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: spec.runtimeDir},
	})
	result := make(chan error, 1)
	go func() { result <- s.connect() }()
	var err error
	select {
	case err = <-result:
	case <-ctx.Done():
		s.run.kill()
		if err = <-result; err == nil {
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		return s, nil
	}
	s.run.kill()
	s.close()
	return nil, s.explain(ctx, err)
}

// connect runs in a goroutine of its own: go-plugin holds a lock all the while.
// It ends when the process dies.
func (s *session) connect() error {
	_, err := s.client.Start()
	if proc := s.run.process(); proc != nil {
		go s.await(proc)
	} else {
		s.end(errKilledEarly)
		close(s.dead)
	}
	if err != nil {
		return err
	}
	protocol, err := s.client.Client()
	if err != nil {
		return err
	}
	conn, err := protocol.Dispense(handshake.PluginKey)
	if err != nil {
		return err
	}
	s.conn = conn.(*grpc.ClientConn)
	return nil
}

// await ends the session's context when the process is dead.
func (s *session) await(proc *child.Process) {
	defer close(s.dead)
	<-proc.Done()
	var why verdict
	select {
	case why = <-s.condemned:
	default:
	}
	s.end(newExitError(s.plugin, why, proc.Exit()))
}

// verdict is why host ended a process.
type verdict struct {
	reason string
	// remedy is one imperative sentence for the operator.
	remedy string
	// recycled: the process answers its health calls, only its work hangs.
	recycled bool
}

// condemn ends the process because of why. It does not wait.
func (s *session) condemn(why verdict) {
	select {
	case s.condemned <- why:
	default: // already condemned; the first reason stands
	}
	s.run.kill()
}

// interceptStream guards the two streams that go-plugin opens by itself. The
// broker is refused: nobody uses it, and through it a plugin could fill the
// host's memory. The stream of printed text ends with the process, and its
// failure is none of the start: otherwise go-plugin would forget the connection
// and leave it open for ever.
func (s *session) interceptStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	switch method {
	case "/plugin.GRPCBroker/StartStream":
		return nil, status.Error(codes.Unimplemented, "host offers no broker")
	case "/plugin.GRPCStdio/StreamStdio":
		stream, err := next(s.ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		return stream, nil
	}
	return next(ctx, desc, cc, method, opts...)
}

// explain turns a failed start into words. go-plugin knows only that no
// handshake came; we know what came instead, and how the process ended.
func (s *session) explain(ctx context.Context, err error) error {
	fail := func(again bool, remedy string, cause error) error {
		return &LaunchError{Plugin: s.plugin, Err: cause, Remedy: remedy, Tail: s.exit().Tail, again: again}
	}
	if launch, ok := errors.AsType[*LaunchError](err); ok {
		return launch
	}
	if s.run.process() == nil {
		return explainExec(s.plugin, s.run.spec.Path, err)
	}
	exit := s.exit()
	line := s.run.firstLine()
	shake := strings.Count(line, "|") >= 3
	words := lastWords(exit.Tail)
	switch {
	case line == "" && ctx.Err() != nil:
		return fail(true, "see what it does before it serves; it must print the handshake at once",
			fmt.Errorf("it printed no handshake in time%s", words))
	case line == "" && exit.Signal == syscall.SIGKILL && s.run.endedByUs():
		return fail(true, "keep standard output open and print the handshake on it",
			fmt.Errorf("it closed its standard output without a handshake%s", words))
	case line == "":
		return fail(true, "mend what its last words name; a plugin must print a handshake and keep running",
			fmt.Errorf("it ended before the handshake: %s%s", exit, words))
	case !shake:
		return fail(true, "print nothing to standard output before the handshake; is it an Upkeep plugin at all?",
			fmt.Errorf("it printed %q instead of the handshake%s", cleanText(line, 200), words))
	case ctx.Err() != nil:
		return fail(true, "see whether it really serves gRPC on the address that it prints",
			fmt.Errorf("after the handshake %q it did not answer in time%s", cleanText(line, 200), words))
	}
	var address *addressError
	if errors.As(err, &address) {
		return fail(false, "listen on a unix socket in the folder PLUGIN_UNIX_SOCKET_DIR, or on 127.0.0.1", address)
	}
	// A handshake that go-plugin did not like: versions or protocol.
	return fail(false, "rebuild it for this host: core protocol 1, plugin API version "+fmt.Sprint(handshake.ProtocolVersion)+", gRPC",
		errors.New(cleanText(strings.Join(strings.Fields(err.Error()), " "), 1000)))
}

// exit is how the process ended; without one, or before its end, it says so.
func (s *session) exit() child.Exit {
	if proc := s.run.process(); proc != nil {
		return proc.Exit()
	}
	return child.Exit{}
}

// explainExec says why there is no process at all.
func explainExec(plugin, path string, err error) error {
	e := &LaunchError{Plugin: plugin, Err: err}
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		e.Err = fmt.Errorf("%w: it is a text without #! line or was built for another system or architecture", err)
		e.Remedy = "build it for this machine, or begin the script with #!"
	case errors.Is(err, os.ErrNotExist):
		e.Err = fmt.Errorf("%w (or the interpreter or loader that it names is missing)", err)
		e.Remedy = "put the file or its interpreter back, then release the plugin"
	case errors.Is(err, os.ErrPermission):
		e.Remedy = "make it executable: chmod +x " + path
	default: // processes, memory, descriptors
		e.again, e.ours = true, true
		e.Remedy = "see whether host is out of processes, memory, file descriptors (ulimit -a) or disk (df)"
	}
	return e
}

// tie gives a context that also ends with the process.
func (s *session) tie(ctx context.Context) (context.Context, context.CancelFunc) {
	tied, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return tied, func() { stop(); cancel() }
}

// health asks the standard health service once.
func (s *session) health(ctx context.Context) error {
	answer, err := grpc_health_v1.NewHealthClient(s.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: handshake.HealthService})
	if err != nil {
		return err
	}
	if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("its health service says %s", answer.GetStatus())
	}
	return nil
}

// shutdown asks the plugin to end, for the given reason, and ends it within
// timeout, then tidies up.
func (s *session) shutdown(timeout time.Duration, reason string) {
	select {
	case s.condemned <- verdict{reason: reason}:
	default: // condemned already
	}
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	_, _ = pluginv1.NewPluginServiceClient(s.conn).Shutdown(ctx, &pluginv1.ShutdownRequest{}) // whatever it answers, it ends
	if ctx.Err() == nil {
		brief, cancel := context.WithTimeout(ctx, timeout/4)
		_ = s.conn.Invoke(brief, "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
		select {
		case <-s.dead:
		case <-brief.Done():
		}
		cancel()
	}
	if deadline, _ := ctx.Deadline(); s.ctx.Err() == nil {
		s.run.process().Stop(ctx, min(time.Until(deadline), timeout/4))
	}
	s.close()
}

// close waits until nothing of the session is left, but not for ever: a process
// that even SIGKILL does not end is left to the kernel. The process must be
// dead or killed.
func (s *session) close() {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		<-s.dead
		s.client.Kill() // closes the connection; returns at once, since its process is dead
		if dir := s.run.socketDir(); dir != "" {
			_ = os.RemoveAll(dir)
		}
		s.run.code.release()
	}()
	select {
	case <-gone:
	case <-time.After(closeWait):
		s.log.Error("plugin process does not end", "pid", s.run.ID())
	}
}
