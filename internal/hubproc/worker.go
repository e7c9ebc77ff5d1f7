package hubproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/proto/handshake"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

// killWait is how long the effect of SIGKILL is awaited, and how long a process
// whose control channel ended may take to end itself.
const killWait = time.Second

// inherited are the variables of ours that a hub gets: what programs need to find
// their way, and what tunes and traces the Go runtime. Nothing else of the
// environment, and so no secret in it, reaches the process that strangers talk to.
var inherited = []string{
	"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ",
	"GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GOTRACEBACK",
}

// worker is one hub process with its control channel.
type worker struct {
	opts       *Options
	generation uint64
	proc       *child.Process
	conn       *grpc.ClientConn
	client     hubv1.HubServiceClient
	lost       <-chan struct{} // closed when the control channel ends
	started    time.Time
	accepting  time.Time

	endWatch context.CancelFunc // nil until watch begins
	// over is closed when watch has ended; then cause says why, unless it was
	// told to, and hung that the process has to be killed.
	over  chan struct{}
	cause string
	hung  bool

	cry atomic.Pointer[string] // see heed
}

// spawn starts the process of a hub. Whoever has it calls release in the end.
func spawn(o *Options, generation uint64) (*worker, error) {
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	files := []*os.File{theirs} // handshake.HubControlFD, then the listeners
	defer func() { closeFiles(files) }()
	listeners, err := o.Listeners.duplicates()
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	files = append(files, listeners...)
	control := &controlConn{Conn: ours, lost: make(chan struct{})}
	conn, err := dial(control)
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	log := o.Log.Named("worker")
	w := &worker{
		opts: o, generation: generation, conn: conn, client: hubv1.NewHubServiceClient(conn),
		lost: control.lost, started: time.Now(), over: make(chan struct{}),
	}
	w.proc, err = child.Start(child.Spec{
		Name: "hub", Path: o.Executable, Argv0: "upkeep-hub", Args: o.Args,
		Env: environment(o, len(listeners)), ExtraFiles: files,
		Stdout: func(line string) { relay(log, line) },
		Stderr: func(line string) {
			w.heed(line)
			relay(log, line)
		},
	})
	if err != nil {
		_ = conn.Close()
		_ = ours.Close()
		return nil, err
	}
	return w, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// environment is the whole environment of a hub.
func environment(o *Options, listeners int) []string {
	var env []string
	for _, key := range inherited {
		if value, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+value)
		}
	}
	env = append(env, o.Env...)
	env = append(env, handshake.HubListenersEnv+"="+strconv.Itoa(listeners))
	if o.StateDir != "" {
		env = append(env, handshake.ChildMarkerEnv+"="+child.NewMarker(o.StateDir).String())
	}
	// The last word on a key wins; which of two a program sees is up to the program.
	at := map[string]int{}
	var unique []string
	for _, entry := range env {
		key, _, _ := strings.Cut(entry, "=")
		if i, seen := at[key]; seen {
			unique[i] = entry
			continue
		}
		at[key] = len(unique)
		unique = append(unique, entry)
	}
	return unique
}

// dial makes a gRPC client of the one connection there is. It never connects
// again: a hub whose control channel ended is replaced.
func dial(control *controlConn) (*grpc.ClientConn, error) {
	used := false
	var mu sync.Mutex
	conn, err := grpc.NewClient("passthrough:///hub",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if used {
				return nil, errors.New("the control channel has ended")
			}
			used = true
			return control, nil
		}),
		// The start deadline is ours, and knows when we ourselves were away; gRPC's does not.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 24 * time.Hour}),
		grpc.WithIdleTimeout(0), // going idle would close the channel, and with it the hub
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
	)
	if err != nil {
		return nil, fmt.Errorf("set up the control channel: %w", err)
	}
	conn.Connect()
	return conn, nil
}

// controlConn tells when the channel ends; gRPC itself would keep that to itself
// until the next call.
type controlConn struct {
	net.Conn
	once sync.Once
	lost chan struct{}
}

func (c *controlConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	var timeout net.Error
	if err != nil && (!errors.As(err, &timeout) || !timeout.Timeout()) {
		c.once.Do(func() { close(c.lost) })
	}
	return n, err
}

// load has the server built.
func (w *worker) load(ctx context.Context) error {
	settings := proto.CloneOf(w.opts.Settings)
	settings.Generation = w.generation
	if settings.Port == 0 {
		settings.Port = int32(w.opts.Listeners.Port())
	}
	if w.opts.Amend != nil {
		w.opts.Amend(settings)
	}
	_, err := w.client.Load(ctx, &hubv1.LoadRequest{Settings: settings})
	return w.explain(ctx, "load", err)
}

// accept lets clients in and waits for the first heartbeat.
func (w *worker) accept(ctx context.Context, base *hubv1.Statistics, quarantine *hubv1.Quarantine) (*hubv1.Statistics, time.Duration, error) {
	if _, err := w.client.Accept(ctx, &hubv1.AcceptRequest{Base: base, Quarantine: quarantine}); err != nil {
		return nil, 0, w.explain(ctx, "accept clients", err)
	}
	w.accepting = time.Now()
	answer, err := w.client.Heartbeat(ctx, w.heartbeat(0))
	return answer.GetStatistics(), time.Since(w.accepting), w.explain(ctx, "answer its first heartbeat", err)
}

// heartbeat is the question whether the hub lives.
func (w *worker) heartbeat(sequence uint64) *hubv1.HeartbeatRequest {
	request := &hubv1.HeartbeatRequest{Sequence: sequence}
	if w.opts.LogLevel != nil {
		request.LogLevel = w.opts.LogLevel()
	}
	return request
}

// explain says in words why a call failed, after a moment for the process to
// end: its own exit explains more than a closed channel.
func (w *worker) explain(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if context.Cause(ctx) != nil {
		return fmt.Errorf("the hub did not %s: %w", what, context.Cause(ctx))
	}
	if status.Code(err) == codes.Unavailable && w.awaitExit(killWait) {
		return fmt.Errorf("the hub did not %s: %s", what, w.exitText(w.proc.Exit()))
	}
	return fmt.Errorf("the hub did not %s: %s", what, status.Convert(err).Message())
}

// awaitExit waits for the end of the process and says whether it came.
func (w *worker) awaitExit(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.proc.Done():
		return true
	case <-timer.C:
		return false
	}
}

// suspended says whether the system has stopped the process, so that to ask it
// for anything is to wait for nothing.
func (w *worker) suspended() bool {
	stat, err := child.ReadStat(w.proc.PID())
	return err == nil && stat.Stopped()
}

// finished says whether watch has come to an end: the process is gone or hung.
func (w *worker) finished() bool {
	select {
	case <-w.over:
		return true
	default:
		return false
	}
}

// kill ends the process and waits for that, at most killWait.
func (w *worker) kill() child.Exit {
	w.quit()
	w.proc.Kill()
	w.awaitExit(killWait)
	return w.release()
}

// stop ends the hub the gentle way, which tells its clients: let go, then reap. It
// returns the last statistics, which are nil when it did not answer.
func (w *worker) stop(reason string) (*hubv1.Statistics, child.Exit) {
	stats := w.letGo(reason)
	return stats, w.reap()
}

// letGo has the hub stop, with a call that takes at most StopDeadline. When it
// returns, another hub may accept: this one has let go of everything, or is dead. The
// statistics are its last; nil when it did not answer.
func (w *worker) letGo(reason string) *hubv1.Statistics {
	w.quit()
	if w.hung || w.suspended() {
		w.kill()
		return nil
	}
	ctx, cancel := awakeTimeout(context.Background(), w.opts.StopDeadline, w.opts.OwnLateness)
	defer cancel()
	answer, err := w.client.Stop(ctx, &hubv1.StopRequest{Reason: reason, Drain: durationpb.New(w.opts.Drain)})
	if err != nil {
		w.opts.Log.Warn("hub did not answer the call to stop", "pid", w.proc.PID(), "error", w.explain(ctx, "stop", err))
		w.kill()
		return nil
	}
	return answer.GetStatistics()
}

// reap waits for the end of a hub that has let go, which tells its clients until
// then, at most killWait.
func (w *worker) reap() child.Exit {
	if !w.awaitExit(killWait) {
		w.opts.Log.Warn("hub stopped but did not exit, is killed", "pid", w.proc.PID())
	}
	return w.kill()
}

// quit ends watch and waits for it. Without a watch it does nothing.
func (w *worker) quit() {
	if w.endWatch == nil {
		return
	}
	w.endWatch()
	<-w.over
}

// release closes the control channel and tells how the process ended.
func (w *worker) release() child.Exit {
	_ = w.conn.Close()
	return w.proc.Exit()
}

// exitText is one phrase with what the process died of, as far as it said so.
func (w *worker) exitText(exit child.Exit) string {
	text := exit.String()
	if cry := w.cry.Load(); cry != nil {
		return text + ": " + *cry
	}
	if exit.Code <= 0 {
		return text // killed from outside, or content: its last line is no explanation
	}
	for _, line := range slices.Backward(exit.Tail) {
		if !strings.HasPrefix(line, "{") { // nor is an entry of its log
			return text + ": " + line
		}
	}
	return text
}

// heed keeps the line with which the Go runtime says what a process dies of;
// the trace that follows it may be longer than any tail.
func (w *worker) heed(line string) {
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		w.cry.Store(&line)
	}
}

// errLate is the cause of a context that awakeTimeout ended.
type errLate struct{ limit time.Duration }

func (e errLate) Error() string { return fmt.Sprintf("no answer within %v", e.limit) }

// awakeTimeout is context.WithTimeoutCause for a limit in time that this process
// itself was running: when it was stopped or starved for longer than lateness,
// that time does not count, so that nobody is blamed for our own absence.
func awakeTimeout(parent context.Context, limit, lateness time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	const step = 100 * time.Millisecond
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		left := limit
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			began := time.Now()
			wait := min(step, left)
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			// Beyond lateness we were away, and so perhaps was the answer.
			if left -= min(time.Since(began), wait+lateness); left <= 0 {
				cancel(errLate{limit})
				return
			}
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-ended
	}
}
