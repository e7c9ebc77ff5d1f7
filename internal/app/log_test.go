//go:build unix

package app

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// made is a host that was made and is not run.
func made(t *testing.T, cfg string, change func(*Options)) *App {
	t.Helper()
	zero := 0
	opts := Options{Plugins: t.TempDir(), Port: &zero, Admin: AdminOff, StateDir: filepath.Join(t.TempDir(), "state"), Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}
	if cfg != "" {
		opts.ConfigFile = filepath.Join(t.TempDir(), "upkeep.json")
		writeFile(t, opts.ConfigFile, cfg)
	}
	if change != nil {
		change(&opts)
	}
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill logs numbered lines, about a kilobyte each.
func (a *App) fill(lines int) {
	for n := range lines {
		a.log.Info("line", "number", n, "text", strings.Repeat("x", 950))
	}
}

// logFiles are the log and what was put aside, the oldest first, once there are
// no more than want: what is too old is removed a moment later.
func logFiles(t *testing.T, path string, want int) []string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		aside, err := filepath.Glob(strings.TrimSuffix(path, ".log") + "-*.log")
		if err != nil {
			t.Fatal(err)
		}
		if len(aside) == want {
			slices.Sort(aside)
			return append(aside, path)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d files were put aside, want %d: %v", len(aside), want, aside)
		}
	}
}

// numbers are those of the lines in the files, in order. No file is larger than
// a megabyte and a line, and none is for others to read.
func numbers(t *testing.T, files []string) []int {
	t.Helper()
	var found []int
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || info.Size() > 1<<20 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %d bytes and mode %v, %v", path, info.Size(), info.Mode(), err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var n int
			if _, rest, is := strings.Cut(lines.Text(), "line: number="); is {
				if _, err := fmt.Sscan(rest, &n); err != nil {
					t.Fatal(err)
				}
				found = append(found, n)
			}
		}
	}
	return found
}

func TestAConfiguredLogFileIsPutAsideWhenItIsFullAndTheOldestGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own", "upkeep.log")
	a := made(t, fmt.Sprintf(`{"logging": {"file": %q, "max_size_mb": 1, "backup_count": 2}}`, path), nil)
	const lines = 5000
	a.fill(lines)
	files := logFiles(t, path, 2)
	a.close()
	got := numbers(t, files)
	if len(got) < 2000 || got[len(got)-1] != lines-1 || got[len(got)-1]-got[0] != len(got)-1 {
		t.Errorf("%d lines are left, from %d to %d; want the newest, without a hole", len(got), got[0], got[len(got)-1])
	}
}

func TestTheLogOfAHostInTheBackgroundIsPutAsideWhileItRuns(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(state, ownLogName)
	writeFile(t, path, strings.Repeat("of an earlier host\n", 40_000))
	var ends [2]*os.File // as host start redirects them: standard output and error
	for n := range ends {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ends[n] = f
	}
	a := made(t, `{"logging": {"max_size_mb": 1, "backup_count": 3}}`, func(o *Options) { o.StateDir, o.Stdout, o.Stderr = state, ends[0], ends[1] })
	const lines = 3000
	a.fill(lines)
	files := logFiles(t, path, 3)
	got := numbers(t, files)
	if len(got) != lines || got[0] != 0 || got[lines-1] != lines-1 || !slices.IsSorted(got) {
		t.Errorf("%d of %d lines are in %v, in order: %v", len(got), lines, files, slices.IsSorted(got))
	}
	// What does not go through the log, as the trace of a panic, follows too.
	fmt.Fprint(ends[0], "to standard output\n")
	fmt.Fprint(ends[1], "panic: at last\n")
	a.log.Info("and on")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if i, j, k := bytes.Index(text, []byte("to standard output\n")), bytes.Index(text, []byte("panic: at last\n")), bytes.Index(text, []byte("and on\n")); i < 0 || j < i || k < j {
		t.Errorf("the log ends with %q", text[max(0, len(text)-300):])
	}
}

func TestALogThatCannotBePutAsideIsWrittenOn(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(state, ownLogName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := made(t, `{"logging": {"max_size_mb": 1}}`, func(o *Options) { o.StateDir, o.Stderr = state, f })
	a.stderr.own.rotate.Filename = filepath.Join(path, "no folder", "host.log")
	a.fill(1500)
	if got := countLines(t, path); got != 1500 {
		t.Errorf("%d of 1500 lines were written", got)
	}
	text, _ := os.ReadFile(path)
	if n := bytes.Count(text, []byte("could not be put aside")); n != 1 {
		t.Errorf("it is said %d times that it could not be put aside, want once a megabyte", n)
	}
}

func countLines(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("line: number="))
}

func TestAnotherFileThanOurOwnLogIsLeftAlone(t *testing.T) {
	elsewhere, err := os.Create(filepath.Join(t.TempDir(), ownLogName))
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	a := made(t, `{"logging": {"max_size_mb": 1}}`, func(o *Options) { o.Stderr = elsewhere })
	a.fill(1500)
	if info, err := elsewhere.Stat(); err != nil || info.Size() < 1<<20 {
		t.Errorf("it has %d bytes, %v: whoever redirected it there puts it aside", info.Size(), err)
	}
}
