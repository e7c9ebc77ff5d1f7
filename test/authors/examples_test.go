//go:build linux

package authors

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/internal/trial"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
	"github.com/upkeephub/upkeep/test/rig"
)

// keepsEveryRule tries an example as it is, and with settings.
func keepsEveryRule(t *testing.T, name string, settings map[string]any) {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, with := range []string{"", " --config " + file} {
		out := shell(t, root, "host plugins test examples/"+name+with)
		if !strings.Contains(out, name+": ") || !strings.Contains(out, " 0 failed") {
			t.Errorf("%s%s:\n%s", name, with, out)
		}
	}
}

func TestTheExampleDiskKeepsEveryRule(t *testing.T) {
	keepsEveryRule(t, "disk", map[string]any{"paths": []string{"/", t.TempDir(), "/nowhere"}})
}

func TestTheExampleExecCheckerKeepsEveryRule(t *testing.T) {
	keepsEveryRule(t, "exec-checker", map[string]any{"command": []string{"/bin/echo", "OK | a=1s;2"}, "about_hub": true})
}

func TestTheExampleRecoveryWebhookKeepsEveryRule(t *testing.T) {
	keepsEveryRule(t, "recovery-webhook", map[string]any{"url": "http://127.0.0.1:1/", "critical_reports": 1})
}

func TestTheExampleRedisPingInNodeKeepsEveryRule(t *testing.T) {
	shell(t, root, "cd examples/redis-ping && npm test")
	keepsEveryRule(t, "redis-ping", map[string]any{"port": 1})
}

func TestTheExampleCertificateExpiryInPythonKeepsEveryRule(t *testing.T) {
	shell(t, root, "cd examples/certificate-expiry && "+rig.Python+" -m unittest")
	keepsEveryRule(t, "certificate-expiry", map[string]any{"certificates": []string{"127.0.0.1:1", "/nowhere.pem"}})
}

// An outsider copies the folder and does what its README says.
func TestTheExamplesInGoBuildOutsideOfTheRepository(t *testing.T) {
	for _, name := range []string{"disk", "exec-checker", "recovery-webhook"} {
		folder := filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(folder, os.DirFS(filepath.Join(root, "examples", name))); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
		readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		lines := []string{"go mod init example.com/" + name, "go mod edit -replace github.com/upkeephub/upkeep=PATH-OF-A-CHECKOUT", "go mod tidy", "go build", "go test ./..."}
		for _, line := range lines {
			if !strings.Contains(string(readme), "\n    "+line) {
				t.Errorf("%s: the README does not say %q", name, line)
			}
			shell(t, folder, strings.Replace(line, "PATH-OF-A-CHECKOUT", root, 1))
		}
		shell(t, folder, "test -x "+name)
	}
}

var update = flag.Bool("update", false, "copy what serves a new plugin into the examples instead of comparing it")

// What serves the examples in other languages is what a new plugin gets.
func TestTheExamplesAreServedAsANewPluginIs(t *testing.T) {
	dir := t.TempDir()
	for language, name := range map[string]string{"node": "redis-ping", "python": "certificate-expiry"} {
		shell(t, dir, "host plugins new "+name+" --lang "+language)
		compared := 0
		for _, pattern := range []string{"upkeep*", "proto/upkeep/plugin/v1/*.proto"} {
			made, err := filepath.Glob(filepath.Join(dir, name, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range made {
				rel, _ := filepath.Rel(dir, file)
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(root, "examples", rel)
				if *update {
					if err := os.WriteFile(path, want, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
					t.Errorf("examples/%s is not what host plugins new writes (%v): run make docs", rel, err)
				}
				compared++
			}
		}
		if compared < 5 {
			t.Errorf("%s: only %d files were compared", name, compared)
		}
	}
}

// An order that host repeats is carried out once while the process lives, and
// another process repeats it with the same key.
func TestTheExampleRecoveryWebhookCarriesOutARepeatedOrderOnce(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, r.Header.Get("Idempotency-Key"))
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for process := range 2 {
		p, err := trial.Start(trial.Options{Spec: child.Spec{Path: filepath.Join(root, "examples", "recovery-webhook", "recovery-webhook")}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.End()
		if err := p.Open(ctx); err != nil {
			t.Fatal(err)
		}
		if found, err := p.Configure(ctx, map[string]any{"url": server.URL}); err != nil || trial.Refused(found) {
			t.Fatalf("%v, %v", err, found)
		}
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				answer, err := p.Recovery().Execute(ctx, &pluginv1.ExecuteRequest{
					Action: "call_webhook", IdempotencyKey: "inc-1-1", IncidentId: "inc-1", Deadline: timestamppb.New(time.Now().Add(30 * time.Second)),
				})
				if err != nil || answer.GetMessage() != "the webhook answered 200 OK" {
					t.Errorf("%v, %v", answer, err)
				}
			})
		}
		all.Wait()
		mu.Lock()
		if want := strings.Repeat("inc-1-1 ", process+1); fmt.Sprintln(keys) != fmt.Sprintln(strings.Fields(want)) {
			t.Errorf("after process %d the webhook got %v", process+1, keys)
		}
		mu.Unlock()
	}
}
