package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// commanded is what a command of host said and ended with.
type commanded struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// command runs a command of host to its end.
func command(t testing.TB, args ...string) commanded {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "host"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 0) {
		t.Fatalf("host %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return commanded{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), took}
}

// everything describes all that is below dir: kind, rights, inode, time and content.
func everything(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		found[path] = fmt.Sprintf("%s, inode %d, %s, %q", info.Mode(), info.Sys().(*syscall.Stat_t).Ino, info.ModTime(), content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// differences are the paths at which two descriptions differ.
func differences(before, after map[string]string) (paths []string) {
	for path := range maps.Keys(before) {
		if before[path] != after[path] {
			paths = append(paths, fmt.Sprintf("%s: %s, was %s", path, after[path], before[path]))
		}
	}
	for path := range maps.Keys(after) {
		if _, there := before[path]; !there {
			paths = append(paths, path+" is new: "+after[path])
		}
	}
	return paths
}

// The first host is frozen meanwhile, so that whatever changes is the second one's doing.
func TestSecondHostChangesNothingOfTheFirst(t *testing.T) {
	t.Parallel()
	h := serve(t, rig.Options{})
	if err := h.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := everything(t, h.StateDir)
	for _, verb := range []string{"run", "start"} {
		for name, port := range map[string]int{"the same port": h.Port, "another port": h.Port + 1} {
			got := command(t, verb, "--plugins", filepath.Join(root, "plugins"), "--port", strconv.Itoa(port), "--state-dir", h.StateDir)
			measured(t, "refused_after", got.took)
			if got.code != 4 || !strings.Contains(got.stderr, "daemon_conflict") || !strings.Contains(got.stderr, "PID: "+strconv.Itoa(h.PID())) || got.stdout != "" {
				t.Errorf("host %s on %s: exit code %d\n%s%s", verb, name, got.code, got.stdout, got.stderr)
			}
			if got.took > time.Second {
				t.Errorf("host %s on %s was refused after %s, want at most 1 s", verb, name, got.took)
			}
			for _, d := range differences(before, everything(t, h.StateDir)) {
				t.Errorf("host %s on %s changed the first one's directory: %s", verb, name, d)
			}
		}
	}
	if err := h.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the first host is well", func() error {
		if r := get(t, h, "/health"); r.Status != 200 {
			return fmt.Errorf("it is %s", r)
		}
		return nil
	})
}

func TestOfTwoWholeHostsStartedAtOnceOneServesAndTheOtherNamesIt(t *testing.T) {
	t.Parallel()
	const races = 20
	// What a host that was alone has in its directory.
	alone := serve(t, rig.Options{})
	names := func(h *rig.Host) []string {
		var found []string
		for path := range everything(t, h.StateDir) {
			name, err := filepath.Rel(h.StateDir, path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(name, string(filepath.Separator)) { // what is deeper has random names
				found = append(found, strings.ReplaceAll(name, strconv.Itoa(h.Port), "PORT"))
			}
		}
		slices.Sort(found)
		return found
	}
	want := names(alone)
	endHost(t, alone)
	for race := range races {
		port, err := rig.Port()
		if err != nil {
			t.Fatal(err)
		}
		o := rig.Options{StateDir: filepath.Join(t.TempDir(), "state"), Port: port}
		a, b := launch(t, o), launch(t, o)
		var winner, loser *rig.Host
		eventually(t, 20*time.Second, "one of the two ends", func() error {
			switch {
			case a.Exited():
				winner, loser = b, a
			case b.Exited():
				winner, loser = a, b
			default:
				return errors.New("both run")
			}
			return nil
		})
		exit, err := loser.Wait(within(t, time.Second))
		if err != nil || exit.Code != 4 || !strings.Contains(loser.Output.Stderr(), "daemon_conflict") || loser.Output.Stdout() != "" {
			t.Fatalf("race %d: the loser ended with %s, %v:\n%s", race, exit, err, loser.Output.Text())
		}
		if named := regexp.MustCompile(`PID: (\d+|unknown)`).FindStringSubmatch(loser.Output.Stderr()); named == nil || named[1] != strconv.Itoa(winner.PID()) && named[1] != "unknown" {
			t.Fatalf("race %d: host %d won, and the loser says:\n%s", race, winner.PID(), loser.Output.Stderr())
		}
		if _, err := winner.WaitServing(within(t, 20*time.Second)); err != nil {
			t.Fatalf("race %d: the winner does not serve: %v\n%s", race, err, winner.Output.Text())
		}
		firstScreen(t, winner)
		content, err := winner.PIDFile()
		if err != nil || number(content, "pid") != float64(winner.PID()) {
			t.Fatalf("race %d: the PID file is %v, %v, want that of the winner %d", race, content, err, winner.PID())
		}
		if got := names(winner); !slices.Equal(got, want) {
			t.Fatalf("race %d: the directory holds %v, want what a host that was alone has: %v", race, got, want)
		}
		endHost(t, winner)
	}
}

func TestStatusAnswersAtOnceWhileTheHubOrHostIsFrozen(t *testing.T) {
	h := serve(t, rig.Options{})
	status := func(what string, code int, says string) {
		t.Helper()
		best := time.Hour // the machine may be busy, but not each time
		for range 8 {
			got := command(t, "status", "--state-dir", h.StateDir)
			if best = min(best, got.took); got.code != code || !strings.Contains(got.stdout+got.stderr, says) {
				t.Fatalf("%s: exit code %d, want %d and %q\n%s%s", what, got.code, code, says, got.stdout, got.stderr)
			}
		}
		measured(t, "status_"+strings.ReplaceAll(what, " ", "_"), best)
		if best > 100*time.Millisecond {
			t.Errorf("%s: the quickest of 8 took %s, want at most 100 ms", what, best)
		}
	}
	status("all well", 0, "HEALTHY")
	// Supervision replaces a frozen hub, so it is frozen for each look.
	hub := hubOf(t, h)
	at := signal(t, hub, syscall.SIGSTOP)
	best := time.Hour
	for range 8 {
		got := command(t, "status", "--state-dir", h.StateDir)
		if !strings.Contains(got.stdout, " pid "+strconv.Itoa(h.PID())+" ") {
			t.Fatalf("frozen hub: exit code %d\n%s%s", got.code, got.stdout, got.stderr)
		}
		if now, err := h.Hub(); err != nil || now.PID != hub.PID {
			break // replaced
		}
		best = min(best, got.took)
	}
	measured(t, "status_frozen_hub", best)
	if best > 100*time.Millisecond {
		t.Errorf("with a frozen hub the quickest status took %s, want at most 100 ms", best)
	}
	anotherHub(t, h, hub, at, 20*time.Second)

	if err := h.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	status("frozen host", 6, "is frozen and does not answer")
	if err := h.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// A process that got the number of a host that is gone, and looks like one.
func TestStrangerWithTheNumberOfAHostIsNeverSignalled(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	stranger := &exec.Cmd{Path: sleep, Args: []string{"host", "600", "0"}}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stranger.Wait() }()
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		<-ended
	})
	pid := stranger.Process.Pid
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	forged := func(change map[string]any) string {
		content := map[string]any{"pid": pid, "server_id": "upkeep-1", "port": 8765, "host": "localhost", "executable": filepath.Join(root, "bin", "host"), "start_ticks": 1, "boot_id": "x"}
		maps.Copy(content, change)
		data, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for name, content := range map[string]string{
		"a bare number":         strconv.Itoa(pid),
		"another start":         forged(nil),
		"no proof":              fmt.Sprintf(`{"pid": %d}`, pid),
		"another program":       forged(map[string]any{"executable": sleep}),
		"pid 0":                 `{"pid": 0}`,
		"pid -1":                `{"pid": -1}`,
		"a bare 0":              "0",
		"pid 1e30":              `{"pid": 1e30}`,
		"the number of process": `{"pid": "` + strconv.Itoa(pid) + `"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "host-8765.pid"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"stop"}, {"restart"}, {"--stop"}, {"status"}} {
			got := command(t, append(args, "--state-dir", dir)...)
			want := 3
			if args[0] == "--stop" {
				want = 1
			}
			if got.code != want {
				t.Errorf("%s: host %s ends with exit code %d, want %d\n%s", name, args[0], got.code, want, got.stderr)
			}
			if advised := regexp.MustCompile(`kill (-\w+ )?-?\d+`).FindString(got.stdout + got.stderr); advised != "" {
				t.Errorf("%s: host %s advises %q", name, args[0], advised)
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: the stranger has ended: %v", name, err)
		default:
		}
	}
}

func TestStateDirectoryThatCannotBeUsedIsNamedInTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	// Root may write everywhere, so somebody else starts it then, from where he may read.
	executable, plugins := filepath.Join(dir, "host"), filepath.Join(dir, "plugins")
	data, err := os.ReadFile(filepath.Join(root, "bin", "host"))
	if err == nil {
		err = errors.Join(os.WriteFile(executable, data, 0o755), os.Mkdir(plugins, 0o755), os.Chmod(dir, 0o755))
	}
	for parent := filepath.Dir(dir); err == nil && parent != filepath.Dir(os.TempDir()) && parent != "/"; parent = filepath.Dir(parent) {
		if parent != os.TempDir() {
			err = os.Chmod(parent, 0o755)
		}
		if parent == os.TempDir() {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var prefix []string
	if os.Geteuid() == 0 {
		prefix = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	}
	absent, long := filepath.Join(locked, "a", "b"), filepath.Join(dir, strings.Repeat("x", 300))
	for _, m := range []mistake{
		{"below a folder of somebody else", rig.Options{StateDir: absent, Prefix: prefix, Executable: executable, Plugins: plugins}, 1,
			[]string{"state_dir_unusable", filepath.Join(locked, "a"), "permission denied", "--state-dir"}},
		{"a folder that may not be written", rig.Options{StateDir: locked, Prefix: prefix, Executable: executable, Plugins: plugins}, 1,
			[]string{"state_dir_unusable", locked, "--state-dir"}},
		{"a name that is too long", rig.Options{StateDir: long, Plugins: plugins}, 1, []string{"state_dir_unusable", long, "file name too long", "--state-dir"}},
		{"a path that is too long", rig.Options{StateDir: filepath.Join(dir, strings.Repeat("y/", 2100)), Plugins: plugins}, 1,
			[]string{"state_dir_unusable", "file name too long", "--state-dir"}},
	} {
		t.Run(m.name, func(t *testing.T) { failsClearly(t, m) })
	}
	t.Run("a parent that is absent is made", func(t *testing.T) {
		h := launch(t, rig.Options{StateDir: filepath.Join(dir, "new", "parents", "state"), Plugins: plugins})
		if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a path that is long, but possible", func(t *testing.T) {
		h := launch(t, rig.Options{StateDir: filepath.Join(dir, strings.Repeat("z", 200)), Plugins: plugins})
		if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
		if got := command(t, "status", "--state-dir", h.StateDir); got.code != 0 && got.code != 6 || got.stdout == "" {
			t.Errorf("status: exit code %d\n%s", got.code, got.stderr)
		}
	})
}

func TestAddressThatOthersReachIsRefusedUnlessItIsSaidByName(t *testing.T) {
	t.Parallel()
	addresses := []string{"0.0.0.0", "::", "[::]", "0", "example.org", "localhost.example.org", "127.0.0.1.example.org", "fe80::1%lo"}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range interfaces {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() {
			addresses = append(addresses, ip.IP.String())
		}
	}
	if name, err := os.Hostname(); err == nil && !strings.EqualFold(name, "localhost") {
		addresses = append(addresses, name)
	}
	for _, address := range addresses {
		state := filepath.Join(t.TempDir(), "state")
		for how, o := range map[string]rig.Options{
			"flag":        {Args: []string{"--host", address}},
			"environment": {Env: map[string]string{"UPKEEP_SERVER__HOST": address}},
			"file":        {Args: []string{"--config", configFile(t, map[string]any{"server": map[string]any{"host": address}})}},
		} {
			o.StateDir = state
			t.Run(address+" by "+how, func(t *testing.T) {
				failsClearly(t, mistake{"", o, 2, []string{"config_invalid", address}})
				if _, err := os.Stat(state); err == nil {
					t.Error("the state directory was made")
				}
			})
		}
	}
	t.Run("said by name", func(t *testing.T) {
		h := launch(t, rig.Options{Args: []string{"--host", "0.0.0.0", "--insecure-bind"}})
		if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
			t.Errorf("%v\n%s", err, h.Output.Text())
		}
	})
}
