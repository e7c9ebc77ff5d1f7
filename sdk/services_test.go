package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// fake is a plugin whose every ability is a function.
type fake struct {
	*Config[faultyConfig]
	check    func(context.Context, Request) (Result, error)
	watch    func(context.Context, Request, func(Result) error) error
	decide   func(context.Context, Situation) (Proposal, error)
	execute  func(context.Context, Execution) (string, error)
	shutdown func(context.Context) error
}

func (f *fake) Check(ctx context.Context, r Request) (Result, error) { return f.check(ctx, r) }
func (f *fake) Watch(ctx context.Context, r Request, send func(Result) error) error {
	return f.watch(ctx, r, send)
}
func (f *fake) Decide(ctx context.Context, s Situation) (Proposal, error) { return f.decide(ctx, s) }
func (f *fake) Execute(ctx context.Context, e Execution) (string, error)  { return f.execute(ctx, e) }
func (f *fake) Shutdown(ctx context.Context) error                        { return f.shutdown(ctx) }

// faultyConfig panics when told to.
type faultyConfig struct {
	Panic bool `json:"panic"`
	N     int  `json:"n"`
}

func (c faultyConfig) Validate() error {
	if c.Panic {
		panic("bad validate")
	}
	return nil
}

func fakeInfo() Info {
	return Info{Name: "fake", Version: "0.1.0", Actions: []ActionInfo{{Name: "clean"}}}
}

// connect serves the implementation over gRPC within the process.
func connect(t testing.TB, info Info, implementation any) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(serverOptions()...)
	if err := Register(server, info, implementation); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	conn, err := grpc.NewClient("passthrough:///plugin",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		serving.Wait()
	})
	return conn
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestAPanicInAnyMethodIsAnErrorAndThePluginLives(t *testing.T) {
	healthy := true
	bad := func() {
		if healthy {
			return
		}
		panic(fmt.Errorf("bad thing %d", 7))
	}
	f := &fake{
		Config:  NewConfig(faultyConfig{}),
		check:   func(context.Context, Request) (Result, error) { bad(); return Result{Status: Healthy}, nil },
		watch:   func(context.Context, Request, func(Result) error) error { bad(); return nil },
		decide:  func(context.Context, Situation) (Proposal, error) { bad(); return Proposal{}, nil },
		execute: func(context.Context, Execution) (string, error) { bad(); return "", nil },
	}
	conn := connect(t, fakeInfo(), f)
	ctx := within(t, 10*time.Second)
	calls := map[string]func() error{
		"Check":  func() error { _, err := pluginv1.NewCheckerServiceClient(conn).Check(ctx, nil); return err },
		"Decide": func() error { _, err := pluginv1.NewRecoveryServiceClient(conn).Decide(ctx, nil); return err },
		"Execute": func() error {
			_, err := pluginv1.NewRecoveryServiceClient(conn).Execute(ctx, &pluginv1.ExecuteRequest{Action: "clean", IdempotencyKey: fmt.Sprint(healthy)})
			return err
		},
		"Watch": func() error {
			stream, err := pluginv1.NewCheckerServiceClient(conn).Watch(ctx, &pluginv1.WatchRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if healthy && err.Error() == "EOF" {
				return nil
			}
			return err
		},
	}
	for what, call := range calls {
		healthy = false
		err := call()
		if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "bad thing 7") || !strings.Contains(err.Error(), what) {
			t.Errorf("%s that panics gives %v, want Internal with its name and the panic's value", what, err)
		}
		healthy = true
		if err := call(); err != nil {
			t.Errorf("%s after its panic gives %v, want an answer", what, err)
		}
	}
	broken, _ := structpb.NewStruct(map[string]any{"panic": true, "n": 5})
	plugin := pluginv1.NewPluginServiceClient(conn)
	if _, err := plugin.Configure(ctx, &pluginv1.ConfigureRequest{Config: broken}); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "bad validate") {
		t.Errorf("Configure that panics gives %v", err)
	}
	if _, err := plugin.Validate(ctx, &pluginv1.ValidateRequest{Config: broken}); status.Code(err) != codes.Internal {
		t.Errorf("Validate that panics gives %v", err)
	}
	if got := f.Current().N; got != 0 {
		t.Errorf("a configuration that panicked is in force: n is %d", got)
	}
	good, _ := structpb.NewStruct(map[string]any{"n": 5})
	if _, err := plugin.Configure(ctx, &pluginv1.ConfigureRequest{Config: good}); err != nil || f.Current().N != 5 {
		t.Errorf("Configure after a panic: %v, n is %d, want 5", err, f.Current().N)
	}
}

func TestAMethodThatEndsItsGoroutineIsAnError(t *testing.T) {
	got := make(chan answer[int], 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		protected("Check", func() (int, error) { runtime.Goexit(); return 1, nil }, got)
	}()
	<-done
	if a := <-got; status.Code(a.err) != codes.Internal || !strings.Contains(a.err.Error(), "without an answer") {
		t.Errorf("the answer is %v, want Internal", a.err)
	}
}

func TestACheckThatIgnoresItsDeadlineIsAnsweredForInTime(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	f := &fake{Config: NewConfig(faultyConfig{}), check: func(context.Context, Request) (Result, error) { <-release; return Result{}, nil }}
	p, err := newPlugin(fakeInfo(), f)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 50*time.Millisecond)
	began := time.Now()
	// Called directly: a gRPC client would give up by itself and prove nothing.
	_, err = checkerService{plugin: p}.Check(ctx, nil)
	if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took > 2*time.Second {
		t.Errorf("after %v: %v, want DeadlineExceeded at 50 ms", took, err)
	}
}

func TestCallsThatNeverEndAreBounded(t *testing.T) {
	release := make(chan struct{})
	var ended sync.WaitGroup
	ended.Add(maxCalls)
	f := &fake{Config: NewConfig(faultyConfig{}), check: func(context.Context, Request) (Result, error) {
		defer ended.Done()
		<-release
		return Result{Status: Healthy}, nil
	}}
	p, err := newPlugin(fakeInfo(), f)
	if err != nil {
		t.Fatal(err)
	}
	service := checkerService{plugin: p}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range maxCalls {
		if _, err := service.Check(gone, nil); status.Code(err) != codes.Canceled {
			t.Fatalf("call %d: %v, want Canceled", n, err)
		}
	}
	if _, err := service.Check(t.Context(), nil); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one more call: %v, want ResourceExhausted", err)
	}
	close(release)
	ended.Wait()
	f.check = func(context.Context, Request) (Result, error) { return Result{Status: Healthy}, nil }
	p.calls.drain(within(t, 10*time.Second)) // all have left
	if len(p.calls) != maxCalls {
		t.Errorf("%d places taken after draining, want all %d", len(p.calls), maxCalls)
	}
}

func TestErrorsKeepTheirMeaningOnTheWire(t *testing.T) {
	for _, c := range []struct {
		err  error
		code codes.Code
		text string
		why  string
	}{
		{errors.New("no access"), codes.Unknown, "no access", "a plain error is unknown"},
		{status.Error(codes.NotFound, "gone"), codes.NotFound, "gone", "a status stays"},
		{fmt.Errorf("read: %w", status.Error(codes.NotFound, "gone")), codes.NotFound, "read: ", "also when wrapped"},
		{fmt.Errorf("dial: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "dial: ", "a deadline is a deadline"},
		{fmt.Errorf("dial: %w", context.Canceled), codes.Canceled, "dial: ", "as is the end of a context"},
		{errors.New("a\xffb"), codes.Unknown, "a\uFFFDb", "UTF-8 is repaired"},
		{errors.New(strings.Repeat("x", 1<<20)), codes.Unknown, "xxx…", "a long text is cut"},
	} {
		got := statusError(c.err)
		if status.Code(got) != c.code || !strings.Contains(got.Error(), c.text) || len(got.Error()) > maxErrorText+200 {
			t.Errorf("%.40v becomes %v %.80q, want %v with %q: %s", c.err, status.Code(got), got, c.code, c.text, c.why)
		}
	}
}

func TestDescribeNamesTheAbilitiesThatAreThere(t *testing.T) {
	ctx := within(t, 10*time.Second)
	all, err := pluginv1.NewPluginServiceClient(connect(t, fakeInfo(), &fake{Config: NewConfig(faultyConfig{})})).Describe(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Kinds) != 2 || len(all.Capabilities) != 1 || all.Capabilities[0] != "watch" || all.ConfigSchema == "" || len(all.Actions) != 1 {
		t.Errorf("a plugin that can do everything describes itself as %v", all)
	}
	one, err := pluginv1.NewPluginServiceClient(connect(t, Info{Name: "plain", Version: "1.0.0"}, plainChecker{})).Describe(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(one.Kinds) != 1 || one.Kinds[0] != pluginv1.Kind_KIND_CHECKER || one.Capabilities != nil || one.ConfigSchema != "" || one.Actions != nil {
		t.Errorf("a plain checker describes itself as %v", one)
	}
}

type plainChecker struct{}

func (plainChecker) Check(context.Context, Request) (Result, error) {
	return Result{Status: Healthy}, nil
}

func TestAPlainCheckerDoesNotWatchAndHasNoActions(t *testing.T) {
	conn := connect(t, Info{Name: "plain", Version: "1.0.0"}, plainChecker{})
	ctx := within(t, 10*time.Second)
	stream, err := pluginv1.NewCheckerServiceClient(conn).Watch(ctx, &pluginv1.WatchRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("Watch gives %v, want Unimplemented", err)
	}
	if _, err := pluginv1.NewRecoveryServiceClient(conn).Decide(ctx, nil); status.Code(err) != codes.Unimplemented {
		t.Errorf("Decide gives %v, want Unimplemented", err)
	}
}

func TestAMessageOverFourMebibytesIsRefused(t *testing.T) {
	f := &fake{Config: NewConfig(faultyConfig{}), check: func(_ context.Context, r Request) (Result, error) {
		return Result{Status: Healthy, Message: strings.Repeat("x", r.Target.Port)}, nil
	}}
	client := pluginv1.NewCheckerServiceClient(connect(t, fakeInfo(), f))
	for size, want := range map[int32]codes.Code{maxMessage - 1000: codes.OK, maxMessage + 1: codes.ResourceExhausted} {
		_, err := client.Check(within(t, 10*time.Second), &pluginv1.CheckRequest{Target: &pluginv1.Target{Port: size}},
			grpc.MaxCallRecvMsgSize(100<<20)) // the caller would take it
		if status.Code(err) != want {
			t.Errorf("an answer of %d bytes: %v, want %v", size, err, want)
		}
	}
}

func TestAWatchDeliversResultsUntilTheCallEnds(t *testing.T) {
	stopped := make(chan error, 1)
	f := &fake{Config: NewConfig(faultyConfig{}), watch: func(ctx context.Context, r Request, send func(Result) error) error {
		for n := 0; ; n++ {
			if err := send(Result{Status: Warning, Message: fmt.Sprint(r.CheckID, n)}); err != nil {
				stopped <- err
				return err
			}
		}
	}}
	ctx, cancel := context.WithCancel(within(t, 10*time.Second))
	stream, err := pluginv1.NewCheckerServiceClient(connect(t, fakeInfo(), f)).Watch(ctx, &pluginv1.WatchRequest{Check: &pluginv1.CheckRequest{CheckId: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		got, err := stream.Recv()
		if err != nil || got.Check.Message != fmt.Sprint("c", n) || got.Check.Status != pluginv1.Status_STATUS_WARNING {
			t.Fatalf("message %d: %v, %v", n, got, err)
		}
	}
	cancel()
	if err := <-stopped; err == nil {
		t.Error("send went on after the call had ended")
	}
}

func TestOneIdempotencyKeyIsExecutedOnce(t *testing.T) {
	var runs atomic.Int32
	begun, release := make(chan struct{}, 8), make(chan struct{})
	f := &fake{Config: NewConfig(faultyConfig{}), execute: func(_ context.Context, e Execution) (string, error) {
		n := runs.Add(1)
		begun <- struct{}{}
		<-release
		if e.IdempotencyKey == "bad" {
			return "", errors.New("cannot clean")
		}
		return fmt.Sprint("run ", n), nil
	}}
	client := pluginv1.NewRecoveryServiceClient(connect(t, fakeInfo(), f))
	ctx := within(t, 10*time.Second)
	execute := func(key string) (string, error) {
		r, err := client.Execute(ctx, &pluginv1.ExecuteRequest{Action: "clean", IdempotencyKey: key})
		return r.GetMessage(), err
	}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			if got, err := execute("a"); got != "run 1" || err != nil {
				t.Errorf("a concurrent call with the same key: %q, %v, want the first one's answer", got, err)
			}
		})
	}
	<-begun
	close(release)
	callers.Wait()
	if got, _ := execute("a"); got != "run 1" || runs.Load() != 1 {
		t.Errorf("a later call with the same key: %q after %d runs, want the first one's answer", got, runs.Load())
	}
	if got, _ := execute("b"); got != "run 2" {
		t.Errorf("another key: %q, want a run of its own", got)
	}
	for range 2 {
		if _, err := execute("bad"); err == nil || !strings.Contains(err.Error(), "cannot clean") {
			t.Errorf("a failed execution: %v, want its error each time", err)
		}
	}
	if _, err := execute(""); err != nil || runs.Load() != 4 {
		t.Errorf("without a key: %v after %d runs, want a run", err, runs.Load())
	}
	if _, err := client.Execute(ctx, &pluginv1.ExecuteRequest{Action: "format_disk"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an action nobody declared: %v, want InvalidArgument", err)
	}
	past := &pluginv1.ExecuteRequest{Action: "clean", IdempotencyKey: "late", Deadline: timestamppb.New(time.Now().Add(-time.Second))}
	if _, err := client.Execute(ctx, past); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a deadline in the past: %v, want DeadlineExceeded", err)
	}
}

func TestTheMemoryOfExecutionsIsBounded(t *testing.T) {
	var e executions
	runs := 0
	perform := func() (string, error) { runs++; return "", nil }
	for n := range maxExecutions + 10 {
		_, _ = e.do(t.Context(), fmt.Sprint(n), perform)
	}
	if len(e.byKey) != maxExecutions || len(e.order) != maxExecutions {
		t.Errorf("%d keys and %d in order are remembered, want %d", len(e.byKey), len(e.order), maxExecutions)
	}
	before := runs
	_, _ = e.do(t.Context(), fmt.Sprint(maxExecutions+9), perform)
	if runs != before {
		t.Error("the newest key was forgotten")
	}
	_, _ = e.do(t.Context(), "0", perform)
	if runs != before+1 {
		t.Error("the oldest key is still remembered")
	}
}

func TestShutdownRunsOnceAndIsBounded(t *testing.T) {
	runs := 0
	f := &fake{Config: NewConfig(faultyConfig{}), shutdown: func(ctx context.Context) error {
		runs++
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > shutdownTime {
			t.Errorf("shutdown has until %v, want at most %v", d, shutdownTime)
		}
		return errors.New("file is open")
	}}
	client := pluginv1.NewPluginServiceClient(connect(t, fakeInfo(), f))
	for range 2 {
		if _, err := client.Shutdown(within(t, 10*time.Second), nil); err == nil || !strings.Contains(err.Error(), "file is open") {
			t.Errorf("shutdown: %v, want the author's error", err)
		}
	}
	if runs != 1 {
		t.Errorf("shutdown ran %d times, want once", runs)
	}
}

func TestAMistakeInTheProgramIsNamed(t *testing.T) {
	for _, c := range []struct {
		info Info
		impl any
		want string
		why  string
	}{
		{fakeInfo(), struct{}{}, "neither a sdk.Checker nor a sdk.Strategy", "it can do nothing"},
		{fakeInfo(), nil, "implementation is nil", "there is none"},
		{Info{Name: "a", Version: "1.0.0"}, pointerChecker{}, "pass &pointerChecker{…}", "the methods are the pointer's"},
		{Info{Name: "a", Version: "1.0.0"}, oldChecker{}, "want a func(context.Context, sdk.Request) (sdk.Result, error)", "the signature is another"},
		{Info{Name: "Disk", Version: "1.0.0"}, plainChecker{}, `Info.Name is "Disk"`, "capitals in the name"},
		{Info{Name: "a", Version: "one"}, plainChecker{}, `Info.Version is "one"`, "a version that is none"},
		{Info{Name: "a", Version: "1.0.0", CheckName: "a-b"}, plainChecker{}, `Info.CheckName is "a-b"`, "a check is a word with underscores"},
		{Info{Name: "a", Version: "1.0.0", Metrics: []MetricInfo{{Name: "x"}, {Name: "x"}}}, plainChecker{}, `"x" is there twice`, "a metric described twice"},
		{Info{Name: "a", Version: "1.0.0", Metrics: []MetricInfo{{Name: "CPU"}}}, plainChecker{}, `Info.Metrics[0].Name is "CPU"`, "a metric in capitals"},
		{Info{Name: "a", Version: "1.0.0", Interval: -1, Timeout: -1}, plainChecker{}, "Info.Timeout is -1ns", "time does not run backwards"},
		{fakeInfo(), plainChecker{}, "has no Execute", "actions without an Executor"},
		{Info{Name: "a", Version: "1.0.0"}, &fake{Config: NewConfig(faultyConfig{})}, "Info.Actions is empty", "an Executor without actions"},
		{Info{Name: "a", Version: "1.0.0", Actions: []ActionInfo{{Name: "none"}, {Name: "Bad"}}}, &fake{Config: NewConfig(faultyConfig{})}, "an action of the host", "a name that is taken"},
		{fakeInfo(), &fake{}, "set it with sdk.NewConfig", "the embedded configuration is nil"},
	} {
		if _, err := newPlugin(c.info, c.impl); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v with %T: %v, want %q: %s", c.info, c.impl, err, c.want, c.why)
		}
	}
	_, err := newPlugin(Info{}, struct{}{})
	for _, want := range []string{"Info.Name", "Info.Version", "neither"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v lacks %q: all mistakes are named at once", err, want)
		}
	}
}

type pointerChecker struct{}

func (*pointerChecker) Check(context.Context, Request) (Result, error) { return Result{}, nil }

type oldChecker struct{}

func (oldChecker) Check(context.Context) (Result, error) { return Result{}, nil }

func TestNoGoroutineIsLeftWhenAServerEnds(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Run("serve", func(t *testing.T) {
		conn := connect(t, Info{Name: "plain", Version: "1.0.0"}, plainChecker{})
		if _, err := pluginv1.NewCheckerServiceClient(conn).Check(within(t, 10*time.Second), nil); err != nil {
			t.Fatal(err)
		}
	})
	goleak.VerifyNone(t, ignore)
}
