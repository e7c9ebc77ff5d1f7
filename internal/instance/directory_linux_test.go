package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/upkeephub/upkeep/core/problem"
)

func TestTheStateDirectoryIsChosenInOrder(t *testing.T) {
	all := map[string]string{
		"UPKEEP_STATE_DIR": "/from-env", "STATE_DIRECTORY": "/var/lib/upkeep:/var/lib/other", "XDG_STATE_HOME": "/xdg", "HOME": "/home/me",
	}
	without := func(names ...string) map[string]string {
		env := map[string]string{}
		for k, v := range all {
			env[k] = v
		}
		for _, n := range names {
			delete(env, n)
		}
		return env
	}
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		why, flag string
		env       map[string]string
		port      int
		want      string // empty: an error
	}{
		{"the flag wins", "/flag", all, 8765, "/flag"},
		{"a relative flag is made absolute", "here", all, 8765, filepath.Join(working, "here")},
		{"then our variable, as it is", "", all, 8765, "/from-env"},
		{"then the first directory of systemd, by port", "", without("UPKEEP_STATE_DIR"), 8765, "/var/lib/upkeep/8765"},
		{"then the user's state", "", without("UPKEEP_STATE_DIR", "STATE_DIRECTORY"), 8766, "/xdg/upkeep/8766"},
		{"then the default of that", "", map[string]string{"HOME": "/home/me"}, 8765, "/home/me/.local/state/upkeep/8765"},
		{"a relative one of these does not count", "", map[string]string{"HOME": "/home/me", "XDG_STATE_HOME": "state", "STATE_DIRECTORY": "x"}, 8765, "/home/me/.local/state/upkeep/8765"},
		{"nothing is known", "", map[string]string{}, 8765, ""},
		{"port 0 with a flag", "/flag", nil, 0, "/flag"},
		{"port 0 with our variable", "", all, 0, "/from-env"},
		{"port 0 without", "", without("UPKEEP_STATE_DIR"), 0, ""},
	} {
		got, err := Resolve(tc.flag, func(name string) string { return tc.env[name] }, tc.port)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %q, %v, want %q", tc.why, got, err, tc.want)
		}
		if p, ok := errors.AsType[*problem.Error](err); err != nil && (!ok || p.Code != problem.StateDirUnusable || !strings.Contains(p.Hint(), "--state-dir")) {
			t.Errorf("%s: the error is %v, want one that names --state-dir", tc.why, err)
		}
	}
}

func TestAFileInTheWayIsNamed(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(dir, Options{})
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || p.Code != problem.StateDirUnusable || !strings.Contains(p.Why, file) || !strings.Contains(p.Hint(), "--state-dir") {
			t.Errorf("Open(%s) = %v, want state_dir_unusable that names %s", dir, err, file)
		}
	}
}

func TestEveryErrorOfTheFileSystemLeadsToAStep(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{syscall.EROFS, "on a disk that can be written"},
		{syscall.ENOSPC, "free some space"},
		{fs.ErrPermission, "let user"},
		{syscall.EIO, "--state-dir"},
	} {
		err := unusableFor("/state", &fs.PathError{Op: "mkdir", Path: "/state/x", Err: tc.err})
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || !strings.Contains(p.Hint(), tc.want) || !strings.Contains(p.Why, "/state/x") || !errors.Is(err, tc.err) {
			t.Errorf("%v becomes %v with the step %q, want %q", tc.err, err, p.Hint(), tc.want)
		}
	}
}

// finding is what a process without privileges found.
type finding struct {
	Why  string
	Want string // part of the error
	Code string
	Got  string
}

// unprivileged tries directories that it has no right to. Its answer is a list
// of findings, all of which should be as wanted.
func unprivileged() {
	base := os.Getenv("UPKEEP_INSTANCE_TEST_BASE")
	var found []finding
	try := func(why, dir, want string) {
		f := finding{Why: why, Want: want}
		i, err := Open(dir, Options{})
		if err != nil {
			f.Got, f.Code = err.Error(), problem.Code(err)
		} else {
			_ = i.Close()
		}
		found = append(found, f)
	}
	note := func(why string, err error) {
		f := finding{Why: why}
		if err != nil {
			f.Got = err.Error()
		}
		found = append(found, f)
	}
	try("a parent that may not be written", filepath.Join(base, "closed", "state"), "permission denied")
	try("a parent that may not even be entered", filepath.Join(base, "locked", "state"), "permission denied")
	try("a directory of root's", "/usr", "it belongs to user 0")
	// A PID file that names a process of another user stops no start.
	others, want := filepath.Join(base, "open", "others"), StalePIDFile
	if init, err := os.Stat("/proc/1"); err == nil && int(init.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		want = AccessDenied
	}
	note("leave a file that names process 1", errors.Join(os.Mkdir(others, 0o700), os.WriteFile(filepath.Join(others, "host-1.pid"), []byte("1\n"), 0o600)))
	if i, err := Open(others, Options{}); err != nil {
		note("open beside it", err)
	} else {
		if left := i.Leftovers(); len(left) != 1 || left[0].Status != want {
			note("the file that names process 1", fmt.Errorf("is %+v, want %s", left, want))
		}
		note("close", i.Close())
	}
	own := filepath.Join(base, "open", "own")
	note("make a directory of our own without any right", os.Mkdir(own, 0))
	try("our own directory is put right", own, "")
	i, err := Open(own, Options{})
	note("open it", err)
	if err == nil {
		note("write the PID file", i.WritePID(Info{Port: 1}))
		before, _ := os.ReadFile(filepath.Join(own, "host-1.pid"))
		note("take our right to write away", os.Chmod(own, 0o500))
		f := finding{Why: "write again", Want: "permission denied"}
		if err := i.WritePID(Info{Port: 1, Admin: "changed"}); err != nil {
			f.Got, f.Code = err.Error(), problem.Code(err)
		}
		found = append(found, f)
		after, _ := os.ReadFile(filepath.Join(own, "host-1.pid"))
		if len(before) == 0 || string(before) != string(after) {
			note("the file before", errors.New("is not as it was"))
		}
		note("give it back", os.Chmod(own, 0o700))
		entries, _ := os.ReadDir(own)
		if len(entries) != 2 {
			note("what is left", errors.New("a temporary file"))
		}
		note("close", i.Close())
	}
	_ = json.NewEncoder(os.Stdout).Encode(found)
}

func TestADirectoryWithoutPermissionIsNamed(t *testing.T) {
	base := t.TempDir()
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil { // of the test as a whole, else nobody could enter
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"closed": 0o555, "locked": 0, "open": 0o777} {
		dir := filepath.Join(base, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	}
	// The test binary may lie where nobody else can read it.
	program := filepath.Join(base, "program")
	if err := copyFile(program, os.Args[0]); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Dir = base
	cmd.Env = append(os.Environ(), roleEnv+"=unprivileged", "UPKEEP_INSTANCE_TEST_BASE="+base, "GOCOVERDIR="+filepath.Join(base, "open"))
	cmd.Stderr = os.Stderr
	if os.Geteuid() == 0 { // root may do anything, so the child is nobody
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []finding
	if err := json.Unmarshal(out, &found); err != nil || len(found) < 10 {
		t.Fatalf("%d findings, %v:\n%s", len(found), err, out)
	}
	for _, f := range found {
		if f.Want == "" && f.Got != "" || !strings.Contains(f.Got, f.Want) || f.Want != "" && f.Code != problem.StateDirUnusable {
			t.Errorf("%s: got %q (code %q), want %q", f.Why, f.Got, f.Code, f.Want)
		}
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func TestADirectoryOfAStrangerIsRefusedEvenByRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		// Only root can give a directory away; others meet root's in the test before.
		return
	}
	dir := filepath.Join(t.TempDir(), "given")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	if p, ok := errors.AsType[*problem.Error](err); !ok || p.Code != problem.StateDirUnusable || !strings.Contains(p.Why, "user 65534") {
		t.Errorf("Open gave %v, want a refusal that names user 65534", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("something was left in it: %v, %v", entries, err)
	}
}

// shortTemp is a temporary folder whose path leaves room for a socket's.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "u")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestSocketsGoWhereTheirPathsFit(t *testing.T) {
	temp := shortTemp(t)
	short := open(t, filepath.Join(temp, "s"), Options{TempDir: temp})
	if short.SocketDir() != short.Dir() {
		t.Errorf("sockets of the short path go to %s", short.SocketDir())
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	i := open(t, long, Options{TempDir: temp})
	info, err := os.Stat(i.SocketDir())
	if err != nil || filepath.Dir(i.SocketDir()) != temp || info.Mode().Perm() != 0o700 || len(i.SocketDir()) > maxSocketDir {
		t.Fatalf("sockets of the long path go to %s: %v, %v", i.SocketDir(), info, err)
	}
	if err := i.WritePID(Info{Port: 8765}); err != nil {
		t.Fatal(err)
	}
	if said, err := Running(long); err != nil || said.SocketDir != i.SocketDir() {
		t.Errorf("the PID file says %q (%v), want %q", said.SocketDir, err, i.SocketDir())
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(i.SocketDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there after Close: %v", err)
	}
	_, err = Open(long, Options{TempDir: filepath.Dir(long)})
	if p, ok := errors.AsType[*problem.Error](err); !ok || p.Code != problem.StateDirUnusable || !strings.Contains(p.Why, "too long") {
		t.Errorf("without any short place Open gives %v", err)
	}
	if i, err := Open(long, Options{TempDir: temp}); err != nil {
		t.Errorf("a start that failed keeps the lock: %v", err)
	} else {
		_ = i.Close()
	}
}

func TestSocketFoldersOfAKilledHostAreSwept(t *testing.T) {
	temp, elsewhere := shortTemp(t), shortTemp(t)
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	c := newChild(t, "host", tempEnv+"="+elsewhere) // another TMPDIR: only its PID file tells
	c.must("open " + long)
	c.must("write 8765")
	said, err := Running(long)
	if err != nil {
		t.Fatal(err)
	}
	c.kill()
	dir, err := filepath.EvalSymlinks(long)
	if err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(temp, socketPrefix(dir)+"1")
	shared := filepath.Join(temp, socketPrefix(dir)+"2")
	foreign := filepath.Join(temp, "precious")
	link := filepath.Join(temp, socketPrefix(dir)+"3")
	for _, d := range []string{ours, shared, foreign} {
		if err := errors.Join(os.Mkdir(d, 0o700), os.WriteFile(filepath.Join(d, "x"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(shared, 0o777), os.Symlink(foreign, link),
		os.WriteFile(filepath.Join(long, "host-9.pid"), []byte(`{"pid": 1, "socket_dir": "`+foreign+`"}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	i := open(t, long, Options{TempDir: temp})
	for path, stays := range map[string]bool{
		said.SocketDir: false, ours: false, filepath.Join(shared, "x"): true, filepath.Join(foreign, "x"): true, i.SocketDir(): true,
	} {
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s is there: %v, want %v", path, err == nil, stays)
		}
	}
}
