//go:build unix

package hub

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/proto/handshake"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// runAsHub makes the test binary a hub process, as host runs itself.
const runAsHub = "UPKEEP_TEST_RUN_AS_HUB"

func TestMain(m *testing.M) {
	if os.Getenv(runAsHub) != "" {
		os.Exit(Main(os.Stderr))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// hubProcess is a hub in a process of its own, with the supervisor's end of its
// control channel.
type hubProcess struct {
	t       *testing.T
	command *exec.Cmd
	control net.Conn
	client  hubv1.HubServiceClient
	conn    *grpc.ClientConn
	addrs   []string
	stderr  *bytes.Buffer
	exited  chan struct{} // closed once the process is reaped
}

func startProcess(t *testing.T, listeners ...*net.TCPListener) *hubProcess {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(pair[0])
	ours, theirs := os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "hub control")
	defer theirs.Close()
	control, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	p := &hubProcess{t: t, control: control, stderr: &bytes.Buffer{}, exited: make(chan struct{})}
	p.command = exec.Command(os.Args[0])
	// The race detector would hold up the exit for a second.
	p.command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", runAsHub+"=1", fmt.Sprint(handshake.HubListenersEnv, "=", len(listeners)))
	p.command.Stderr = p.stderr
	p.command.ExtraFiles = []*os.File{theirs}
	for _, l := range listeners {
		file := dupListener(t, l)
		defer file.Close()
		p.command.ExtraFiles = append(p.command.ExtraFiles, file)
		p.addrs = append(p.addrs, l.Addr().String())
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.command.Wait(); close(p.exited) }()
	t.Cleanup(func() { _ = p.command.Process.Kill(); <-p.exited })

	given := false
	p.conn, err = grpc.NewClient("passthrough:hub", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if given {
				return nil, net.ErrClosed
			}
			given = true
			return control, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	p.client = hubv1.NewHubServiceClient(p.conn)
	return p
}

// dupListener copies a listener's descriptor without touching O_NONBLOCK.
func dupListener(t *testing.T, l *net.TCPListener) *os.File {
	t.Helper()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var file *os.File
	err = raw.Control(func(fd uintptr) {
		if dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			file = os.NewFile(uintptr(dup), "listener")
		}
	})
	if err != nil || file == nil {
		t.Fatalf("dup: %v", err)
	}
	return file
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func (p *hubProcess) load() {
	p.t.Helper()
	_, err := p.client.Load(p.t.Context(), &hubv1.LoadRequest{Settings: &hubv1.Settings{
		ServerId: "two-process", ServerVersion: "2.0.0", Generation: 7, HostPid: int64(os.Getpid()),
		HostStartedAt: timestamppb.Now(), Host: "localhost", Port: 8765,
	}})
	if err != nil {
		p.t.Fatalf("Load: %v", err)
	}
}

func (p *hubProcess) waitExit() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.command.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the process did not exit")
		return -1
	}
}

func TestAHubProcessLivesFromLoadToStop(t *testing.T) {
	first, second := listen(t), listen(t)
	p := startProcess(t, first, second)
	want := func(code codes.Code, err error, why string) {
		t.Helper()
		if status.Code(err) != code {
			t.Errorf("%v, want %v: %s", err, code, why)
		}
	}
	_, err := p.client.Heartbeat(t.Context(), &hubv1.HeartbeatRequest{})
	want(codes.FailedPrecondition, err, "nothing is loaded")
	_, err = p.client.Accept(t.Context(), &hubv1.AcceptRequest{})
	want(codes.FailedPrecondition, err, "nothing is loaded")
	_, err = p.client.Load(t.Context(), &hubv1.LoadRequest{Settings: &hubv1.Settings{ServerId: "x"}})
	want(codes.InvalidArgument, err, "a version is missing")
	p.load()
	_, err = p.client.Load(t.Context(), &hubv1.LoadRequest{})
	want(codes.FailedPrecondition, err, "loaded already")

	// Before Accept a client waits; it is not refused.
	early, err := net.Dial("tcp", p.addrs[0])
	if err != nil {
		t.Fatalf("before Accept: %v", err)
	}
	defer early.Close()
	fmt.Fprint(early, "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
	beat, err := p.client.Heartbeat(t.Context(), &hubv1.HeartbeatRequest{Sequence: 41})
	if err != nil || beat.GetSequence() != 41 || beat.GetStatistics().GetClientDescriptors() != 0 {
		t.Errorf("heartbeat before Accept: %v, %v", beat, err)
	}

	last := timestamppb.New(time.Now().Add(-time.Hour))
	base := &hubv1.Statistics{ClientsServed: 100, EventsProcessed: 200, EventsFailed: 3, Errors: 4, LastActivity: last}
	if _, err := p.client.Accept(t.Context(), &hubv1.AcceptRequest{Base: base}); err != nil {
		t.Fatalf("Accept: %v", err)
	}
	_, err = p.client.Accept(t.Context(), &hubv1.AcceptRequest{})
	want(codes.FailedPrecondition, err, "accepts already")
	answer, err := http.ReadResponse(bufio.NewReader(early), nil)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("the client that waited: %v, %v", answer, err)
	}
	answer.Body.Close()

	one, two := (&running{addr: p.addrs[0]}).connect(t, ""), (&running{addr: p.addrs[1]}).connect(t, "")
	one.send(`42["claude_event",{"type":"x"}]`)
	if got := two.next("claude_event").object(t)["server_id"]; got != "two-process" {
		t.Errorf("relayed by %v", got)
	}
	one.roundTrip()
	beat, err = p.client.Heartbeat(t.Context(), &hubv1.HeartbeatRequest{Sequence: 42})
	got := beat.GetStatistics()
	if err != nil || got.GetGeneration() != 7 || got.GetConnectedClients() != 2 || got.GetClientsServed() != 102 ||
		got.GetEventsProcessed() != 202 || got.GetEventsFailed() != 3 || got.GetErrors() != 4 || len(got.GetClientVersions()) != 2 {
		t.Errorf("heartbeat: %v, %v", got, err)
	}
	if !got.GetLastActivity().AsTime().After(last.AsTime()) {
		t.Errorf("last activity is %v, want later than the base", got.GetLastActivity().AsTime())
	}

	cleared, err := p.client.ClearConnections(t.Context(), &hubv1.ClearConnectionsRequest{Reason: "test", Spread: durationpb.New(10 * time.Millisecond)})
	if err != nil || cleared.GetClosed() != 2 || one.closeCode() != 1001 || two.closeCode() != 1001 {
		t.Errorf("cleared %v, %v", cleared, err)
	}

	again := (&running{addr: p.addrs[0]}).connect(t, "")
	began := time.Now()
	stopped, err := p.client.Stop(t.Context(), &hubv1.StopRequest{Reason: "test"})
	if err != nil || stopped.GetStatistics().GetClientsServed() != 103 || stopped.GetStatistics().GetConnectedClients() != 0 {
		t.Errorf("Stop: %v, %v", stopped, err)
	}
	if code := again.closeCode(); code != 1001 {
		t.Errorf("the client was closed with %d, want 1001", code)
	}
	if code := p.waitExit(); code != ExitStopped {
		t.Errorf("exit code %d, want %d: %s", code, ExitStopped, p.stderr)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("stopping took %v, want less than a second", took)
	}
	// The socket is still ours: a client waits for the next hub.
	late, err := net.Dial("tcp", p.addrs[0])
	if err != nil {
		t.Errorf("after Stop: %v, want to wait in the backlog", err)
	} else {
		late.Close()
	}
	for line := range strings.Lines(p.stderr.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || object["@message"] == nil {
			t.Errorf("the log has a line that is not JSON: %q", line)
		}
	}
}

func TestAHubProcessEndsWithItsHost(t *testing.T) {
	for _, when := range []string{"before Load", "accepting"} {
		p := startProcess(t, listen(t))
		if when == "accepting" {
			p.load()
			if _, err := p.client.Accept(t.Context(), &hubv1.AcceptRequest{}); err != nil {
				t.Fatal(err)
			}
			(&running{addr: p.addrs[0]}).connect(t, "")
		} else {
			p.conn.Connect()
			if _, err := p.client.Heartbeat(t.Context(), &hubv1.HeartbeatRequest{}); status.Code(err) != codes.FailedPrecondition {
				t.Fatal(err)
			}
		}
		began := time.Now()
		p.control.Close()
		if code := p.waitExit(); code != ExitHostGone {
			t.Errorf("%s: exit code %d, want %d: %s", when, code, ExitHostGone, p.stderr)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: the process outlived its host for %v", when, took)
		}
	}
}

func TestSignalsToTheGroupDoNotEndAHubProcess(t *testing.T) {
	p := startProcess(t, listen(t))
	p.load()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if err := p.command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.client.Heartbeat(t.Context(), &hubv1.HeartbeatRequest{}); err != nil {
		t.Errorf("after signals: %v", err)
	}
	if _, err := p.client.Stop(t.Context(), &hubv1.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	if code := p.waitExit(); code != ExitStopped {
		t.Errorf("exit code %d, want %d", code, ExitStopped)
	}
}

func TestAHubProcessStartedByHandSaysWhatToDo(t *testing.T) {
	for _, listeners := range []string{"", "x", "0", "65", "1"} {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), runAsHub+"=1")
		if listeners != "" {
			command.Env = append(command.Env, handshake.HubListenersEnv+"="+listeners)
		}
		output, err := command.CombinedOutput()
		exit, ok := err.(*exec.ExitError)
		if !ok || exit.ExitCode() != ExitUsage {
			t.Errorf("listeners %q: %v, want exit code %d", listeners, err, ExitUsage)
		}
		if text := string(output); !strings.HasPrefix(text, "host: error: ") || !strings.Contains(text, "host: hint: ") {
			t.Errorf("listeners %q: says %q, want an error and a hint", listeners, text)
		}
	}
}

func TestTheHubGoesOnWhenNobodyReadsItsLog(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	pipe := newLogPipe(writer)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	const lines = 5000 // more than pipe and queue hold
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range lines {
			_, _ = pipe.Write(line)
		}
	}()
	select {
	case <-written:
	case <-time.After(patience):
		t.Fatal("logging blocks")
	}
	closed := make(chan int, 1)
	go func() { // now somebody reads
		n := 0
		scan := bufio.NewScanner(reader)
		for scan.Scan() {
			if strings.Contains(scan.Text(), "log lines were dropped") {
				n++
			}
		}
		closed <- n
	}()
	eventually(t, "the queue is empty", func() bool { return len(pipe.lines) == 0 })
	pipe.close()
	writer.Close()
	if n := <-closed; n == 0 {
		t.Error("nothing says that lines were dropped")
	}
}

func TestAHubLogsWhatTheHeartbeatTellsItTo(t *testing.T) {
	p := startProcess(t, listen(t))
	p.load()
	if _, err := p.client.Accept(t.Context(), &hubv1.AcceptRequest{}); err != nil {
		t.Fatal(err)
	}
	for _, tell := range []struct{ level, path string }{{"", "/status"}, {"debug", "/readyz"}, {"", "/livez"}, {"nonsense", "/health"}, {"error", "/metrics"}} {
		if _, err := p.client.Heartbeat(t.Context(), &hubv1.HeartbeatRequest{LogLevel: tell.level}); err != nil {
			t.Fatal(err)
		}
		answer, err := http.Get("http://" + p.addrs[0] + tell.path) // nobody answers as host, which is worth a line at debug
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	if _, err := p.client.Stop(t.Context(), &hubv1.StopRequest{Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	p.waitExit()
	log := p.stderr.String()
	for path, want := range map[string]bool{"/status": false, "/readyz": true, "/livez": true, "/health": true, "/metrics": false} {
		if got := strings.Contains(log, `"path":"`+path+`"`); got != want {
			t.Errorf("a line about %s: %v, want %v in\n%s", path, got, want, log)
		}
	}
}
