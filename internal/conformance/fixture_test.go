//go:build unix

package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/upkeephub/upkeep/proto/handshake"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// TestMain lets the test binary be a plugin when its first argument says so.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if mode, is := strings.CutPrefix(os.Args[1], "be-plugin="); is {
			bePlugin(mode)
			return
		}
	}
	os.Exit(m.Run())
}

// mutant is a plugin over gRPC alone: checker with a watch, and strategy with an
// action. Without a mode it keeps every rule. Its mode is the rule that it breaks.
type mutant struct {
	pluginv1.UnimplementedPluginServiceServer
	pluginv1.UnimplementedCheckerServiceServer
	pluginv1.UnimplementedRecoveryServiceServer

	mode   string
	alone  sync.Mutex   // held by the check that has it to itself
	kept   [][]byte     // what "memory" keeps
	mu     sync.Mutex   // guards kept
	asked  atomic.Int64 // how often Decide was called
	ending atomic.Bool  // Shutdown was called
}

const mutantSchema = `{"type":"object","additionalProperties":false,"properties":{
	"share":{"type":"number","default":0.5},"limits":{"type":"object","additionalProperties":false,"properties":{"words":{"type":"integer"}}}}}`

// bePlugin is the whole life of a mutant.
func bePlugin(mode string) {
	m := &mutant{mode: mode}
	if os.Getenv(handshake.CookieKey) != handshake.CookieValue && mode != "cookie" {
		fmt.Fprintln(os.Stderr, "this is a plugin of Upkeep")
		os.Exit(1)
	}
	version := chooseVersion(os.Getenv("PLUGIN_PROTOCOL_VERSIONS"), mode)
	listener, err := net.Listen("unix", filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := grpc.NewServer()
	pluginv1.RegisterPluginServiceServer(server, m)
	pluginv1.RegisterCheckerServiceServer(server, m)
	pluginv1.RegisterRecoveryServiceServer(server, m)
	served := health.NewServer()
	if mode != "health" {
		served.SetServingStatus(handshake.HealthService, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	grpc_health_v1.RegisterHealthServer(server, served)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "plugin.GRPCController", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Shutdown", Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
			if mode != "shutdown" {
				go os.Exit(0)
			}
			return &emptypb.Empty{}, nil
		}}},
	}, m)
	if mode == "shutdown" {
		signal.Ignore(syscall.SIGTERM)
	}
	parent := os.Getppid()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		switch {
		case mode == "stdin" && os.Getppid() == parent, mode == "host_death" && os.Getppid() != parent:
		case mode == "shutdown" && m.ending.Load():
		default:
			os.Exit(0)
		}
	}()
	if mode == "stdin" { // it knows of its host's death in another way
		go func() {
			for range time.Tick(50 * time.Millisecond) {
				if os.Getppid() != parent {
					os.Exit(0)
				}
			}
		}()
	}
	if mode == "handshake" {
		fmt.Println("Welcome!")
	}
	fmt.Printf("1|%d|unix|%s|grpc|\n", version, listener.Addr())
	_ = server.Serve(listener)
}

func chooseVersion(offered, mode string) int {
	if mode == "version" { // takes the first, whatever it is
		var first int
		_, _ = fmt.Sscan(strings.Split(offered, ",")[0], &first)
		return first
	}
	return handshake.ProtocolVersion
}

func (m *mutant) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	d := &pluginv1.DescribeResponse{
		Name: "mutant", Version: "1.2.3", Kinds: []pluginv1.Kind{pluginv1.Kind_KIND_CHECKER, pluginv1.Kind_KIND_RECOVERY},
		Capabilities: []string{"watch"}, ConfigSchema: mutantSchema,
		Metrics: []*pluginv1.MetricDescriptor{{Name: "port_open", Help: "Whether it answers."}},
		Actions: []*pluginv1.ActionDescriptor{{Name: "call_somebody", Description: "Rings."}},
	}
	switch m.mode {
	case "describe":
		d.Metrics[0].Help = ""
	case "schema":
		d.ConfigSchema = strings.Replace(mutantSchema, `0.5`, `"half"`, 1)
	}
	return d, nil
}

// judgeSettings finds unknown keys and wrong types.
func (m *mutant) judgeSettings(config map[string]any) ([]*pluginv1.Diagnostic, error) {
	var found []*pluginv1.Diagnostic
	wrong := func(path string) {
		found = append(found, &pluginv1.Diagnostic{Severity: pluginv1.Severity_SEVERITY_ERROR, Summary: "is wrong", Path: path})
	}
	for key, value := range config {
		switch v := value.(type) {
		case float64:
			if key != "share" {
				wrong(key)
			}
		case map[string]any:
			for below, value := range v {
				if _, number := value.(float64); below != "words" || !number {
					wrong(key + "." + below)
				}
			}
		default:
			wrong(key)
		}
	}
	if len(found) > 0 && m.mode == "configuration" {
		return nil, status.Error(codes.InvalidArgument, "bad configuration")
	}
	return found, nil
}

func (m *mutant) Validate(_ context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	found, err := m.judgeSettings(r.GetConfig().AsMap())
	return &pluginv1.ValidateResponse{Diagnostics: found}, err
}

func (m *mutant) Configure(_ context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	found, err := m.judgeSettings(r.GetConfig().AsMap())
	return &pluginv1.ConfigureResponse{Diagnostics: found}, err
}

func (m *mutant) Shutdown(context.Context, *pluginv1.ShutdownRequest) (*pluginv1.ShutdownResponse, error) {
	m.ending.Store(true)
	return &pluginv1.ShutdownResponse{}, nil
}

// Check waits for a word from the target.
func (m *mutant) Check(ctx context.Context, r *pluginv1.CheckRequest) (*pluginv1.CheckResponse, error) {
	switch m.mode {
	case "memory":
		m.mu.Lock()
		m.kept = append(m.kept, slices.Repeat([]byte{1}, 64<<10))
		m.mu.Unlock()
	case "concurrency":
		if !m.alone.TryLock() {
			return nil, status.Error(codes.FailedPrecondition, "another check is under way")
		}
		defer m.alone.Unlock()
		runtime.Gosched()
	case "stdout":
		fmt.Println("checking")
	}
	answers, err := m.look(ctx, r.GetTarget().GetAddresses()[0])
	if err != nil {
		return nil, err
	}
	ok := pluginv1.Status_STATUS_CRITICAL
	if answers {
		ok = pluginv1.Status_STATUS_HEALTHY
	}
	metric := &pluginv1.Metric{Name: "port_open", Value: &pluginv1.Metric_Flag{Flag: answers}, Status: ok}
	answer := &pluginv1.CheckResponse{Status: ok, Metrics: []*pluginv1.Metric{metric}}
	if m.mode == "check" {
		answer.Metrics = append(answer.Metrics, metric)
	}
	return answer, nil
}

// look reads from the target until ctx ends, 800 ms at most.
func (m *mutant) look(ctx context.Context, address string) (bool, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false, nil
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(800 * time.Millisecond))
	stop := context.AfterFunc(ctx, func() {
		deadline, given := ctx.Deadline()
		late := given && !time.Now().Before(deadline.Add(-20*time.Millisecond))
		switch {
		case m.mode == "deadline" && late, m.mode == "cancel" && !late:
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		default:
			_ = conn.SetReadDeadline(time.Now())
		}
	})
	defer stop()
	_, err = conn.Read(make([]byte, 1))
	switch {
	case ctx.Err() != nil:
		return false, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	}
	return err == nil, nil
}

func (m *mutant) Watch(r *pluginv1.WatchRequest, stream grpc.ServerStreamingServer[pluginv1.WatchResponse]) error {
	if m.mode == "watch" {
		return status.Error(codes.Unimplemented, "not yet")
	}
	<-stream.Context().Done()
	return nil
}

func (m *mutant) Decide(ctx context.Context, r *pluginv1.DecideRequest) (*pluginv1.DecideResponse, error) {
	n := m.asked.Add(1)
	answer := &pluginv1.DecideResponse{Action: "none", Rule: "nothing", Reason: "Nothing can be done."}
	if r.GetReport().GetStatus() == pluginv1.Status_STATUS_CRITICAL {
		for _, a := range r.GetActions() {
			if a.GetAction() == "restart_service" && (a.GetApplicable() || m.mode == "applicability") {
				answer = &pluginv1.DecideResponse{Action: a.GetAction(), Rule: "critical", Reason: "It is critical."}
			}
		}
	}
	switch m.mode {
	case "decide":
		answer.Reason = ""
	case "determinism":
		answer.Reason = fmt.Sprintf("%s It is decision %d, of %d.", answer.Reason, n, rand.Int())
	case "promptness":
		if len(r.GetHistory()) >= 20 {
			select {
			case <-time.After(decideTime + time.Second):
			case <-ctx.Done():
			}
		}
	}
	return answer, nil
}

func (m *mutant) Execute(_ context.Context, r *pluginv1.ExecuteRequest) (*pluginv1.ExecuteResponse, error) {
	if r.GetAction() != "call_somebody" && m.mode != "execute" {
		return nil, status.Error(codes.InvalidArgument, "no such action")
	}
	return &pluginv1.ExecuteResponse{Message: "called"}, nil
}
