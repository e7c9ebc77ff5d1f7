package instance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWhateverLiesAroundIsUnderstoodAndReplaced(t *testing.T) {
	own, stranger := fmt.Sprint(os.Getpid()), fmt.Sprint(os.Getppid())
	write := func(content string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
	}
	for _, tc := range []struct {
		why    string
		make   func(path string) error
		status Staleness
		reason string
	}{
		{"empty", write(""), Invalid, "it is empty"},
		{"blank", write(" \n\x00"), Invalid, "neither"},
		{"no number", write("not_a_number"), Invalid, "neither"},
		{"zeros", write(strings.Repeat("\x00", 100)), Invalid, "neither"},
		{"cut off", write(`{"pid": 12`), Invalid, "cannot be understood"},
		{"a list", write(`[1, 2]`), Invalid, "neither"},
		{"deep", write(strings.Repeat(`{"a":`, 12_000)), Invalid, "cannot be understood"},
		{"UTF-16", write("\xff\xfe1\x002\x00"), Invalid, "neither"},
		{"process 0", write("0"), Invalid, "0 is no process id"},
		{"process 0 in an object", write(`{"pid": 0}`), Invalid, "0 is no process id"},
		{"no process", write(`{}`), Invalid, "0 is no process id"},
		{"process -1", write("-1"), Invalid, "-1 is no process id"},
		{"a huge process", write(`{"pid": 1e30}`), Invalid, "cannot be understood"},
		{"another huge process", write("99999999999"), Invalid, "no process id"},
		{"a process as text", write(`{"pid": "1234"}`), Invalid, "cannot be understood"},
		{"huge", write(strings.Repeat("1", maxPIDFile+1)), Invalid, "longer than"},
		{"64 MiB", func(path string) error { return errors.Join(write("12")(path), os.Truncate(path, 64<<20)) }, Invalid, "longer than"},
		{"legacy, a stranger", write(stranger + "\n"), StalePIDFile, "not this program"},
		{"legacy, nobody", write(fmt.Sprint(maxPID)), NotFound, "there is no process"},
		{"a stranger", write(`{"pid": ` + stranger + `, "executable": "/sbin/init"}`), StalePIDFile, "did not start when the file says"},
		{"ourselves, as it seems", write(`{"pid": ` + own + `}`), StalePIDFile, "did not start when the file says"},
		{"a link", func(path string) error { return os.Symlink("/etc/passwd", path) }, Invalid, "symbolic link"},
		{"a link to itself", func(path string) error { return os.Symlink(path, path) }, Invalid, "symbolic link"},
		{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, Invalid, "no regular file"},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }, Invalid, "no regular file"},
		{"a full folder", func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) }, Invalid, "no regular file"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "host-8765.pid")
			if err := tc.make(path); err != nil {
				t.Fatal(err)
			}
			_, err := Running(dir)
			if stale, ok := errors.AsType[*StaleError](err); !ok || stale.Path != path || !strings.Contains(stale.Error(), tc.reason) {
				t.Errorf("Running gives %v, want a StaleError about %s", err, path)
			}
			i := open(t, dir, Options{})
			left := i.Leftovers()
			if len(left) != 1 || left[0].Path != path || left[0].Status != tc.status || !strings.Contains(strings.Join(left[0].Reasons, "; "), tc.reason) {
				t.Fatalf("leftovers are %+v, want one that is %s because %q", left, tc.status, tc.reason)
			}
			if err := i.WritePID(Info{Port: 8765}); err != nil {
				t.Fatal(err)
			}
			if info, err := ReadPID(path); err != nil || info.Verify() != nil {
				t.Errorf("the new file is not good: %v, %v", err, info.Verify())
			}
		})
	}
}

func TestWhatALinkPointsToIsNeverTouched(t *testing.T) {
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"host-8765.pid", "host-9999.pid"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	i := open(t, dir, Options{})
	if err := os.Symlink(target, filepath.Join(dir, "host-8765.pid")); err != nil { // put there just before we write
		t.Fatal(err)
	}
	if err := i.WritePID(Info{Port: 8765}); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "precious" {
		t.Errorf("the target holds %q (%v)", data, err)
	}
	if err := os.Symlink(target, filepath.Join(dir, "other.lock")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "other.lock"), filepath.Join(dir, "host.lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a lock file that is a link gives %v", err)
	}
}

func TestWhatWasBeingWrittenWhenAHostDiedIsRemoved(t *testing.T) {
	dir := t.TempDir()
	unfinished := filepath.Join(dir, ".host-8765.pid.123")
	other := filepath.Join(dir, "token")
	for _, path := range []string{unfinished, other} {
		if err := os.WriteFile(path, []byte(`{"pid"`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir, Options{})
	if _, err := os.Stat(unfinished); err == nil {
		t.Error("the unfinished file is still there")
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("what is not ours to remove is gone: %v", err)
	}
}

func TestAProcessIsOnlyBelievedToBeItself(t *testing.T) {
	dir := t.TempDir()
	i := open(t, dir, Options{})
	if err := i.WritePID(Info{Port: 8765}); err != nil {
		t.Fatal(err)
	}
	good, err := Running(dir)
	if err != nil {
		t.Fatal(err)
	}
	gone := newChild(t, "host")
	gone.kill()
	for _, tc := range []struct {
		why    string
		change func(*Info)
		status Staleness // empty: believed
	}{
		{"nothing is changed", func(*Info) {}, ""},
		{"it started a hundredth of a second later", func(i *Info) { i.StartTicks++ }, StalePIDFile},
		{"it is of an earlier boot", func(i *Info) { i.BootID = "earlier" }, StalePIDFile},
		{"it runs another program", func(i *Info) { i.Executable += "2" }, StalePIDFile},
		{"the pid went to somebody else", func(i *Info) { i.PID = os.Getppid() }, StalePIDFile},
		{"it is gone", func(i *Info) { i.PID = gone.cmd.Process.Pid }, NotFound},
		{"it is no process", func(i *Info) { i.PID = -1 }, Invalid},
	} {
		info := good
		tc.change(&info)
		err := info.Verify()
		stale, isStale := errors.AsType[*StaleError](err)
		if tc.status == "" && err == nil {
			continue
		}
		if !isStale || stale.Status != tc.status || len(stale.Reasons) == 0 || stale.PID != info.PID {
			t.Errorf("%s: Verify gives %v, want %q", tc.why, err, tc.status)
		}
	}
}

func TestABareNumberIsBelievedWhenItIsOurProgramAndOlderThanTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host-8765.pid")
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := ReadPID(path)
	if err != nil || !info.Legacy || info.PID != os.Getpid() {
		t.Fatalf("ReadPID gives %+v, %v", info, err)
	}
	if err := info.Verify(); err != nil {
		t.Errorf("our own number is not believed: %v", err)
	}
	before := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, before, before); err != nil {
		t.Fatal(err)
	}
	if info, err = ReadPID(path); err != nil {
		t.Fatal(err)
	}
	if stale, ok := errors.AsType[*StaleError](info.Verify()); !ok || stale.Status != StalePIDFile {
		t.Errorf("a process that is younger than the file is believed: %v", info.Verify())
	}
}

func FuzzParsePID(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "{}", `{"pid": 1}`, `{"pid": 1e3}`, "\xef\xbb\xbf12", "[", "99999999999999999999"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := parsePID(data)
		if err == nil && (info.PID <= 0 || info.PID > maxPID) {
			t.Fatalf("%q gives process %d", data, info.PID)
		}
		if info.Legacy && !bytes.ContainsAny(data, "123456789") {
			t.Fatalf("%q is no number, but gives %d", data, info.PID)
		}
	})
}
