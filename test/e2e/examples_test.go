package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// putExample copies an example into a plugin folder, as its README says.
func putExample(t testing.TB, dir, name string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, "examples", name))); err != nil {
		t.Fatal(err)
	}
}

// serveExample starts a host with the bundled plugins and an example with its
// settings. What is looked at is looked at often.
func serveExample(t testing.TB, name string, settings map[string]any) *rig.Host {
	t.Helper()
	dir := pluginsDir(t, rig.BundledPlugins...)
	putExample(t, dir, name)
	return serve(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.5, "fast_check_interval": 0.25},
		"recovery":          map[string]any{"min_recovery_interval": 1, "grace": 0.5},
		"plugins":           map[string]any{name: map[string]any{"config": settings}},
	})}})
}

// becomes waits until a check has a status, and returns its message.
func becomes(t testing.TB, h *rig.Host, check, status string) string {
	t.Helper()
	message := ""
	eventually(t, 30*time.Second, check+" becomes "+status, func() error {
		o := object(t, h, "/health")
		message = fmt.Sprint(at(o, "check_details", check, "message"))
		if word := at(o, "checks", check); word != status {
			return fmt.Errorf("it is %v: %s", word, message)
		}
		return nil
	})
	return message
}

// freePort is a port on which nobody listens.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startRedis starts a real server that keeps nothing, and returns what kills it.
func startRedis(t testing.TB, port int) (process *os.Process, kill func()) {
	t.Helper()
	cmd := exec.Command("redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	return cmd.Process, kill
}

func TestExampleRedisPingSeesARealServerDieHangAndComeBack(t *testing.T) {
	port := freePort(t)
	_, kill := startRedis(t, port)
	h := serveExample(t, "redis-ping", map[string]any{"port": port, "max_ping_ms": 900})
	hub := hubOf(t, h)
	becomes(t, h, "redis_ping", "healthy")

	kill()
	contains(t, becomes(t, h, "redis_ping", "critical"), fmt.Sprintf("127.0.0.1:%d", port), "ECONNREFUSED")
	if r := get(t, h, "/health"); r.Status != http.StatusServiceUnavailable {
		t.Errorf("with a critical check /health is %d", r.Status)
	}
	process, _ := startRedis(t, port)
	becomes(t, h, "redis_ping", "healthy")

	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	contains(t, becomes(t, h, "redis_ping", "critical"), "no PONG within 1000 ms")
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	becomes(t, h, "redis_ping", "healthy")

	noRecovery(t, h) // a restart of the hub mends no Redis
	if !hub.Alive() {
		t.Error("the hub was replaced")
	}
}

// certificate makes a self-signed one that is valid for so many days.
func certificate(t testing.TB, days int) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.CommandContext(within(t, time.Minute), "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
		"-days", fmt.Sprint(days), "-keyout", key, "-out", cert).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	return cert, key
}

func TestExampleCertificateExpirySeesAShortValidityAndTheNewCertificate(t *testing.T) {
	short, key := certificate(t, 3)
	// A real server that shows it.
	server := exec.Command("openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", short, "-key", key, "-www")
	said, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	address := ""
	for address == "" { // ACCEPT 127.0.0.1:43210
		var word string
		if _, err := fmt.Fscan(said, &word); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(word, "127.0.0.1:") {
			address = word
		}
	}

	h := serveExample(t, "certificate-expiry", map[string]any{"certificates": []any{address, short}})
	contains(t, becomes(t, h, "certificate_expiry", "critical"), address+" expires in ", short+" expires in ")

	// The file is renewed; the server still shows the old one.
	long, _ := certificate(t, 365)
	if err := os.Rename(long, short); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the new certificate is seen", func() error {
		message := becomes(t, h, "certificate_expiry", "critical")
		if strings.Contains(message, short) || !strings.Contains(message, address) {
			return fmt.Errorf("it says %s", message)
		}
		return nil
	})
	// Once the server is away nobody knows.
	_ = server.Process.Kill()
	contains(t, becomes(t, h, "certificate_expiry", "unknown"), address)
	noRecovery(t, h)
}

func TestExampleDiskTellsAFullDiskAndTakesNewLimits(t *testing.T) {
	dir := pluginsDir(t, rig.BundledPlugins...)
	putExample(t, dir, "disk")
	settings := func(ratio float64) map[string]any {
		return map[string]any{
			"health_monitoring": map[string]any{"check_interval": 0.5, "fast_check_interval": 0.25},
			"recovery":          map[string]any{"min_recovery_interval": 1, "grace": 0.5},
			"plugins": map[string]any{"disk": map[string]any{"config": map[string]any{
				"paths": []any{dir}, "warning_ratio": ratio, "critical_ratio": ratio,
			}}},
		}
	}
	path := configFile(t, settings(1e-12)) // any disk is fuller than that
	h := serve(t, rig.Options{Plugins: dir, Args: []string{"--config", path}})
	contains(t, becomes(t, h, "disk", "critical"), "disk_used_ratio", dir)
	noRecovery(t, h) // a restart of the hub frees no disk

	if err := os.Rename(configFile(t, settings(1)), path); err != nil {
		t.Fatal(err)
	}
	if r := command(t, "reload", "--state-dir", h.StateDir, "--port", fmt.Sprint(h.Port)); r.code != 0 {
		t.Fatalf("host reload: %+v", r)
	}
	becomes(t, h, "disk", "healthy")
	noRecovery(t, h)
}

func TestExampleExecCheckerRunsAProgramOfNagiosUnderItsOwnName(t *testing.T) {
	dir := pluginsDir(t, rig.BundledPlugins...)
	folder := filepath.Join(dir, "check_queue")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(root, "examples", "exec-checker", "exec-checker"), filepath.Join(folder, "check_queue"))
	script := `#!/bin/sh
n=$(cat "$1") || { echo "QUEUE UNKNOWN - cannot read"; exit 3; }
state=0; word=OK
[ "$n" -gt 10 ] && { state=1; word=WARNING; }
[ "$n" -gt 20 ] && { state=2; word=CRITICAL; }
echo "QUEUE $word - $n waiting for $WHO | waiting=$n;10;20;0 age=1500ms;;"
exit $state
`
	if err := os.WriteFile(filepath.Join(folder, "check_queue.sh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	queue := filepath.Join(t.TempDir(), "queue")
	waiting := func(n string) {
		t.Helper()
		if err := os.WriteFile(queue+".next", []byte(n), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(queue+".next", queue); err != nil {
			t.Fatal(err)
		}
	}
	waiting("3")
	h := serve(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.5, "fast_check_interval": 0.25},
		"recovery":          map[string]any{"min_recovery_interval": 1, "grace": 0.5},
		"plugins": map[string]any{"check_queue": map[string]any{"config": map[string]any{
			"command": []any{"./check_queue.sh", queue}, "environment": map[string]any{"WHO": "Bob"},
		}}},
	})}})
	becomes(t, h, "check_queue", "healthy")
	metrics := string(get(t, h, "/metrics").Body)
	contains(t, metrics, `name="waiting"`, `name="age"`)
	for _, try := range []struct{ n, status, says string }{
		{"11", "warning", "QUEUE WARNING - 11 waiting for Bob"},
		{"21", "critical", "QUEUE CRITICAL - 21 waiting for Bob"},
		{"3", "healthy", ""},
	} {
		waiting(try.n)
		contains(t, becomes(t, h, "check_queue", try.status), try.says)
	}
	if err := os.Remove(queue); err != nil {
		t.Fatal(err)
	}
	contains(t, becomes(t, h, "check_queue", "unknown"), "exit code 3", "cannot read")
	waiting("4")
	becomes(t, h, "check_queue", "healthy")
	noRecovery(t, h)
}

// hook is a real HTTP server that keeps what it got.
type hook struct {
	mu   sync.Mutex
	keys []string
	last map[string]any
}

func (k *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append(k.keys, r.Header.Get("Idempotency-Key"))
	k.last = nil
	_ = json.Unmarshal(body, &k.last)
	w.WriteHeader(http.StatusAccepted)
}

func (k *hook) got() (keys []string, last map[string]any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.keys...), k.last
}

func TestExampleRecoveryWebhookIsToldOnceOfAnIncident(t *testing.T) {
	k := &hook{}
	server := httptest.NewServer(k)
	defer server.Close()
	dir := pluginsDir(t, "process", "network", "service")
	putExample(t, dir, "recovery-webhook")
	buildPlugin(t, dir, "critical")
	h := serve(t, rig.Options{Plugins: dir, Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 0.5, "fast_check_interval": 0.25},
		"recovery":          map[string]any{"strategy": "recovery-webhook", "min_recovery_interval": 0.5, "recovery_timeout": 1, "grace": 0.5},
		"plugins":           map[string]any{"recovery-webhook": map[string]any{"config": map[string]any{"url": server.URL}}},
	})}})
	hub := hubOf(t, h)
	eventually(t, 30*time.Second, "the webhook is called", func() error {
		if keys, _ := k.got(); len(keys) == 0 {
			return fmt.Errorf("host did %v", diagnostics(t, h).Attempts())
		}
		return nil
	})
	keys, last := k.got()
	id := fmt.Sprint(last["incident"])
	if keys[0] == "" || last["idempotency_key"] != keys[0] || last["action"] != "call_webhook" || !strings.HasPrefix(id, "inc-") || last["deadline"] == nil {
		t.Errorf("it got %v with the key %q", last, keys[0])
	}
	// The attempt is judged, and the strategy is asked again: once is enough.
	eventually(t, 30*time.Second, "the strategy says that it has called", func() error {
		if text := fmt.Sprint(diagnostics(t, h).At("recovery", "recent_decisions")); !strings.Contains(text, "called in this incident") {
			return fmt.Errorf("decisions are %s", text)
		}
		return nil
	})
	if keys, _ := k.got(); len(keys) != 1 {
		t.Errorf("the webhook was called %d times: %v", len(keys), keys)
	}
	if attempts := diagnostics(t, h).Attempts(); len(attempts) != 1 || attempts[0] != "call_webhook" {
		t.Errorf("host did %v", attempts)
	}
	if !hub.Alive() {
		t.Error("the hub was replaced")
	}
}
