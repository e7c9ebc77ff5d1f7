//go:build linux

package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/upkeephub/upkeep/proto/handshake"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// fakePlugin is a plugin over proto and go-plugin alone, so that it can
// misbehave in every way. How it starts is its mode; how a check goes is said
// by the check's id, so that one process can be good and then bad.
type fakePlugin struct {
	pluginv1.UnimplementedPluginServiceServer
	pluginv1.UnimplementedCheckerServiceServer
	pluginv1.UnimplementedRecoveryServiceServer
	goplugin.NetRPCUnsupportedPlugin

	name, mode string
	config     *structpb.Struct
}

func (p *fakePlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	if p.mode == "no-service" {
		return nil
	}
	pluginv1.RegisterPluginServiceServer(s, p)
	pluginv1.RegisterCheckerServiceServer(s, p)
	pluginv1.RegisterRecoveryServiceServer(s, p)
	return nil
}

func (p *fakePlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no client")
}

// hoard is what a growing plugin keeps.
var hoard []byte

// rawStdout is descriptor 1; go-plugin puts a pipe of its own into os.Stdout.
var rawStdout = os.Stdout

// rawStderr is descriptor 2; go-plugin puts a pipe of its own into os.Stderr.
var rawStderr = os.Stderr

const fakeSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/c","$defs":{"c":{"type":"object","properties":{
	"word":{"type":"string"},"warning_threshold":{"type":"integer"},
	"thresholds":{"$ref":"#/$defs/t"}}},"t":{"type":"object","properties":{"cpu_percent":{"type":"number"}}}}}`

func bePlugin(mode string) {
	name := filepath.Base(os.Args[0])
	p := &fakePlugin{name: name, mode: mode}
	cookie := goplugin.HandshakeConfig{MagicCookieKey: handshake.CookieKey, MagicCookieValue: handshake.CookieValue}
	version := handshake.ProtocolVersion
	if word, ok := strings.CutPrefix(mode, "says="); ok {
		fmt.Fprintln(os.Stderr, word)
		os.Exit(0)
	}
	switch mode {
	case "silent":
		select {}
	case "garbage":
		fmt.Println("Welcome to my plugin!\x1b[31m")
		select {}
	case "long-line":
		fmt.Print(strings.Repeat("x", 200<<10))
		select {}
	case "exits":
		fmt.Fprintln(os.Stderr, "cannot find my licence")
		os.Exit(7)
	case "panics":
		panic("nothing works")
	case "closes-stdout":
		os.Stdout.Close()
		select {}
	case "banner":
		fmt.Println("starting up ...")
	case "garbage-socket":
		l, err := net.Listen("unix", os.Getenv("PLUGIN_UNIX_SOCKET_DIR")+"/s")
		if err != nil {
			panic(err)
		}
		fmt.Println("1|1|unix|" + l.Addr().String() + "|grpc|")
		for {
			conn, err := l.Accept()
			if err != nil {
				panic(err)
			}
			_, _ = conn.Write([]byte("HTTP/1.1 418 I'm a teapot\r\n\r\n"))
		}
	case "bare":
		beBare(name)
	case "wrong-core":
		fmt.Println("9|1|unix|/nowhere|grpc|")
		select {}
	case "netrpc":
		fmt.Println("1|1|unix|/nowhere|netrpc|")
		select {}
	case "far-away":
		fmt.Println("1|1|tcp|192.0.2.1:80|grpc|")
		select {}
	case "nobody-listens":
		fmt.Println("1|1|unix|" + os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/none|grpc|")
		select {}
	case "silent-socket":
		l, err := net.Listen("unix", os.Getenv("PLUGIN_UNIX_SOCKET_DIR")+"/s")
		if err != nil {
			panic(err)
		}
		fmt.Println("1|1|unix|" + l.Addr().String() + "|grpc|")
		for {
			if _, err := l.Accept(); err != nil {
				panic(err)
			}
		}
	case "dies-after-handshake":
		fmt.Fprintln(os.Stderr, "that was all")
		fmt.Println("1|1|unix|" + os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/none|grpc|")
		os.Exit(4)
	case "wrong-cookie":
		cookie.MagicCookieValue = "another host's"
	case "wrong-version":
		version = handshake.ProtocolVersion + 1
	case "slow-start":
		<-time.After(400 * time.Millisecond)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  cookie,
		VersionedPlugins: map[int]goplugin.PluginSet{version: {handshake.PluginKey: p}},
		Logger:           hclog.NewNullLogger(),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxSendMsgSize(math.MaxInt32))...)
		},
	})
	if mode == "stubborn" {
		select {}
	}
	if mode == "lingers" {
		<-time.After(5 * time.Second)
	}
}

// beBare is a plugin without go-plugin: no GRPCController, no GRPCStdio, no
// GRPCBroker, and no end of its own when its standard input ends.
func beBare(name string) {
	l, err := net.Listen("unix", os.Getenv("PLUGIN_UNIX_SOCKET_DIR")+"/s")
	if err != nil {
		panic(err)
	}
	signal.Ignore(syscall.SIGTERM)
	s := grpc.NewServer()
	alive := health.NewServer()
	alive.SetServingStatus(handshake.HealthService, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(s, alive)
	p := &fakePlugin{name: name, mode: "stubborn"}
	pluginv1.RegisterPluginServiceServer(s, p)
	pluginv1.RegisterCheckerServiceServer(s, p)
	fmt.Println("1|1|unix|" + l.Addr().String() + "|grpc|")
	panic(s.Serve(l))
}

func (p *fakePlugin) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	d := &pluginv1.DescribeResponse{
		Name: p.name, Version: "1.2.3", Kinds: []pluginv1.Kind{pluginv1.Kind_KIND_CHECKER}, ConfigSchema: fakeSchema,
		CheckName: p.name + "_check", Metrics: []*pluginv1.MetricDescriptor{{Name: "clients", Load: true}},
	}
	switch p.mode {
	case "wrong-name":
		d.Name, d.CheckName = "somebody", "no name"
	case "no-kind":
		d.Kinds = []pluginv1.Kind{77}
	case "bad-schema":
		d.ConfigSchema = `{"type": 12}`
	case "schema-not-json":
		d.ConfigSchema = "word: string"
	case "curious-schema":
		d.ConfigSchema = `{"$ref":"file:///etc/passwd"}`
	case "no-schema":
		d.ConfigSchema = ""
	case "same-check", "slow-start":
		d.CheckName = "shared"
	case "v2", "cannot-look":
		d.Version = "2.0.0"
	case "other-check":
		d.CheckName = "other"
	case "watch":
		d.Capabilities = []string{"watch", "fly"}
	case "strategy", "undecided":
		d.Kinds = []pluginv1.Kind{pluginv1.Kind_KIND_RECOVERY}
		d.Actions = []*pluginv1.ActionDescriptor{{Name: "flush_cache"}}
	case "panics-in-describe":
		panic("who am I?")
	case "hangs-in-describe":
		select {}
	}
	return d, nil
}

func (p *fakePlugin) Validate(_ context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	if p.mode == "no-schema" {
		return nil, status.Error(codes.Unimplemented, "nothing to configure")
	}
	var found []*pluginv1.Diagnostic
	switch r.GetConfig().GetFields()["word"].GetStringValue() {
	case "silent":
		select {}
	case "fatal":
		fmt.Fprintln(rawStderr, "that word kills me")
		os.Exit(9)
	case "bad":
		found = []*pluginv1.Diagnostic{
			{Severity: pluginv1.Severity_SEVERITY_ERROR, Path: "word", Summary: "the word is bad", Detail: "want a good one"},
			{Severity: pluginv1.Severity_SEVERITY_WARNING, Summary: "and it is short"},
		}
	}
	return &pluginv1.ValidateResponse{Diagnostics: found}, nil
}

func (p *fakePlugin) Configure(_ context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	switch word := r.GetConfig().GetFields()["word"].GetStringValue(); {
	case word == "late":
		return &pluginv1.ConfigureResponse{Diagnostics: []*pluginv1.Diagnostic{{Severity: pluginv1.Severity_SEVERITY_ERROR, Path: "word", Summary: "on second thoughts, no"}}}, nil
	case word == "stuck":
		select {}
	case word == "first" && p.config != nil:
		return nil, status.Error(codes.Internal, "there is no way back")
	}
	p.config = r.GetConfig()
	return &pluginv1.ConfigureResponse{}, nil
}

func (p *fakePlugin) Shutdown(context.Context, *pluginv1.ShutdownRequest) (*pluginv1.ShutdownResponse, error) {
	if p.mode == "stubborn" {
		select {}
	}
	return &pluginv1.ShutdownResponse{}, nil
}

func (p *fakePlugin) Check(ctx context.Context, r *pluginv1.CheckRequest) (*pluginv1.CheckResponse, error) {
	good := &pluginv1.CheckResponse{
		Status: pluginv1.Status_STATUS_HEALTHY, Message: "all is well",
		Metrics:  []*pluginv1.Metric{{Name: "clients", Value: &pluginv1.Metric_Number{Number: 3}, Status: pluginv1.Status_STATUS_HEALTHY}},
		Counters: map[string]float64{"looks": 1},
	}
	if p.mode == "cannot-look" {
		return nil, status.Error(codes.FailedPrecondition, "no glasses")
	}
	if path, is := strings.CutPrefix(r.GetCheckId(), "until "); is {
		for { // the test makes the file
			if _, err := os.Stat(path); err == nil {
				return good, nil
			}
			<-time.After(time.Millisecond)
		}
	}
	switch r.GetCheckId() {
	case "grow":
		hoard = bytes.Repeat([]byte{1}, 200<<20)
	case "grow-below":
		child := exec.Command(os.Args[0], "be-large")
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			return nil, err
		}
		_, err = out.Read(make([]byte, 1)) // it is large now
		return good, err
	case "panic-aside":
		go func() { panic("aside") }()
		select {}
	case "long-print":
		if _, err := rawStdout.Write(bytes.Repeat([]byte{'z'}, 1<<20)); err != nil {
			return nil, err
		}
	case "read":
		n, err := os.Stdin.Read(make([]byte, 1)) // waits for host's end
		return nil, status.Errorf(codes.Internal, "read %d: %v", n, err)
	case "panic":
		panic("division by zero")
	case "exit":
		fmt.Fprintln(rawStderr, "I am leaving")
		os.Exit(3)
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {} // the other threads stop a moment later: none of them may answer
	case "hang":
		select {} // and ignore ctx
	case "error":
		return nil, status.Error(codes.FailedPrecondition, "the disk\nis gone")
	case "own-timeout":
		return nil, status.Error(codes.DeadlineExceeded, "the disk did not answer me")
	case "huge":
		good.Message = strings.Repeat("x", 100<<20)
	case "nan":
		good.Metrics = append(good.Metrics, &pluginv1.Metric{Name: "ratio", Value: &pluginv1.Metric_Number{Number: math.NaN()}, Status: pluginv1.Status_STATUS_HEALTHY})
	case "fork":
		child := exec.Command("sleep", "300")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			return nil, err
		}
		good.Message = strconv.Itoa(child.Process.Pid)
	case "log":
		fmt.Fprintln(rawStderr, `{"@level":"warn","@message":"disk \u001b[31mfull","@timestamp":"2030-01-02T03:04:05.000000Z","free":7,"path":"/var","nested":{"a":[1]}}`)
		fmt.Fprintln(rawStderr, `{"@message":1,"@level":{},"@timestamp":[]}`)
		fmt.Fprintln(rawStderr, "[ERROR] plain \xff text")
		fmt.Fprintln(rawStderr, "end of the log")
	case "print":
		fmt.Println("printed through go-plugin")
		fmt.Fprintln(os.Stderr, "[WARN] warned through go-plugin")
	case "flood", "flood-print":
		to, line, lines := rawStderr, []byte(strings.Repeat("y", 999)+"\n"), 100_000
		if r.GetCheckId() == "flood-print" {
			to, lines = os.Stdout, 20_000
		}
		for range lines {
			if _, err := to.Write(line); err != nil {
				return nil, err
			}
		}
	case "env":
		good.Message = strings.Join(os.Environ(), "\n")[:min(4000, len(strings.Join(os.Environ(), "\n")))]
	case "config":
		text, err := json.Marshal(p.config.AsMap())
		if err != nil {
			return nil, err
		}
		good.Message = string(text)
	}
	return good, nil
}

func (p *fakePlugin) Watch(r *pluginv1.WatchRequest, stream grpc.ServerStreamingServer[pluginv1.WatchResponse]) error {
	return stream.Send(&pluginv1.WatchResponse{Check: &pluginv1.CheckResponse{
		Status: pluginv1.Status_STATUS_WARNING, Message: "seen on port " + strconv.Itoa(int(r.GetCheck().GetTarget().GetPort())),
	}})
}

func (p *fakePlugin) Decide(_ context.Context, r *pluginv1.DecideRequest) (*pluginv1.DecideResponse, error) {
	if p.mode == "undecided" {
		return nil, status.Error(codes.Internal, "I cannot make up my mind")
	}
	switch r.GetIncident().GetId() {
	case "inc-empty":
		return &pluginv1.DecideResponse{}, nil
	case "inc-nonsense":
		return &pluginv1.DecideResponse{Action: "rm -rf /"}, nil
	}
	return &pluginv1.DecideResponse{
		Action: "restart_service", Rule: "ladder", Reason: fmt.Sprintf("%d reports, %d clients", len(r.GetHistory()), r.GetStatistics().GetConnectedClients()),
	}, nil
}

func (p *fakePlugin) Execute(_ context.Context, r *pluginv1.ExecuteRequest) (*pluginv1.ExecuteResponse, error) {
	if r.GetDeadline() == nil {
		return nil, status.Error(codes.InvalidArgument, "no deadline")
	}
	return &pluginv1.ExecuteResponse{Message: "did " + r.GetAction() + " for " + r.GetIdempotencyKey()}, nil
}
