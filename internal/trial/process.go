package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/proto/handshake"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

const (
	// StartTime is how long a plugin may take from its start to its first answer.
	StartTime = 10 * time.Second
	// StopTime is how long it may take to end when it is asked to.
	StopTime = 2 * time.Second
	// maxMessage bounds one message in either direction, as host does.
	maxMessage = 4 << 20
	// maxPrinted bounds what is kept of a plugin's standard output, in lines.
	maxPrinted = 100
)

// Options of a start.
type Options struct {
	// Spec is the plugin's command, folder and environment, without the
	// handshake's variables. Stdout and FirstStdoutRaw are set here.
	Spec child.Spec
	// Versions are the protocol versions that are offered; empty: host's.
	Versions []int
	// WithoutCookie leaves the magic cookie out, as when a person starts it.
	WithoutCookie bool
}

// Process is one process of a plugin. Whoever starts one calls End.
type Process struct {
	proc   *child.Process
	folder string // of its socket
	conn   *grpc.ClientConn
	drain  sync.WaitGroup

	mu      sync.Mutex
	printed []string
}

// Environment is what the handshake adds to a plugin's environment. folder is
// where it is to make its socket.
func Environment(folder string, versions ...int) []string {
	if len(versions) == 0 {
		versions = []int{handshake.ProtocolVersion}
	}
	words := make([]string, len(versions))
	for i, v := range versions {
		words[i] = strconv.Itoa(v)
	}
	return []string{
		handshake.CookieKey + "=" + handshake.CookieValue, "PLUGIN_MIN_PORT=10000", "PLUGIN_MAX_PORT=25000",
		"PLUGIN_PROTOCOL_VERSIONS=" + strings.Join(words, ","), "PLUGIN_UNIX_SOCKET_DIR=" + folder,
	}
}

// Start starts the process and returns as soon as it runs.
func Start(o Options) (*Process, error) {
	folder, err := os.MkdirTemp("", "upkeep-try")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the plugin's socket: %w", err)
	}
	p := &Process{folder: folder}
	spec := o.Spec
	env := Environment(folder, o.Versions...)
	if o.WithoutCookie {
		env = env[1:]
	}
	spec.Env = slices.Concat(spec.Env, env)
	spec.FirstStdoutRaw = true
	spec.Stdout = p.print
	if p.proc, err = child.Start(spec); err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	return p, nil
}

func (p *Process) print(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.printed) < maxPrinted {
		p.printed = append(p.printed, line)
	}
}

// Printed are the lines on standard output after the first, at most 100.
func (p *Process) Printed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.printed)
}

// PID is the process id.
func (p *Process) PID() int { return p.proc.PID() }

// Done is closed when the process has ended and its output is read.
func (p *Process) Done() <-chan struct{} { return p.proc.Done() }

// Exit is how it ended; before Done its Err is child.ErrRunning.
func (p *Process) Exit() child.Exit { return p.proc.Exit() }

// Running says whether the process has not ended.
func (p *Process) Running() bool { return errors.Is(p.proc.Exit().Err, child.ErrRunning) }

// CloseStdin ends its standard input, as the end of its host does.
func (p *Process) CloseStdin() { p.proc.CloseStdin() }

// FirstLine waits for the first line of standard output, which must be the
// handshake. It gives what is there, without the line's end, when the output
// ends or ctx does.
func (p *Process) FirstLine(ctx context.Context) (string, error) {
	out := p.proc.FirstStdout()
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1) // read at most once; the reader below ends with the process
	go func() {
		buf := make([]byte, 8<<10)
		n, err := out.Read(buf)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		got <- answer{strings.TrimRight(string(buf[:n]), "\r\n"), err}
	}()
	select {
	case a := <-got:
		return a.text, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Open completes the handshake and connects. It is FirstLine, ParseHandshake
// and Dial in one, for callers that need not tell them apart.
func (p *Process) Open(ctx context.Context) error {
	line, err := p.FirstLine(ctx)
	if err != nil {
		return fmt.Errorf("it printed no handshake: %w", err)
	}
	shake, err := ParseHandshake(line)
	if err != nil {
		return err
	}
	return p.Dial(ctx, shake)
}

// Dial connects to where the handshake says and waits until there is a
// connection.
func (p *Process) Dial(ctx context.Context, h Handshake) error {
	conn, err := Connect(ctx, h)
	if err != nil {
		return err
	}
	p.conn = conn
	// go-plugin's library sends what a Go plugin prints over a stream of its
	// own, and a plugin that prints much would wait for a reader.
	stream, err := conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, "/plugin.GRPCStdio/StreamStdio")
	if err != nil {
		return nil // it has none
	}
	p.drain.Go(func() {
		if stream.SendMsg(&emptypb.Empty{}) != nil || stream.CloseSend() != nil {
			return
		}
		for stream.RecvMsg(&emptypb.Empty{}) == nil {
			continue
		}
	})
	return nil
}

// Conn is the connection; nil before Dial.
func (p *Process) Conn() *grpc.ClientConn { return p.conn }

// Plugin, Checker, Recovery and Health are the services that a plugin answers.
func (p *Process) Plugin() pluginv1.PluginServiceClient {
	return pluginv1.NewPluginServiceClient(p.conn)
}

// Checker is the service of checkers.
func (p *Process) Checker() pluginv1.CheckerServiceClient {
	return pluginv1.NewCheckerServiceClient(p.conn)
}

// Recovery is the service of strategies.
func (p *Process) Recovery() pluginv1.RecoveryServiceClient {
	return pluginv1.NewRecoveryServiceClient(p.conn)
}

// Health asks the standard health service once.
func (p *Process) Health(ctx context.Context) error {
	answer, err := grpc_health_v1.NewHealthClient(p.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: handshake.HealthService})
	if err != nil {
		return err
	}
	if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("its health service says %s for %q", answer.GetStatus(), handshake.HealthService)
	}
	return nil
}

// Configure validates and applies a configuration. The diagnostics are those of
// Validate, or, if it found no mistake, of Configure.
func (p *Process) Configure(ctx context.Context, config map[string]any) ([]*pluginv1.Diagnostic, error) {
	values, err := structpb.NewStruct(config)
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be sent: %w", err)
	}
	judged, err := p.Plugin().Validate(ctx, &pluginv1.ValidateRequest{Config: values})
	if err != nil || Refused(judged.GetDiagnostics()) {
		return judged.GetDiagnostics(), err
	}
	applied, err := p.Plugin().Configure(ctx, &pluginv1.ConfigureRequest{Config: values})
	return applied.GetDiagnostics(), err
}

// Refused says whether a diagnostic is a mistake; one without a known severity is.
func Refused(found []*pluginv1.Diagnostic) bool {
	return slices.ContainsFunc(found, func(d *pluginv1.Diagnostic) bool { return d.GetSeverity() != pluginv1.Severity_SEVERITY_WARNING })
}

// Shutdown asks the plugin to end, as host does, and kills it when StopTime is
// over. It says how the process ended and whether the plugin answered; one that
// had to be killed ended by SIGKILL.
func (p *Process) Shutdown() (exit child.Exit, answered error) {
	ctx, cancel := context.WithTimeout(context.Background(), StopTime)
	defer cancel()
	_, answered = p.Plugin().Shutdown(ctx, &pluginv1.ShutdownRequest{})
	brief, stop := context.WithTimeout(ctx, StopTime/4)
	_ = p.conn.Invoke(brief, "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
	select {
	case <-p.Done():
	case <-brief.Done():
	}
	stop()
	deadline, _ := ctx.Deadline()
	return p.proc.Stop(context.Background(), max(0, time.Until(deadline))), answered
}

// End kills the process if it still runs and tidies up; it returns when nothing
// of it is left.
func (p *Process) End() {
	p.proc.Kill()
	<-p.proc.Done()
	if p.conn != nil {
		_ = p.conn.Close()
	}
	p.drain.Wait()
	_ = os.RemoveAll(p.folder)
}

// Connect makes a connection to where the handshake says, within host's limits.
func Connect(ctx context.Context, h Handshake) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///plugin",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(h.dial),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	if err := ready(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("nobody serves gRPC on %s %s: %w", h.Network, h.Address, err)
	}
	return conn, nil
}
