package e2e

import (
	"fmt"
	"net"
	"os"
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

// sections are the words that the lines of the first screen begin with.
var sections = regexp.MustCompile(`^(\w+)\s`)

func TestStartIsQuickAndItsFirstScreenSaysWhatIsWhere(t *testing.T) {
	h := launch(t, rig.Options{})
	listening, err := h.WaitServing(within(t, 20*time.Second))
	if err != nil {
		t.Fatalf("%v\n%s", err, h.Output.Text())
	}
	reported, err := h.WaitReported(within(t, 20*time.Second), bundledChecks...)
	if err != nil {
		t.Fatal(err)
	}
	measured(t, "start_until_listening", listening)
	measured(t, "start_until_report", reported)
	if reported > 10*time.Second {
		t.Errorf("the first report came after %s", reported)
	}
	firstScreen(t, h)
	if _, err := h.Output.WaitLine(within(t, 5*time.Second), 0, func(l rig.Line) bool { return strings.HasPrefix(l.Text, "first check: ") }); err != nil {
		t.Errorf("the first check is not told: %v", err)
	}
	screen := h.Output.Stdout()
	var words []string
	for line := range strings.Lines(screen) {
		if m := sections.FindStringSubmatch(line); m != nil {
			words = append(words, m[1])
		}
	}
	if want := []string{"host", "plugins", "listening", "admin", "ready", "first"}; !slices.Equal(words, want) {
		t.Errorf("the first screen has the sections %v, want %v:\n%s", words, want, screen)
	}
	contains(t, screen, h.StateDir, "http://127.0.0.1:"+strconv.Itoa(h.Port), "127.0.0.1:"+strconv.Itoa(h.AdminPort), "/health", "/metrics")
	contains(t, screen, rig.BundledPlugins...)
	for _, line := range strings.Split(h.Output.Stderr(), "\n") {
		if strings.Contains(line, "[WARN]") || strings.Contains(line, "[ERROR]") {
			t.Errorf("a good start warns: %s", line)
		}
	}
}

// firstScreen waits until host has said all that it says to people when it starts.
func firstScreen(t testing.TB, h *rig.Host) string {
	t.Helper()
	if _, err := h.Output.WaitLine(within(t, 15*time.Second), 0, func(l rig.Line) bool { return strings.HasPrefix(l.Text, "ready") }); err != nil {
		t.Fatalf("the first screen does not end: %s", h.Output.Stdout())
	}
	return h.Output.Stdout()
}

// mistake is a start that must fail, and what must be said about it.
type mistake struct {
	name    string
	options rig.Options
	code    int
	says    []string
}

// failsClearly checks that a start fails in time, with the documented code and
// a text that says what, why and what to do next, and opens no port.
func failsClearly(t *testing.T, m mistake) {
	t.Helper()
	h := launch(t, m.options)
	exit, err := h.Wait(within(t, 15*time.Second))
	if err != nil {
		t.Fatalf("host runs: %v\n%s", err, h.Output.Text())
	}
	if exit.Code != m.code {
		t.Errorf("host ended with %s, want code %d", exit, m.code)
	}
	if took := exit.At.Sub(h.Began); took > 5*time.Second {
		t.Errorf("host took %s to say so, want at most 5 s", took)
	}
	text := h.Output.Stderr()
	t.Logf("%s", text)
	contains(t, text, append(m.says, "host: error")...)
	if !strings.Contains(text, "What to do:") && !strings.Contains(text, "RESOLUTION STEPS") && !strings.Contains(text, "host: hint:") {
		t.Errorf("it does not say what to do next")
	}
	if lines := strings.Count(text, "\n"); lines > 40 {
		t.Errorf("the text has %d lines", lines)
	}
	if out := h.Output.Stdout(); out != "" {
		t.Errorf("a start that failed printed a first screen: %s", out)
	}
}

func TestMistakesOnTheCommandLineAreNamedWithTheNextStep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range []mistake{
		{"unknown flag", rig.Options{Args: []string{"--prot", "1"}}, 2, []string{"--prot", "--port"}},
		{"unknown command", rig.Options{Args: []string{"serve"}}, 2, []string{"serve"}},
		{"port too big", rig.Options{Args: []string{"--port", "70000"}}, 2, []string{"70000"}},
		{"port that is a word", rig.Options{Args: []string{"--port", "http"}}, 2, []string{"http"}},
		{"admin without port", rig.Options{Args: []string{"--admin", "127.0.0.1"}}, 2, []string{"127.0.0.1"}},
		{"admin for everybody", rig.Options{Args: []string{"--admin", "0.0.0.0:0"}}, 2, []string{"0.0.0.0"}},
		{"host for everybody", rig.Options{Args: []string{"--host", "0.0.0.0"}}, 2, []string{"0.0.0.0", "--insecure-bind"}},
		{"an address of another machine", rig.Options{Args: []string{"--host", "192.0.2.1", "--insecure-bind"}}, 1, []string{"listen_failed", "192.0.2.1", "--host"}},
		{"no plugin folder", rig.Options{Plugins: filepath.Join(dir, "nowhere")}, 2, []string{"plugins_missing", "nowhere", "--plugins"}},
		{"a file as plugin folder", rig.Options{Plugins: file}, 2, []string{"plugins_missing", file}},
		{"state directory is a file", rig.Options{StateDir: file}, 1, []string{"state_dir_unusable", file, "--state-dir"}},
		{"state directory below a file", rig.Options{StateDir: filepath.Join(file, "x")}, 1, []string{"state_dir_unusable", file}},
		{"state directory that cannot be made", rig.Options{StateDir: "/proc/upkeep"}, 1, []string{"state_dir_unusable", "/proc/upkeep"}},
		{"any port without state directory", rig.Options{Bare: true, StateDir: dir, Args: []string{"--port", "0", "--plugins", filepath.Join(root, "plugins")}}, 1, []string{"--state-dir"}},
	} {
		t.Run(m.name, func(t *testing.T) { failsClearly(t, m) })
	}
}

func TestMistakesInTheConfigurationAreAllNamedAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, content string
		says          []string
	}{
		{"unknown key", `{"health_monitoring": {"chek_interval": 5}}`, []string{"health_monitoring.chek_interval", "check_interval"}},
		{"unknown section", `{"helth_monitoring": {}}`, []string{"helth_monitoring", "health_monitoring"}},
		{"wrong type", `{"server": {"port": "many"}}`, []string{"server.port", "many"}},
		{"negative", `{"recovery": {"grace": -1}}`, []string{"recovery.grace", "-1"}},
		{"zero", `{"health_monitoring": {"check_interval": 0}}`, []string{"health_monitoring.check_interval", "0"}},
		{"overflow", `{"health_monitoring": {"check_interval": 1e999}}`, []string{"check_interval"}},
		{"out of range", `{"health_monitoring": {"thresholds": {"cpu_percent": 150, "memory_mb": -10, "error_rate": 1.5}}}`,
			[]string{"thresholds.cpu_percent", "150", "thresholds.memory_mb", "-10", "thresholds.error_rate", "1.5"}},
		{"several", `{"server": {"port": 99999}, "recovery": {"strategy": 5}, "logging": {"level": "loud"}}`, []string{"server.port", "recovery.strategy", "logging.level", "loud"}},
		{"empty", ``, []string{"empty"}},
		{"cut off", `{"server": {"port": 87`, []string{"upkeep.json"}},
		{"no JSON", `port = 8765`, []string{"upkeep.json"}},
		{"an array", `[]`, []string{"upkeep.json"}},
		{"two documents", `{} {}`, []string{"upkeep.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "upkeep.json")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			failsClearly(t, mistake{options: rig.Options{Args: []string{"--config", path}}, code: 2, says: append(c.says, "config_invalid")})
		})
	}
	t.Run("missing", func(t *testing.T) {
		failsClearly(t, mistake{options: rig.Options{Args: []string{"--config", "/nowhere/upkeep.json"}}, code: 2, says: []string{"config_invalid", "/nowhere/upkeep.json"}})
	})
	t.Run("a folder", func(t *testing.T) {
		dir := t.TempDir()
		failsClearly(t, mistake{options: rig.Options{Args: []string{"--config", dir}}, code: 2, says: []string{"config_invalid", dir}})
	})
	t.Run("a required plugin is missing", func(t *testing.T) {
		path := configFile(t, map[string]any{"plugins": map[string]any{"nosuch": map[string]any{}}})
		failsClearly(t, mistake{options: rig.Options{Args: []string{"--config", path}}, code: 2, says: []string{"plugins_missing", "nosuch"}})
	})
}

// stranger takes an address, and must have it still when host has given up.
func stranger(t *testing.T, addr string) (port int, check func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port, func() {
		t.Helper()
		answered := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				c.Close()
			}
			answered <- err
		}()
		c, err := net.DialTimeout("tcp", l.Addr().String(), 2*time.Second)
		if err != nil {
			t.Fatalf("the stranger is not reached any more: %v", err)
		}
		c.Close()
		if err := <-answered; err != nil {
			t.Errorf("the stranger was disturbed: %v", err)
		}
	}
}

func TestTakenPortIsAConflictAndTheStrangerIsLeftAlone(t *testing.T) {
	t.Parallel()
	hosts := []string{"127.0.0.1"}
	if rig.HasIPv6() {
		hosts = append(hosts, "::1")
	}
	for _, host := range hosts {
		t.Run("public on "+host, func(t *testing.T) {
			port, untouched := stranger(t, net.JoinHostPort(host, "0"))
			failsClearly(t, mistake{options: rig.Options{Port: port, NoAdmin: true}, code: 4,
				says: []string{"port_conflict", net.JoinHostPort(host, strconv.Itoa(port)), "--port"}})
			untouched()
		})
	}
	t.Run("admin set by hand", func(t *testing.T) {
		port, untouched := stranger(t, "127.0.0.1:0")
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		failsClearly(t, mistake{options: rig.Options{NoAdmin: true, Args: []string{"--admin", addr}}, code: 4,
			says: []string{"port_conflict", addr, "--admin"}})
		untouched()
	})
}

// The default admin port gives way, and where it went is said.
func TestDefaultAdminPortGivesWayToAStranger(t *testing.T) {
	t.Parallel()
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	_, untouched := stranger(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port+rig.AdminOffset)))
	h := serve(t, rig.Options{Port: port, NoAdmin: true})
	screen := firstScreen(t, h)
	m := regexp.MustCompile(`(?m)^admin\s+http://(127\.0\.0\.1:\d+)`).FindStringSubmatch(screen)
	if m == nil {
		t.Fatalf("the first screen does not say where the admin side is:\n%s", screen)
	}
	if m[1] == net.JoinHostPort("127.0.0.1", strconv.Itoa(port+rig.AdminOffset)) {
		t.Fatalf("the first screen names the stranger's address %s", m[1])
	}
	r, err := rig.Get(within(t, 5*time.Second), "http://"+m[1]+"/health")
	if err != nil || r.Status != 200 {
		t.Errorf("the admin side does not answer at %s: %s, %v", m[1], r, err)
	}
	content, err := h.PIDFile()
	if err != nil || !strings.Contains(fmt.Sprint(content), m[1]) {
		t.Errorf("the PID file does not name %s: %v, %v", m[1], content, err)
	}
	untouched()
}

func TestSecondHostOnAStateDirectoryIsToldWhoHasIt(t *testing.T) {
	t.Parallel()
	h := serve(t, rig.Options{})
	file := filepath.Join(h.StateDir, fmt.Sprintf("host-%d.pid", h.Port))
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, port := range map[string]int{"the same port": h.Port, "another port": 0} {
		t.Run(name, func(t *testing.T) {
			failsClearly(t, mistake{options: rig.Options{StateDir: h.StateDir, Port: port}, code: 4,
				says: []string{"daemon_conflict", h.StateDir, strconv.Itoa(h.PID()), "kill -TERM " + strconv.Itoa(h.PID())}})
		})
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the second host changed the first one's PID file: %v", err)
	}
	if r := get(t, h, "/health"); r.Status != 200 {
		t.Errorf("the first host is %s", r)
	}
}

// Leftovers of all kinds where the PID file goes: read with care, replaced, and
// never a reason not to start.
func TestLeftoverPIDFilesNeverStopAStart(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(path string) error{
		"empty":   func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"garbage": func(p string) error { return os.WriteFile(p, []byte("not_a_number\x00\xff"), 0o600) },
		"legacy":  func(p string) error { return os.WriteFile(p, []byte("1\n"), 0o644) },
		"cut off": func(p string) error { return os.WriteFile(p, []byte(`{"pid": 12`), 0o600) },
		"pid 0":   func(p string) error { return os.WriteFile(p, []byte(`{"pid": 0}`), 0o600) },
		"huge": func(p string) error {
			return os.WriteFile(p, []byte(`{"pid": 1, "x": "`+strings.Repeat("x", 8<<20)), 0o600)
		},
		"our own test's pid": func(p string) error {
			return os.WriteFile(p, []byte(fmt.Sprintf(`{"pid": %d, "server_id": "x"}`, os.Getpid())), 0o600)
		},
		"a link to a file of somebody else": func(p string) error {
			victim := filepath.Join(filepath.Dir(filepath.Dir(p)), "victim")
			if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
				return err
			}
			return os.Symlink(victim, p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			state := filepath.Join(parent, "state")
			port, err := rig.Port()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(state, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(state, fmt.Sprintf("host-%d.pid", port))
			if err := leave(path); err != nil {
				t.Fatal(err)
			}
			h := launch(t, rig.Options{StateDir: state, Port: port})
			if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
				t.Fatalf("%v\n%s", err, h.Output.Text())
			}
			content, err := h.PIDFile()
			if err != nil || number(content, "pid") != float64(h.PID()) {
				t.Errorf("the PID file is %v, %v", content, err)
			}
			if victim, err := os.ReadFile(filepath.Join(parent, "victim")); err == nil && string(victim) != "precious" {
				t.Errorf("the file behind the link was written: %q", victim)
			}
		})
	}
}

// Without plugins host serves and says that nobody looks after health.
func TestHostWithoutPluginsServesAndSaysThatNobodyLooks(t *testing.T) {
	t.Parallel()
	notBuilt := t.TempDir()
	if err := os.Mkdir(filepath.Join(notBuilt, "disk"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(notBuilt, "disk", "main.go"), []byte("package main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir string
		says      []string
	}{
		{"an empty folder", t.TempDir(), []string{"none", "recovery", "unavailable"}},
		{"a folder that is not built", notBuilt, []string{"disk", "not built", "make"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := launch(t, rig.Options{Plugins: c.dir})
			if _, err := h.WaitServing(within(t, 20*time.Second)); err != nil {
				t.Fatalf("%v\n%s", err, h.Output.Text())
			}
			contains(t, firstScreen(t, h), c.says...)
			health := object(t, h, "/health")
			if health["status"] == "healthy" || health["recovery"] != "unavailable" {
				t.Errorf("without anybody who looks the status is %v and recovery %v", health["status"], health["recovery"])
			}
			r := dialRaw(t, h)
			if _, err := r.Ping(within(t, 5*time.Second)); err != nil {
				t.Error(err)
			}
			old := hubOf(t, h)
			killed := signal(t, old, syscall.SIGKILL)
			anotherHub(t, h, old, killed, 5*time.Second) // supervision needs no plugin
		})
	}
}
