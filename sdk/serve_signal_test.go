//go:build unix

package sdk

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// lines is a buffer that a process writes to and a test waits on.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	wake chan struct{} // closed, and made anew, at each write
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await blocks until text was written.
func (l *lines) await(t testing.TB, text string) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		if strings.Contains(l.text.String(), text) {
			l.mu.Unlock()
			return
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()
		select {
		case <-wake:
		case <-limit:
			t.Fatalf("%q was not written, only:\n%s", text, l.String())
		}
	}
}

// dial connects to a started plugin by its handshake line.
func (s *started) dial(t testing.TB) *grpc.ClientConn {
	t.Helper()
	line, err := s.stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(line, "|")
	conn, err := grpc.NewClient(parts[2]+":"+parts[3], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestATerminatedPluginFinishesItsCallsAndReleasesWhatItHolds(t *testing.T) {
	s := start(t)
	client := pluginv1.NewCheckerServiceClient(s.dial(t))
	answered := make(chan error, 1)
	go func() {
		_, err := client.Check(context.Background(), &pluginv1.CheckRequest{CheckId: "slow"})
		answered <- err
	}()
	s.stderr.await(t, "slow check begins")
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the call that was under way: %v, want its answer", err)
	}
	if code := s.exit(t, 10*time.Second); code != exitDone {
		t.Errorf("exit code %d, want %d", code, exitDone)
	}
	if text := s.stderr.String(); !strings.Contains(text, "released") {
		t.Errorf("shutdown did not run:\n%s", text)
	}
}

func TestACallThatNeverEndsDoesNotKeepATerminatedPlugin(t *testing.T) {
	s := start(t)
	client := pluginv1.NewCheckerServiceClient(s.dial(t))
	answered := make(chan error, 1)
	go func() {
		_, err := client.Check(context.Background(), &pluginv1.CheckRequest{CheckId: "say and wait"})
		answered <- err
	}()
	s.stderr.await(t, "waiting")
	began := time.Now()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(t, 10*time.Second); code != exitDone {
		t.Errorf("exit code %d after %v, want %d within %v", code, time.Since(began), exitDone, drainTime+flushTime)
	}
	if err := <-answered; status.Code(err) != codes.Unavailable {
		t.Errorf("the call that was under way: %v, want Unavailable", err)
	}
}

func TestAnInterruptFromTheTerminalIsIgnored(t *testing.T) {
	s := start(t)
	client := pluginv1.NewCheckerServiceClient(s.dial(t))
	for range 3 {
		if err := s.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Check(within(t, 10*time.Second), &pluginv1.CheckRequest{}); err != nil {
		t.Errorf("a check after Ctrl-C: %v, want an answer", err)
	}
	_ = s.stdin.Close()
	if code := s.exit(t, 10*time.Second); code != exitDone {
		t.Errorf("exit code %d, want %d", code, exitDone)
	}
}
