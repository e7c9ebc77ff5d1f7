package checkertest

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
	"github.com/upkeephub/upkeep/sdk"
)

const (
	// checkTime is the deadline of a check that should succeed, slack how much
	// later than a deadline an answer may come.
	checkTime = 10 * time.Second
	slack     = time.Second
)

// Option changes what Run does.
type Option func(*trial)

// Info gives what the plugin's main passes to sdk.Serve, so that the metrics
// of the checker are compared with those it documents.
func Info(info sdk.Info) Option { return func(r *trial) { r.info = info } }

// Settings configures the checker before it is tried; without it, it runs with
// its defaults.
func Settings(config map[string]any) Option { return func(r *trial) { r.settings = config } }

// Run fails t for everything in which the checker breaks the contract:
//
//   - what it says of itself: name and version, a help text for each metric, and
//     a configuration schema that is valid JSON Schema and finds its own defaults good
//   - configuration: unknown keys and wrong types are refused with a diagnostic
//     that names the path, and every key may be left out
//   - results: at most 256 metrics, named in lower case with underscores, unique
//     together with their labels, finite, with a value or a reason why not, and documented if Info names metrics
//   - time: Check ends soon after its deadline, and soon after it is cancelled,
//     also when the target does not answer
//   - memory: repeated checks of the same target, with the counters given back,
//     return the same set of metrics and leave no goroutines behind
//   - concurrency: checks, and a new configuration meanwhile, do not disturb each
//     other (run it with -race)
//
// The target is this very process as host and hub, with plausible statistics,
// on a port that accepts connections and never answers, as that of a frozen hub.
// A check that returns an error there is within its rights if it does so each time.
func Run(t testing.TB, checker sdk.Checker, options ...Option) {
	t.Helper()
	r := &trial{TB: t, checker: checker, info: sdk.Info{Name: "checker", Version: "0.0.0"}}
	for _, option := range options {
		option(r)
	}
	if !r.connect() {
		return
	}
	defer r.disconnect()
	r.describes()
	if r.description == nil {
		return
	}
	r.hasValidSchema()
	r.refusesBadSettings()
	r.acceptsSettings()
	r.honoursTheEndOfItsContext()
	r.answersWell()
	r.repeats()
	r.bearsConcurrency()
}

// trial is one run.
type trial struct {
	testing.TB
	checker  sdk.Checker
	info     sdk.Info
	settings map[string]any

	plugin      pluginv1.PluginServiceClient
	client      pluginv1.CheckerServiceClient
	description *pluginv1.DescribeResponse
	target      *pluginv1.Target
	disconnect  func()
}

// connect serves the checker over gRPC and opens the silent port. It reports
// whether it could.
func (r *trial) connect() bool {
	r.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Errorf("checkertest: no port for the target: %v", err)
		return false
	}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	if err := sdk.Register(server, r.info, r.checker); err != nil {
		_ = silent.Close()
		r.Errorf("checkertest: the checker cannot be served: %v", err)
		return false
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	conn, err := grpc.NewClient("passthrough:///checker",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.Errorf("checkertest: connect: %v", err)
	}
	r.disconnect = func() {
		_ = conn.Close()
		server.Stop()
		serving.Wait()
		_ = silent.Close()
	}
	r.plugin = pluginv1.NewPluginServiceClient(conn)
	r.client = pluginv1.NewCheckerServiceClient(conn)
	r.target = &pluginv1.Target{
		HostPid: int64(os.Getpid()), HubPid: int64(os.Getpid()), HubGeneration: 1,
		Host: "localhost", Port: int32(silent.Addr().(*net.TCPAddr).Port), Addresses: []string{silent.Addr().String()},
		Path: "/socket.io/", ProbeSecret: "secret",
	}
	return true
}

// request is what the host would ask now; earlier are the counters it was given
// before, oldest first.
func (r *trial) request(earlier ...*pluginv1.Sample) *pluginv1.CheckRequest {
	now := time.Now()
	return &pluginv1.CheckRequest{
		CheckId: "trial", Target: r.target, Samples: earlier, Now: timestamppb.New(now),
		Statistics: &pluginv1.HubStatistics{
			Generation: 1, ConnectedClients: 3, ClientsServed: 10, EventsProcessed: 1000, EventsFailed: 1, Errors: 2,
			LastActivity: timestamppb.New(now.Add(-time.Second)), ClientDescriptors: 3, HistorySize: 1000,
			TakenAt: timestamppb.New(now), MaxConnections: 10000,
		},
	}
}

// check asks once, within limit.
func (r *trial) check(limit time.Duration, request *pluginv1.CheckRequest) (*pluginv1.CheckResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return r.client.Check(ctx, request)
}

// configure applies a configuration and returns the findings.
func (r *trial) configure(config map[string]any) ([]*pluginv1.Diagnostic, error) {
	values, err := structpb.NewStruct(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	answer, err := r.plugin.Configure(ctx, &pluginv1.ConfigureRequest{Config: values})
	return answer.GetDiagnostics(), err
}
