//go:build unix

package sdk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/upkeephub/upkeep/proto/handshake"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// modeEnv makes the test binary be a plugin, or the parent of one, instead.
const modeEnv = "UPKEEP_SDK_TEST_MODE"

func TestMain(m *testing.M) {
	info := Info{Name: "trial", Version: "0.1.0"}
	switch os.Getenv(modeEnv) {
	case "":
		os.Exit(m.Run())
	case "plugin":
		Serve(info, trial{})
	case "neither":
		Serve(info, struct{}{})
	case "parent":
		os.Exit(parent())
	}
	panic("unknown mode")
}

// trial does what the id of the check says.
type trial struct{}

func (trial) Check(ctx context.Context, r Request) (Result, error) {
	switch r.CheckID {
	case "panic":
		panic("out of luck")
	case "ignore the deadline":
		select {}
	case "print":
		fmt.Println(strings.Repeat("x", 100), "\n1|1|tcp|nonsense")
		fmt.Fprintln(os.Stderr, "raw")
	case "last words":
		fmt.Println("almost the end")
		fmt.Fprintln(os.Stderr, "the end")
		os.Exit(7)
	case "say and wait":
		Logger().Info("waiting")
		<-ctx.Done()
		return Result{}, errors.New("not reached in time")
	case "slow":
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		Logger().Info("slow check begins")
		<-terminated // and only then answers
	}
	return Result{Status: Healthy, Message: "fine"}, nil
}

func (trial) Shutdown(context.Context) error {
	Logger().Info("released", "what", "everything")
	return nil
}

// command runs the test binary in a mode, with the cookie if asked for.
func command(t testing.TB, mode string, cookie bool) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: its path is too long for a socket.
	sockets, err := os.MkdirTemp("", "sdk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), modeEnv+"="+mode, goplugin.EnvUnixSocketDir+"="+sockets)
	if cookie {
		cmd.Env = append(cmd.Env, handshake.CookieKey+"="+handshake.CookieValue)
	}
	return cmd
}

// launch starts the trial plugin through a stock go-plugin client. Its stderr
// goes to log.
func launch(t testing.TB, log io.Writer) (*goplugin.Client, *grpc.ClientConn) {
	t.Helper()
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: handshake.ProtocolVersion, MagicCookieKey: handshake.CookieKey, MagicCookieValue: handshake.CookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{handshake.ProtocolVersion: {handshake.PluginKey: served{}}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Cmd:              command(t, "plugin", false), // the client adds the cookie
		StartTimeout:     10 * time.Second,
		Stderr:           log,
		Logger:           hclog.NewNullLogger(),
	})
	t.Cleanup(client.Kill)
	rpc, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := rpc.Dispense(handshake.PluginKey)
	if err != nil {
		t.Fatal(err)
	}
	return client, raw.(*grpc.ClientConn)
}

func TestAStockHostDescribesChecksAndEndsAPlugin(t *testing.T) {
	log := &lines{}
	client, conn := launch(t, log)
	ctx := within(t, 30*time.Second)
	d, err := pluginv1.NewPluginServiceClient(conn).Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil || d.Name != "trial" || d.Version != "0.1.0" {
		t.Fatalf("Describe: %v, %v", d, err)
	}
	health, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: handshake.HealthService})
	if err != nil || health.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health of %q: %v, %v, want SERVING", handshake.HealthService, health, err)
	}
	check := func(ctx context.Context, id string) (*pluginv1.CheckResponse, error) {
		return pluginv1.NewCheckerServiceClient(conn).Check(ctx, &pluginv1.CheckRequest{CheckId: id})
	}
	if _, err := check(ctx, "panic"); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("a check that panics: %v, want Internal that names the panic", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := check(short, "ignore the deadline"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a check that hangs: %v, want DeadlineExceeded", err)
	}
	for _, id := range []string{"print", "plain"} {
		if r, err := check(ctx, id); err != nil || r.Status != pluginv1.Status_STATUS_HEALTHY || r.ObservedAt == nil {
			t.Errorf("check %q after all that: %v, %v, want a healthy answer", id, r, err)
		}
	}
	client.Kill()
	if !client.Exited() {
		t.Error("the process lives on after the host has ended it")
	}
	text := log.String()
	for _, want := range []string{`"@message":"panic in plugin"`, "out of luck", "serve_test.go", `"@message":"released"`, `"what":"everything"`} {
		if !strings.Contains(text, want) {
			t.Errorf("standard error lacks %q:\n%s", want, text)
		}
	}
}

// started is a plugin process that the test itself plays host to.
type started struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr lines
}

func start(t testing.TB) *started {
	t.Helper()
	s := &started{Cmd: command(t, "plugin", true)}
	s.Stderr = &s.stderr
	var err error
	if s.stdin, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdout = bufio.NewReader(out)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	return s
}

// exit waits for the end of the process and returns its code.
func (s *started) exit(t testing.TB, limit time.Duration) int {
	t.Helper()
	late := time.AfterFunc(limit, func() { _ = s.Process.Kill() })
	defer late.Stop()
	_, _ = io.Copy(io.Discard, s.stdout)
	_ = s.Wait()
	return s.ProcessState.ExitCode()
}

// serves waits until the plugin on the socket answers.
func serves(t testing.TB, socket string) {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: handshake.HealthService}); err != nil {
		t.Fatalf("the plugin does not answer on %s: %v", socket, err)
	}
}

func TestWhatIsPrintedRightBeforeACrashReachesTheHost(t *testing.T) {
	log := &lines{}
	client, conn := launch(t, log)
	if _, err := pluginv1.NewCheckerServiceClient(conn).Check(within(t, 30*time.Second), &pluginv1.CheckRequest{CheckId: "last words"}); err == nil {
		t.Error("the plugin did not end")
	}
	client.Kill() // waits for what is left in the pipe
	for _, want := range []string{"almost the end", "the end"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in standard error: %q", want, log.String())
		}
	}
}

func TestAPluginEndsAtOnceWhenItsInputEnds(t *testing.T) {
	s := start(t)
	line, err := s.stdout.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "1|1|") || !strings.HasSuffix(strings.TrimRight(line, "\n"), "|grpc|") {
		t.Fatalf("first line %q, %v, want the handshake and nothing before it", line, err)
	}
	socket := strings.Split(line, "|")[3]
	serves(t, socket) // the line is out a moment before the server knows its listener
	began := time.Now()
	_ = s.stdin.Close()
	if code := s.exit(t, 10*time.Second); code != exitDone {
		t.Errorf("exit code %d, want %d; stderr:\n%s", code, exitDone, s.stderr.String())
	}
	t.Logf("gone %v after its input ended", time.Since(began))
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket is left behind: %v", err)
	}
	if text := s.stderr.String(); strings.Contains(text, "released") {
		t.Errorf("it took its time to shut down although nobody was there any more:\n%s", text)
	}
}

func TestAPluginStartedByHandSaysWhatItIs(t *testing.T) {
	cmd := command(t, "plugin", false)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != exitByHand {
		t.Errorf("exit code %d (%v), want %d", code, err, exitByHand)
	}
	for _, want := range []string{"trial 0.1.0", "plugin of Upkeep", "host --plugins DIR", "DIR/trial/trial"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, stderr.String())
		}
	}
	if out.Len() > 0 {
		t.Errorf("standard output has %q, want nothing", out.String())
	}
}

func TestAnImplementationThatCanDoNothingIsRefused(t *testing.T) {
	cmd := command(t, "neither", true)
	text, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != exitMisuse || !strings.Contains(string(text), "neither a sdk.Checker nor a sdk.Strategy") {
		t.Errorf("exit code %d with %q, want %d and what is missing", code, text, exitMisuse)
	}
}

func BenchmarkStartToHandshake(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		s := start(b)
		if _, err := s.stdout.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		_ = s.stdin.Close()
		s.exit(b, 10*time.Second)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
}

// parent starts the plugin with an input that never ends, and waits to be killed.
func parent() int {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, modeEnv) }),
		modeEnv+"=plugin", handshake.CookieKey+"="+handshake.CookieValue)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(3, "alive")}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = cmd.Wait()
	return 0
}

func TestAPluginEndsWhenItsParentDies(t *testing.T) {
	// Both processes hold the writing end of a pipe: it ends with the last of them.
	alive, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	cmd := command(t, "parent", false)
	cmd.ExtraFiles = []*os.File{held}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = held.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "1|") {
		t.Fatalf("no handshake: %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := alive.SetReadDeadline(began.Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(alive); err != nil {
		t.Errorf("the plugin outlived its parent: %v", err)
	}
	t.Logf("gone %v after its parent was killed", time.Since(began))
	_ = cmd.Wait()
}
