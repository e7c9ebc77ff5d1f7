//go:build linux

package pluginhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// beHost runs a host in a process of its own until its standard input ends. It
// prints its one plugin's state and pid at first and after each line that it reads.
func beHost(dirs string) {
	dir, runtime, _ := strings.Cut(dirs, ",")
	o := quick(dir, runtime)
	o.Log = hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Debug})
	o.HealthInterval, o.HealthMisses = 20*time.Millisecond, 1
	host, err := New(o)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- host.Run(ctx) }()
	<-host.Started()
	in := bufio.NewReader(os.Stdin)
	for {
		s := host.Plugins()[0]
		fmt.Println(s.State, s.PID)
		if _, err := in.ReadString('\n'); err != nil {
			break
		}
	}
	cancel()
	<-ended
}

// TestPauseOfTheWholeMachineIsNotThePluginsFault stops plugin and host amid a
// health call for longer than its deadline, as a suspended machine does.
func TestPauseOfTheWholeMachineIsNotThePluginsFault(t *testing.T) {
	t.Parallel()
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	cmd := exec.Command(testBinary(t), "be-host="+dir+","+shortDir(t))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	report := func() (state string, pid int) {
		t.Helper()
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("host ended: %v", err)
		}
		if _, err := fmt.Sscan(line, &state, &pid); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return state, pid
	}
	state, plugin := report()
	if state != string(Running) {
		t.Fatalf("the plugin is %s", state)
	}
	kill(t, plugin, syscall.SIGSTOP)
	<-time.After(200 * time.Millisecond) // a health call is on its way by now
	kill(t, cmd.Process.Pid, syscall.SIGSTOP)
	<-time.After(2500 * time.Millisecond) // the pause itself: its deadline of 2 s passes
	kill(t, cmd.Process.Pid, syscall.SIGCONT)
	<-time.After(300 * time.Millisecond) // host sees its deadline passed before the plugin can answer late
	kill(t, plugin, syscall.SIGCONT)
	for range 20 {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		if state, pid := report(); state != string(Running) || pid != plugin {
			t.Fatalf("after the pause the plugin is %s with pid %d, was running with %d", state, pid, plugin)
		}
		<-time.After(50 * time.Millisecond) // a second, to see that it stays so
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("host: %v", err)
	}
	if log := stderr.String(); !strings.Contains(log, "own pause noticed") {
		t.Errorf("the pause hit no health call, so nothing was shown:\n%s", log)
	}
}

func TestMissAfterALateWakeDoesNotCount(t *testing.T) {
	o := DefaultOptions()
	o.HealthTimeout = 50 * time.Millisecond
	i := &Instance{opts: &o, log: hclog.NewNullLogger()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())) // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := &session{conn: conn}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	defer s.end(nil)
	var count healthCount
	if err := i.ping(context.Background(), s, time.Now().Add(-time.Second), &count); err != nil || count.missed != 0 {
		t.Errorf("woken a second late: %v, %d missed; want none: we slept ourselves", err, count.missed)
	}
	if err := i.ping(context.Background(), s, time.Now(), &count); !errors.Is(err, ErrTimeout) || count.missed != 1 {
		t.Errorf("woken in time: %v, %d missed; want ErrTimeout, 1", err, count.missed)
	}
}

func TestTimeoutThatWeNoticeLateDoesNotCount(t *testing.T) {
	o := DefaultOptions()
	o.Lateness, o.CheckTimeouts = 50*time.Millisecond, 2
	s := &session{run: &processRunner{}, condemned: make(chan verdict, 1)}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	defer s.end(nil)
	i := &Instance{opts: &o, log: hclog.NewNullLogger(), session: s}
	timeOut := func(late time.Duration) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		err := i.call(ctx, "check", true, func(ctx context.Context, _ *session) error {
			<-ctx.Done()
			<-time.After(late) // asleep
			return status.FromContextError(ctx.Err()).Err()
		})
		if !errors.Is(err, ErrTimeout) {
			t.Errorf("%v, want ErrTimeout", err)
		}
	}
	for range 3 {
		timeOut(100 * time.Millisecond)
	}
	if len(s.condemned) != 0 {
		t.Error("replaced for timeouts that we slept through")
	}
	for range 2 {
		timeOut(0)
	}
	if len(s.condemned) != 1 {
		t.Error("not replaced for two timeouts in a row")
	}
}
