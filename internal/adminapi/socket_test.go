package adminapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
)

// socketDir is a short path: sockets need one.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "adm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serveOwner serves f on the owner's socket in a new folder.
func serveOwner(t *testing.T, f *fakeHost) string {
	t.Helper()
	dir := socketDir(t)
	l, err := ListenUnix(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: Handler(f, Options{Owner: true}), ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return dir
}

func TestTheClientTellsWhatTheHandlerSays(t *testing.T) {
	f := newFakeHost()
	c, ctx := Dial(serveOwner(t, f)), t.Context()
	s, err := c.Status(ctx)
	if err != nil || s.Server.PID != 42 || s.Checks[0].Metrics[0].Value != 15.2 || !s.Timestamp.Equal(moment) {
		t.Errorf("status: %+v, %v", s, err)
	}
	f.unwell = true
	if p, err := c.Probe(ctx, Ready); err != nil || p.OK || p.Probe != Ready {
		t.Errorf("probe: %+v, %v, want no without an error", p, err)
	}
	if p, err := c.Plugins(ctx); err != nil || len(p.Plugins) != 1 || len(p.Skipped) != 1 {
		t.Errorf("plugins: %+v, %v", p, err)
	}
	if p, err := c.ReleasePlugin(ctx, "process"); err != nil || p.Name != "process" {
		t.Errorf("release: %+v, %v", p, err)
	}
	f.unwell = false
	if p, err := c.ReloadPlugin(ctx, "process"); err != nil || p.Outcome != "kept" || p.Error != "it was worse" {
		t.Errorf("reload of a plugin: %+v, %v", p, err)
	}
	if p, err := c.RescanPlugins(ctx); err != nil || len(p.Changes) != 1 {
		t.Errorf("rescan: %+v, %v", p, err)
	}
	if h, err := c.History(ctx, 90*time.Second, 7); err != nil || h.WindowSeconds != 90 || h.Limit != 7 {
		t.Errorf("history: %+v, %v", h, err)
	}
	if r, err := c.Reload(ctx); err != nil || len(r.Changes) != 1 {
		t.Errorf("reload: %+v, %v", r, err)
	}
	if cfg, err := c.Config(ctx); err != nil || len(cfg.Settings) != 1 {
		t.Errorf("config: %+v, %v", cfg, err)
	}
	if st, err := c.Stop(ctx, "enough"); err != nil || st.PID != 42 || f.stopped[0] != "enough" {
		t.Errorf("stop: %+v, %v, %v", st, err, f.stopped)
	}
}

func TestTheClientGivesBackHostsProblems(t *testing.T) {
	f := newFakeHost()
	f.invalid = true
	c := Dial(serveOwner(t, f))
	_, err := c.Reload(t.Context())
	told, ok := errors.AsType[*problem.Error](err)
	if !ok || told.Code != problem.ConfigInvalid || told.Why != "server.prot: no such key" || told.Hint() != "correct it" {
		t.Errorf("reload: %#v", err)
	}
	if _, err := c.ReleasePlugin(t.Context(), "../../etc"); problem.Code(err) != problem.NotFound {
		t.Errorf("release of a strange name: %v", err)
	}
}

func TestTheClientDoesNotWaitForAHostThatHangs(t *testing.T) {
	dir := socketDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, SocketFile)) // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(dir).Status(ctx); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a hanging host: %v, want ErrUnreachable", err)
	}
	if _, err := Dial(socketDir(t)).Status(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("no host: %v, want ErrUnreachable", err)
	}
}

func TestTheSocketIsTheOwnersAndReplacesAnOldOne(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, SocketFile)
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := ListenUnix(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestStrangersOnTheSocketAreTurnedAway(t *testing.T) {
	dir := socketDir(t)
	l, err := ListenUnix(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	owner := l.(*ownerListener)
	peers := make(chan int, 4) // who comes in next; sent by the test, read by Accept
	owner.self = 1000
	owner.peer = func(net.Conn) (int, bool, error) { return <-peers, true, nil }
	accepted := make(chan net.Conn)
	go func() {
		for range 2 {
			if c, err := owner.Accept(); err == nil {
				accepted <- c
			}
		}
	}()
	for _, step := range []struct {
		uid int
		in  bool
	}{{1001, false}, {1000, true}, {65534, false}, {0, true}} {
		peers <- step.uid
		c, err := net.Dial("unix", filepath.Join(dir, SocketFile))
		if err != nil {
			t.Fatal(err)
		}
		if step.in {
			_ = (<-accepted).Close()
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("uid %d: the connection is still open: %v", step.uid, err)
		}
		_ = c.Close()
	}
}

func TestTheKernelSaysWhoIsAtTheOtherEnd(t *testing.T) {
	dir := socketDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	uid, known, err := peerUID(s)
	if err != nil || known != (runtime.GOOS == "linux") || (known && uid != os.Geteuid()) {
		t.Errorf("uid %d, known %v, %v; we are %d", uid, known, err, os.Geteuid())
	}
}

func TestTheTokenIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	first, err := LoadToken(dir)
	if err != nil || len(first) != 64 {
		t.Fatalf("token %q, %v", first, err)
	}
	info, err := os.Stat(filepath.Join(dir, TokenFile))
	if err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
		t.Errorf("its file is %v, %v", info.Mode(), err)
	}
	if again, err := LoadToken(dir); err != nil || again != first {
		t.Errorf("the second time %q, %v, want %q", again, err, first)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
}

func TestATokenThatOthersMayKnowIsReplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // modes say nothing there
	}
	known := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for why, prepare := range map[string]func(dir, path string) error{
		"others could read it": func(_, path string) error {
			return errors.Join(os.WriteFile(path, []byte(known), 0o600), os.Chmod(path, 0o640))
		},
		"it is too short": func(_, path string) error { return os.WriteFile(path, []byte("secret"), 0o600) },
		"it is empty":     func(_, path string) error { return os.WriteFile(path, nil, 0o600) },
		"it is a link": func(dir, path string) error {
			elsewhere := filepath.Join(dir, "elsewhere")
			return errors.Join(os.WriteFile(elsewhere, []byte(known), 0o600), os.Symlink(elsewhere, path))
		},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, TokenFile)
		if err := prepare(dir, path); err != nil {
			t.Fatal(err)
		}
		token, err := LoadToken(dir)
		if err != nil || token == known || len(token) != 64 {
			t.Errorf("%s: %q, %v", why, token, err)
		}
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the file is %v, %v", why, info.Mode(), err)
		}
	}
}
