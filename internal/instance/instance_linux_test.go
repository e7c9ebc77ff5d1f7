package instance

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/upkeephub/upkeep/core/problem"
)

// listing is everything about a folder that somebody could change.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(data)
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %q", path, info.Mode(), info.ModTime(), content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestOpenMakesAPrivateDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	i := open(t, dir, Options{})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v (%v), want mode 0700", info.Mode(), err)
	}
	if lock, err := os.Stat(filepath.Join(dir, "host.lock")); err != nil || lock.Mode().Perm() != 0o600 {
		t.Errorf("the lock file: %v, %v, want mode 0600", lock, err)
	}
	if want, _ := filepath.EvalSymlinks(dir); i.Dir() != want {
		t.Errorf("Dir is %s, want %s", i.Dir(), want)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "host.lock")); err != nil {
		t.Errorf("the lock file must stay: %v", err)
	}
	if err := i.WritePID(Info{Port: 1}); !errors.Is(err, ErrClosed) {
		t.Errorf("WritePID after Close gives %v, want ErrClosed", err)
	}
}

func TestADirectoryThatWasOpenIsClosedToOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v (%v), want mode 0700", info.Mode(), err)
	}
}

func TestASecondHostIsToldWhoTheFirstIs(t *testing.T) {
	dir := t.TempDir()
	first := newChild(t, "host")
	first.must("open " + dir)
	pid := first.must("write 8765").PID
	before := listing(t, dir)
	began := time.Now()
	_, err := Open(dir, Options{Port: 9999})
	if took := time.Since(began); took > time.Second {
		t.Errorf("the answer took %s, want at most 1 s", took)
	}
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Code != problem.DaemonConflict {
		t.Fatalf("Open gave %v, want daemon_conflict", err)
	}
	text := p.Text()
	for _, want := range []string{fmt.Sprintf("pid %d", pid), "child", "0.1.0", "port 8765", fmt.Sprintf("kill -TERM %d", pid), "--state-dir"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if p.Context["existing_pid"] != pid || p.Context["existing_server_id"] != "child" || p.Context["port"] != 9999 ||
		p.Context["pidfile_path"] != filepath.Join(dir, "host-8765.pid") {
		t.Errorf("context is %v", p.Context)
	}
	if after := listing(t, dir); !slices.Equal(before, after) {
		t.Errorf("the loser changed the directory from\n%s\nto\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

func TestNobodyIsToldToEndAProcessThatIsNotProved(t *testing.T) {
	stranger := newChild(t, "host") // runs our program, but holds nothing
	for _, tc := range []struct{ why, content string }{
		{"there is no PID file", ""},
		{"it names process 0", `{"pid": 0}`},
		{"it names no number", "here I am"},
		{"it names a stranger", fmt.Sprintf(`{"pid": %d, "executable": %q}`, stranger.cmd.Process.Pid, os.Args[0])},
	} {
		dir := t.TempDir()
		i := open(t, dir, Options{})
		if tc.content != "" {
			if err := os.WriteFile(filepath.Join(dir, "host-8765.pid"), []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		_, err := Open(dir, Options{})
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: the answer took %s, want at most 1 s", tc.why, took)
		}
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || p.Code != problem.DaemonConflict {
			t.Fatalf("%s: Open gave %v, want daemon_conflict", tc.why, err)
		}
		if text := p.Text(); !strings.Contains(text, "unknown") || strings.Contains(text, "kill") || p.Context["existing_pid"] != nil {
			t.Errorf("%s: the text names somebody:\n%s\n%v", tc.why, text, p.Context)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// races is how often two processes start at once:
//
//	go test ./internal/instance -run TwoHostsAtOnce -races 10000 -timeout 1h
var races = flag.Int("races", 200, "how often two hosts start at once")

func TestOfTwoHostsAtOnceOneWins(t *testing.T) {
	rounds := *races
	if testing.Short() {
		rounds = min(rounds, 20)
	}
	began := time.Now()
	a, b := newChild(t, "host"), newChild(t, "host")
	dir := filepath.Join(t.TempDir(), "state")
	named := 0
	for round := range rounds {
		a.send("open " + dir)
		b.send("open " + dir)
		// Only the winner answers at once: the loser waits for it to say who it is.
		answers := make(chan answer)
		for _, c := range []*child{a, b} {
			go func() {
				var got answer
				if err := c.out.Decode(&got); err != nil {
					got.Error = err.Error()
				}
				answers <- got
			}()
		}
		first := <-answers
		winner, loser := a, b
		if first.PID == b.cmd.Process.Pid {
			winner, loser = b, a
		}
		if first.Error != "" {
			t.Fatalf("round %d: the first to answer lost: %s", round, first.Error)
		}
		winner.must("write 8765")
		before := listing(t, dir)
		second := <-answers
		if after := listing(t, dir); !slices.Equal(before, after) {
			t.Fatalf("round %d: the loser changed the directory:\n%v\nbefore:\n%v", round, after, before)
		}
		if second.PID != loser.cmd.Process.Pid || second.Code != problem.DaemonConflict {
			t.Fatalf("round %d: %d won, and the other got %+v; want a conflict", round, first.PID, second)
		}
		switch second.Named {
		case float64(first.PID):
			named++
		case nil: // the winner took longer to say who it is than the loser has patience
		default:
			t.Fatalf("round %d: %d won, and the other names %v", round, first.PID, second.Named)
		}
		info, err := Running(dir)
		if err != nil || info.PID != first.PID {
			t.Fatalf("round %d: the PID file names %d (%v), want the winner %d", round, info.PID, err, first.PID)
		}
		winner.must("close")
		if left := listing(t, dir); len(left) != 2 { // the directory and its lock file
			t.Fatalf("round %d: this is left:\n%s", round, strings.Join(left, "\n"))
		}
		if round == rounds/2 { // half of the rounds in a directory that is there, half in a new one
			dir += "2"
		}
	}
	t.Logf("%d races in %s: one winner each, %d losers named it", rounds, time.Since(began).Round(time.Millisecond), named)
	if named < rounds*9/10 {
		t.Errorf("%d of %d losers named the winner, want nearly all", named, rounds)
	}
}

func TestAHostThatWasKilledDoesNotStopTheNext(t *testing.T) {
	for _, tc := range []struct {
		why    string
		reap   bool
		status Staleness
	}{
		{"it is gone", true, NotFound},
		{"it is a zombie", false, Zombie},
	} {
		dir := t.TempDir()
		c := newChild(t, "host")
		c.must("open " + dir)
		pid := c.must("write 8765").PID
		if tc.reap {
			c.kill()
		} else {
			if err := c.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			awaitZombie(t, pid)
		}
		i := open(t, dir, Options{})
		if left := i.Leftovers(); len(left) != 1 || left[0].Status != tc.status || left[0].Info.PID != pid || len(left[0].Reasons) == 0 {
			t.Errorf("%s: leftovers are %+v, want one of process %d that is %s", tc.why, left, pid, tc.status)
		}
		if files := pidFiles(dir); len(files) != 0 {
			t.Errorf("%s: %v is still there", tc.why, files)
		}
	}
}

// awaitZombie waits until our child has ended, without taking notice of it.
func awaitZombie(t *testing.T, pid int) {
	t.Helper()
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}

func TestARemovedLockFileLetsNobodyIn(t *testing.T) {
	dir := t.TempDir()
	c := newChild(t, "host")
	c.must("open " + dir)
	pid := c.must("write 8765").PID
	if err := os.Remove(filepath.Join(dir, "host.lock")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	if p, ok := errors.AsType[*problem.Error](err); !ok || p.Code != problem.DaemonConflict || p.Context["existing_pid"] != pid {
		t.Errorf("Open gave %v, want a conflict with %d", err, pid)
	}
	if info, err := Running(dir); err != nil || info.PID != pid {
		t.Errorf("the PID file names %d (%v), want %d: the loser must leave it", info.PID, err, pid)
	}
}

func TestThePIDFileSaysEverything(t *testing.T) {
	dir := t.TempDir()
	i := open(t, dir, Options{})
	started := time.Now().Add(-time.Minute)
	err := i.WritePID(Info{ServerID: "upkeep-1", ServerVersion: "0.1.0", Host: "localhost", Port: 8765, StartTime: started, Admin: "127.0.0.1:18765"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "host-8765.pid")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v (%v), want mode 0600", info.Mode(), err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(data, &body); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"pid": float64(os.Getpid()), "server_id": "upkeep-1", "server_version": "0.1.0", "version": "0.1.0", "host": "localhost", "port": 8765.0,
		"start_time": started.UTC().Format(time.RFC3339Nano), "lock_acquired": true, "created_by": "upkeep host", "admin_address": "127.0.0.1:18765",
		"state_dir": i.Dir(), "socket_dir": i.SocketDir(),
	} {
		if !reflect.DeepEqual(body[key], want) {
			t.Errorf("%s is %v, want %v", key, body[key], want)
		}
	}
	for _, key := range []string{"process_start_time", "platform", "created_at", "executable", "boot_id", "start_ticks"} {
		if body[key] == nil || body[key] == "" || body[key] == 0.0 {
			t.Errorf("%s is %v, want something", key, body[key])
		}
	}
	process := body["process_info"].(map[string]any)
	if process["name"] == "" || process["status"] == "" || process["memory_mb"].(float64) <= 0 {
		t.Errorf("process_info is %v", process)
	}
	info, err := Running(dir)
	if err != nil || info.PID != os.Getpid() || info.Path() != path {
		t.Errorf("Running gives %+v, %v, want this process", info, err)
	}
}

func TestAChangedPortMovesThePIDFile(t *testing.T) {
	dir := t.TempDir()
	i := open(t, dir, Options{})
	for _, port := range []int{1000, 1000, 2000} {
		if err := i.WritePID(Info{Port: port}); err != nil {
			t.Fatal(err)
		}
	}
	if got := pidFiles(dir); len(got) != 1 || filepath.Base(got[0]) != "host-2000.pid" {
		t.Errorf("PID files are %v, want host-2000.pid only", got)
	}
}

func TestThePIDFileIsRemovedOnlyWhileItIsOurs(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(path string) error
		stays  bool
	}{
		{"nobody touched it", func(string) error { return nil }, false},
		{"somebody removed it", os.Remove, false},
		{"somebody wrote another", func(path string) error { return os.WriteFile(path, []byte("123"), 0o600) }, true},
		{"somebody put a link in its place", func(path string) error {
			return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
		}, true},
	} {
		dir := t.TempDir()
		i := open(t, dir, Options{})
		if err := i.WritePID(Info{Port: 8765}); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "host-8765.pid")
		if err := tc.change(path); err != nil {
			t.Fatal(err)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); (err == nil) != tc.stays {
			t.Errorf("%s: after Close the file is there: %v, want %v", tc.why, err == nil, tc.stays)
		}
	}
}
