package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/instance"
)

// actedHost is a host that this test process plays: it holds a state directory
// and answers on its admin socket.
type actedHost struct {
	adminapi.Operations // what is not acted panics
	dir                 string
	status              adminapi.Status
	probe               adminapi.Probe
	plugins             adminapi.Plugins
	changes             []adminapi.PluginChange
	history             adminapi.History
	reload              error
	quarantine          adminapi.Quarantine
	approvals           adminapi.Approvals
	decision            adminapi.Decision
}

func (a *actedHost) Status() adminapi.Status                     { return a.status }
func (a *actedHost) Probe(k adminapi.ProbeKind) adminapi.Probe   { a.probe.Probe = k; return a.probe }
func (a *actedHost) Plugins() adminapi.Plugins                   { return a.plugins }
func (a *actedHost) History(time.Duration, int) adminapi.History { return a.history }
func (a *actedHost) ReleasePlugin(n string) (adminapi.Plugin, error) {
	for _, p := range a.plugins.Plugins {
		if p.Name == n {
			p.State = "starting"
			return p, nil
		}
	}
	return adminapi.Plugin{}, &problem.Error{Code: problem.NotFound, What: "there is no plugin " + n}
}

func (a *actedHost) Quarantine() adminapi.Quarantine { return a.quarantine }

func (a *actedHost) ReleaseQuarantine(_ context.Context, id string) (adminapi.Quarantine, error) {
	if id != "" && (len(a.quarantine.Entries) == 0 || id != a.quarantine.Entries[0].ID) {
		return adminapi.Quarantine{}, &problem.Error{Code: problem.NotFound, What: "nobody is kept out under " + id}
	}
	released := a.quarantine
	a.quarantine = adminapi.Quarantine{}
	return released, nil
}

func (a *actedHost) ReloadPlugin(_ context.Context, n string) (adminapi.PluginChange, error) {
	for _, c := range a.changes {
		if c.Name == n {
			return c, nil
		}
	}
	return adminapi.PluginChange{}, &problem.Error{Code: problem.NotFound, What: "there is no plugin " + n}
}

func (a *actedHost) RescanPlugins(context.Context) (adminapi.PluginChanges, error) {
	return adminapi.PluginChanges{Changes: a.changes}, nil
}

func (a *actedHost) Reload(context.Context) (adminapi.Reloaded, error) {
	return adminapi.Reloaded{Changes: []adminapi.Change{
		{Key: "logging.level", Old: "info", New: "debug", Live: true}, {Key: "server.port", Old: 8765, New: 8766},
	}}, a.reload
}

// act plays a host until the test ends. Without an API it is one that hangs.
func act(t *testing.T, api bool) *actedHost {
	t.Helper()
	dir, err := os.MkdirTemp("", "act") // a short path, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	i, err := instance.Open(dir, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	if err := i.WritePID(instance.Info{ServerID: "upkeep-1", Host: "localhost", Port: 8765}); err != nil {
		t.Fatal(err)
	}
	a := &actedHost{dir: dir}
	threshold := 80.0
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a.status = adminapi.Status{
		Timestamp: began.Add(15*time.Minute + 2*time.Second), Phase: "running", Status: "healthy", Serving: true,
		Server: adminapi.Server{Host: "localhost", Port: 8765, PID: 12345, UptimeSeconds: 902},
		Hub:    adminapi.Hub{State: "running", PID: 12346, ClientsConnected: 3, EventsProcessed: 1250},
		Checks: []adminapi.CheckState{
			{Name: "process_resources", Status: "healthy", AgeSeconds: 4, DurationMS: 3.2, Metrics: []adminapi.Metric{
				{Name: "cpu_usage_percent", Value: 15.2, Threshold: &threshold, Status: "healthy"},
				{Name: "cpu_usage_percent", Labels: map[string]string{"process": "host"}, Value: 1.5, Threshold: &threshold, Status: "healthy"},
			}},
			{Name: "service_health", Status: "healthy", AgeSeconds: 4, Message: "quiet"},
		},
		Recovery: adminapi.Recovery{Enabled: true, Available: true, Breaker: adminapi.Breaker{State: "closed", FailureThreshold: 5}},
	}
	a.probe = adminapi.Probe{OK: true, Status: "healthy", Message: "3 checks"}
	if !api {
		return a
	}
	l, err := adminapi.ListenUnix(i.SocketDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: adminapi.Handler(a, adminapi.Options{Owner: true}), ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return a
}

// said is what a command answered.
type said struct {
	out  string
	code int
	err  error
}

// verb runs one command line of the verbs, in a world with these variables.
func verb(t *testing.T, env map[string]string, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	c := &cli{stdout: &out, stderr: &errs, getenv: func(k string) string { return env[k] }}
	root := &cobra.Command{Use: "host", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(newStatusCommand(c), newCheckCommand(c), newPluginsCommand(c), newQuarantineCommand(c), newApprovalsCommand(c), newApproveCommand(c), newDenyCommand(c), newHistoryCommand(c), newReloadCommand(c), newStopCommand(c), newVersionCommand(c))
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	s := said{err: root.ExecuteContext(t.Context())}
	s.out = out.String()
	if exit, ok := errors.AsType[*exitError](s.err); ok {
		s.code = exit.code
	} else if s.err != nil {
		s.code = exitFailure
	}
	return s
}

func TestStatusFitsOneScreen(t *testing.T) {
	h := act(t, true)
	want := `HEALTHY  localhost:8765  pid 12345  up 15m 2s  clients 3  events 1,250
CHECK              STATUS   AGE  TOOK  DETAIL
process_resources  healthy  4s   3ms   cpu_usage_percent 15.2 (<80)
service_health     healthy  4s   0ms   quiet
hub      running  pid 12346  restarts 0
breaker  closed   0/5 failures  last recovery: none
`
	if got := verb(t, nil, "status", "--state-dir", h.dir); got.out != want || got.code != exitOK {
		t.Errorf("exit code %d, %v:\n%s\nwant:\n%s", got.code, got.err, got.out, want)
	}
}

func TestStatusTellsWhatIsNotWell(t *testing.T) {
	h := act(t, true)
	h.status.Status, h.status.Serving, h.status.Message = "critical", false, "the hub was stopped"
	h.status.Phase = "held"
	h.status.Hub = adminapi.Hub{State: "hung", Restarts: 2, MissedHeartbeats: 3, LastExit: "killed\x1b[31m"}
	h.status.Checks = h.status.Checks[:1]
	h.status.Checks[0].Status, h.status.Checks[0].Stale, h.status.Checks[0].Message = "critical", true, "out of\nmemory"
	h.status.Checks[0].Metrics[1].Status = "critical"
	h.status.Recovery.Available, h.status.Recovery.Why = false, "no strategy"
	h.status.Recovery.Breaker = adminapi.Breaker{State: "open", Failures: 5, FailureThreshold: 5, RemainingSeconds: 250}
	h.status.Recovery.Incident = &adminapi.Incident{ID: "inc-7", Opened: h.status.Timestamp.Add(-time.Minute), Causes: []string{"process_resources"}, Attempts: 2}
	h.status.Recovery.Last = &adminapi.RecoveryEvent{Action: "restart_service", Outcome: "not_cured", Time: h.status.Timestamp.Add(-50 * time.Second)}
	want := `CRITICAL (held)  localhost:8765  pid 12345  up 15m 2s  clients 0  events 0
the hub was stopped
CHECK              STATUS    AGE           TOOK  DETAIL
process_resources  critical  4s (overdue)  3ms   out of memory  cpu_usage_percent 15.2 (<80)  cpu_usage_percent{host} 1.5 (<80)
hub       hung   pid -  restarts 2  3 heartbeats missed  the one before: killed [31m
breaker   open   5/5 failures  for 4m 10s more  last recovery: restart_service not_cured, 50s ago  recovery unavailable: no strategy
incident  inc-7  open for 1m 0s, 2 attempts: process_resources
`
	got := verb(t, nil, "status", "--state-dir", h.dir)
	if got.out != want || got.code != exitUnhealthy || got.err.(*exitError).err != nil {
		t.Errorf("exit code %d, %v:\n%s\nwant:\n%s", got.code, got.err, got.out, want)
	}
}

func TestJSONIsTheAnswerAndQuietIsNone(t *testing.T) {
	h := act(t, true)
	h.plugins = adminapi.Plugins{Plugins: []adminapi.Plugin{}, Skipped: []adminapi.Skipped{}}
	for _, args := range [][]string{{"status"}, {"check"}, {"plugins"}, {"history"}, {"reload"}, {"version"}} {
		if args[0] != "version" {
			args = append(args, "--state-dir", h.dir)
		}
		var document map[string]any
		if got := verb(t, nil, append(args, "--json")...); json.Unmarshal([]byte(got.out), &document) != nil || len(document) == 0 {
			t.Errorf("%s --json: %v\n%s", args[0], got.err, got.out)
		}
		if got := verb(t, nil, append(args, "--quiet")...); got.out != "" || got.code != exitOK {
			t.Errorf("%s --quiet: exit code %d, %q", args[0], got.code, got.out)
		}
	}
}

// Row 76, as the command line shows it: no error of a start, but said to who asks.
func TestALeftPIDFileIsExplainedToWhoAsksForTheHost(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "host-8765.pid")
	if err := os.WriteFile(file, []byte(`{"pid": 2147480000, "port": 8765}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"stop"}, {"reload"}} {
		got := verb(t, nil, append(args, "--state-dir", dir)...)
		told, ok := errors.AsType[*problem.Error](got.err)
		if !ok || got.code != exitNotRunning || told.Code != problem.NotRunning {
			t.Fatalf("%s: exit code %d, %v", args[0], got.code, got.err)
		}
		for _, want := range []string{"PROCESS DETAILS", "PID: 2147480000", "Status: not_found", file, "VALIDATION ERRORS", "host explain stale_process"} {
			if !strings.Contains(told.Text(), want) {
				t.Errorf("%s: %q is missing in\n%s", args[0], want, told.Text())
			}
		}
		if stale, ok := told.Context["stale_process"].(*problem.Error); !ok || stale.Code != problem.StaleProcess || stale.Context["process_status"] != "not_found" {
			t.Errorf("%s: the context is %v", args[0], told.Context)
		}
	}
}

func TestACheckThatFailedIsTheErrorThatExplainGuideTellsOf(t *testing.T) {
	h := act(t, true)
	failed, err := json.Marshal(problem.NewHealthCheckFailed(problem.Linux, problem.Check{
		Name: "process_resources", Status: "critical", Exceeded: map[string]problem.Threshold{"cpu": {Value: 96, Threshold: 80}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	h.probe = adminapi.Probe{Status: "critical", Message: "process_resources is CRITICAL", Problem: failed}
	if got := verb(t, nil, "check", "--state-dir", h.dir, "--json"); got.code != exitUnhealthy || !strings.Contains(got.out, `"error_code": "health_check_failed"`) {
		t.Errorf("exit code %d, %s", got.code, got.out)
	}
	last, err := problem.LoadLast(h.dir)
	if err != nil || last.Code != problem.HealthCheckFailed || last.Context["check_name"] != "process_resources" {
		t.Errorf("the last error is %+v, %v", last, err)
	}
}

func TestCheckIsOneLineAndAnExitCode(t *testing.T) {
	h := act(t, true)
	for _, tc := range []struct {
		why   string
		probe adminapi.Probe
		flag  string
		out   string
		code  int
	}{
		{"well", adminapi.Probe{OK: true, Status: "healthy", Message: "3 checks"}, "", "healthy: 3 checks\n", 0},
		{"a warning is well enough", adminapi.Probe{OK: true, Status: "warning", Message: "busy"}, "", "warning: busy\n", 0},
		{"ill", adminapi.Probe{Status: "critical", Message: "2 of\n3"}, "", "not healthy: 2 of 3\n", exitUnhealthy},
		{"clients are served", adminapi.Probe{OK: true, Status: "critical", Message: "accepting"}, "--ready", "ready: accepting\n", 0},
		{"the loop stands", adminapi.Probe{Status: "unknown", Message: "12 s ago"}, "--live", "not live: 12 s ago\n", exitUnhealthy},
	} {
		h.probe = tc.probe
		args := []string{"check", "--state-dir", h.dir}
		if tc.flag != "" {
			args = append(args, tc.flag)
		}
		if got := verb(t, nil, args...); got.out != tc.out || got.code != tc.code {
			t.Errorf("%s: %q with exit code %d, want %q with %d", tc.why, got.out, got.code, tc.out, tc.code)
		}
	}
	if got := verb(t, nil, "check", "--ready", "--live", "--state-dir", h.dir); got.err == nil {
		t.Error("--ready and --live together are accepted")
	}
}

func TestWithoutAHostEveryVerbEndsWithThree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{{"status"}, {"plugins"}, {"history"}, {"reload"}, {"stop"}, {"plugins", "release", "x"}, {"plugins", "reload"}} {
		got := verb(t, nil, append(args, "--state-dir", dir)...)
		told, ok := errors.AsType[*problem.Error](got.err)
		if got.code != exitNotRunning || !ok || told.Code != problem.NotRunning || !strings.HasPrefix(told.Hint(), "start one: host start") || got.out != "" {
			t.Errorf("%v: exit code %d, %v, %q", args, got.code, got.err, got.out)
		}
	}
	if got := verb(t, nil, "check", "--state-dir", dir); got.code != exitNotRunning || strings.Count(got.out, "\n") != 1 || !strings.Contains(got.out, "no host runs") {
		t.Errorf("check: exit code %d, %q, want one line", got.code, got.out)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("asking made the state directory")
	}
}

func TestTheHostOfAnotherPortIsNamedNotMeant(t *testing.T) {
	base := t.TempDir()
	env := map[string]string{"XDG_STATE_HOME": base}
	i, err := instance.Open(filepath.Join(base, "upkeep", "8790"), instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = i.Close() }()
	if err := i.WritePID(instance.Info{Host: "localhost", Port: 8790}); err != nil {
		t.Fatal(err)
	}
	told, ok := errors.AsType[*problem.Error](verb(t, env, "status").err)
	if !ok || !strings.Contains(strings.Join(told.Steps, "\n"), "--port 8790") {
		t.Errorf("the neighbour is not named: %v", told)
	}
	if got := verb(t, env, "stop", "--port", "8791", "--state-dir", i.Dir()); got.code != exitNotRunning {
		t.Errorf("stop of port 8791 in the directory of 8790: exit code %d, %v", got.code, got.err)
	}
}

func TestAHostThatDoesNotAnswerIsUnhealthyAndNamed(t *testing.T) {
	h := act(t, false)
	got := verb(t, nil, "status", "--state-dir", h.dir)
	told, ok := errors.AsType[*problem.Error](got.err)
	if got.code != exitUnhealthy || !ok || told.Context["pid"] != os.Getpid() || !strings.Contains(strings.Join(told.Steps, "\n"), "host restart --state-dir") {
		t.Errorf("exit code %d, %v", got.code, got.err)
	}
	if got := verb(t, nil, "check", "--state-dir", h.dir); got.code != exitUnhealthy || !strings.Contains(got.out, "does not answer") {
		t.Errorf("check: exit code %d, %q", got.code, got.out)
	}
}

func TestPluginsSaysWhatDoesNotRunAndWhy(t *testing.T) {
	h := act(t, true)
	h.plugins = adminapi.Plugins{
		Directory: "plugins",
		Plugins: []adminapi.Plugin{
			{Name: "broken", State: "refused", LastError: "built for another API", Hint: "build it again"},
			{Name: "process", Kinds: []string{"checker"}, Version: "0.1.0", Check: "process_resources", State: "running", PID: 7, Restarts: 1, LastError: "an old story", MemoryBytes: 15_000_000},
			{Name: "redis", Kinds: []string{"checker"}, Version: "1.0.0", State: "running", PID: 8, ReloadError: "it printed no handshake", ReloadHint: "mend it"},
		},
		Skipped: []adminapi.Skipped{{Name: "notes.txt", Reason: "is not executable", Remedy: "chmod +x it"}},
	}
	want := `NAME       KIND     VERSION  STATE    PID  RESTARTS  MEMORY  DETAIL
broken     -        -        refused  -    0         -       built for another API (build it again)
process    checker  0.1.0    running  7    1         14 MB   process_resources
redis      checker  1.0.0    running  8    0         -       not reloaded: it printed no handshake (mend it)
notes.txt  -        -        skipped  -    -         -       is not executable (chmod +x it)
`
	if got := verb(t, nil, "plugins", "--state-dir", h.dir); got.out != want || got.code != exitPlugins {
		t.Errorf("exit code %d, %v:\n%s\nwant:\n%s", got.code, got.err, got.out, want)
	}
	if got := verb(t, nil, "plugins", "release", "broken", "--state-dir", h.dir); got.out != "broken starting\n" || got.code != exitOK {
		t.Errorf("release: exit code %d, %v, %q", got.code, got.err, got.out)
	}
	if got := verb(t, nil, "plugins", "release", "nobody", "--state-dir", h.dir); got.code != exitPlugins || problem.Code(got.err) != problem.NotFound {
		t.Errorf("release of nobody: exit code %d, %v", got.code, got.err)
	}
	h.plugins = adminapi.Plugins{Directory: "plugins"}
	if got := verb(t, nil, "plugins", "--state-dir", h.dir); got.out != "no plugins in plugins: nobody looks after the hub's health\n" || got.code != exitOK {
		t.Errorf("none: exit code %d, %q", got.code, got.out)
	}
}

func TestReloadOfPluginsSaysWhatBecameOfEach(t *testing.T) {
	h := act(t, true)
	h.changes = []adminapi.PluginChange{
		{Name: "disk", Outcome: "installed", Version: "1.0.0", PID: 9},
		{Name: "network", Outcome: "reloaded", VersionBefore: "0.1.0", Version: "0.2.0", PID: 10},
		{Name: "old", Outcome: "removed", VersionBefore: "0.1.0"},
		{Name: "process", Outcome: "unchanged", VersionBefore: "0.1.0", Version: "0.1.0", PID: 7},
		{Name: "redis", Outcome: "kept", Error: "it did not describe itself", Hint: "mend it", VersionBefore: "1.0.0", Version: "1.0.0", PID: 8},
	}
	want := `disk installed (1.0.0)
network reloaded (0.1.0 -> 0.2.0)
old removed (0.1.0)
process unchanged (0.1.0)
redis kept (1.0.0): it did not describe itself (mend it)
`
	if got := verb(t, nil, "plugins", "reload", "--state-dir", h.dir); got.out != want || got.code != exitPlugins {
		t.Errorf("exit code %d, %v:\n%s\nwant:\n%s", got.code, got.err, got.out, want)
	}
	if got := verb(t, nil, "plugins", "reload", "network", "--state-dir", h.dir); got.out != "network reloaded (0.1.0 -> 0.2.0)\n" || got.code != exitOK {
		t.Errorf("one: exit code %d, %v, %q", got.code, got.err, got.out)
	}
	if got := verb(t, nil, "plugins", "reload", "redis", "--state-dir", h.dir); got.code != exitPlugins {
		t.Errorf("one that was kept: exit code %d, %v, %q", got.code, got.err, got.out)
	}
	if got := verb(t, nil, "plugins", "reload", "nobody", "--state-dir", h.dir); got.code != exitPlugins || problem.Code(got.err) != problem.NotFound {
		t.Errorf("nobody: exit code %d, %v", got.code, got.err)
	}
	h.changes = nil
	if got := verb(t, nil, "plugins", "reload", "--state-dir", h.dir); got.out != "no plugins\n" || got.code != exitOK {
		t.Errorf("none: exit code %d, %q", got.code, got.out)
	}
}

func TestHistoryIsOneLineOfTime(t *testing.T) {
	var p page
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	historyPage(&p, adminapi.History{
		Limit: 4,
		Reports: []adminapi.Report{
			{Sequence: 3, Time: now.Add(-10 * time.Second), Status: "healthy", DurationMS: 12},
			{Sequence: 2, Time: now.Add(-time.Minute), Status: "critical", DurationMS: 1200, Reason: "network_connectivity critical: refused"},
			{Sequence: 1, Time: now.Add(-2 * time.Minute), Status: "healthy"},
		},
		Transitions: []adminapi.Transition{{Time: now.Add(-time.Minute), From: "healthy", To: "critical"}},
		Recoveries:  []adminapi.RecoveryEvent{{Time: now.Add(-50 * time.Second), Incident: "inc-1", Action: "clear_connections", Outcome: "cured", DurationMS: 3, Reason: "critical"}},
	}, now)
	want := `WHEN       KIND      WHAT                     DETAIL
10s ago    report    healthy                  #3 12ms
50s ago    recovery  clear_connections cured  inc-1 3ms: critical
1m 0s ago  change    healthy -> critical
1m 0s ago  report    critical                 #2 1.2s network_connectivity critical: refused
`
	if p.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", p.String(), want)
	}
	h := act(t, true)
	h.history = adminapi.History{WindowSeconds: 60}
	if got := verb(t, nil, "history", "--state-dir", h.dir); got.out != "nothing happened in the last 1m 0s\n" {
		t.Errorf("nothing: %q, %v", got.out, got.err)
	}
	for _, bad := range [][]string{{"--limit", "0"}, {"--limit", "1001"}, {"--window", "0s"}, {"--window", "200h"}} {
		if got := verb(t, nil, append([]string{"history", "--state-dir", h.dir}, bad...)...); !errors.As(got.err, new(*usageError)) {
			t.Errorf("%v: %v, want a mistake of usage", bad, got.err)
		}
	}
}

func TestReloadListsWhatChangedAndWhatWaits(t *testing.T) {
	h := act(t, true)
	want := "logging.level: \"info\" -> \"debug\"\nserver.port: 8765 -> 8766   (after a restart)\n1 of 2 changes wait for a restart: host restart\n"
	if got := verb(t, nil, "reload", "--state-dir", h.dir); got.out != want || got.code != exitOK {
		t.Errorf("exit code %d, %v:\n%s\nwant:\n%s", got.code, got.err, got.out, want)
	}
	h.reload = &problem.Error{Code: problem.ConfigInvalid, What: "the configuration has a mistake", Why: "server.prot: no such key"}
	if got := verb(t, nil, "reload", "--state-dir", h.dir); problem.Code(got.err) != problem.ConfigInvalid || got.out != "" {
		t.Errorf("a bad file: %v, %q", got.err, got.out)
	}
}

func TestLegacyPIDFilesAreUnderstood(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "host-8765.pid"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := verb(t, nil, "stop", "--state-dir", dir); got.code != exitNotRunning { // process 1 is no host
		t.Errorf("exit code %d, %v", got.code, got.err)
	}
}
