package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// platforms are all whose commands differ.
var platforms = []Platform{Linux, MacOS, Windows}

func daemon() Daemon {
	return Daemon{
		StateDir: "/var/lib/upkeep/8765", Lock: "/var/lib/upkeep/8765/host.lock", Port: 8765,
		Process:  Process{PID: 12345, Name: "host", Status: "sleep", CommandLine: "host --plugins ./plugins", Started: noon.Add(-902 * time.Second), MemoryMB: 45.2},
		ServerID: "upkeep-1a2b3c4d", ServerVersion: "0.1.0", ServerHost: "localhost", ServerPort: 8765,
		PIDFile: "/var/lib/upkeep/8765/host-8765.pid", At: noon,
	}
}

func port() Port {
	return Port{
		Host: "localhost", Port: 8765, Addr: "127.0.0.1:8765", At: noon,
		Holders: []Process{{PID: 777, Name: "python3", CommandLine: "python3 -m http.server 8765", User: "ann"}},
	}
}

func stale(status string) Stale {
	return Stale{PID: 4242, PIDFile: "/s/host-8765.pid", Status: status, Reasons: []string{"there is no process 4242", "the machine was started anew since"}, At: noon}
}

func recoveryOf(action string) Recovery {
	return Recovery{
		Action: action, Reason: "not ready in time", Attempts: 3, At: noon, LastSuccess: noon.Add(-time.Hour),
		Health: map[string]any{"status": "critical", "events_processed": 1000, "errors": 25.0},
	}
}

func check() Check {
	return Check{
		Name: "process_cpu", Status: "critical", Details: map[string]any{"pid": 12345},
		Exceeded: map[string]Threshold{"cpu": {85.5, 80}, "memory": {600, 500}}, At: noon,
	}
}

// all are the five errors in every variant, on every platform.
func all() map[string]*Error {
	out := map[string]*Error{}
	for _, p := range platforms {
		unknown := daemon()
		unknown.Process, unknown.ServerID, unknown.PIDFile = Process{}, "", ""
		nobody := port()
		nobody.Holders, nobody.Unseen = nil, "it belongs to another user"
		ours := port()
		ours.StateDir = "/state of ours"
		admin := port()
		admin.Admin = true
		out[string(p)+" daemon"] = NewDaemonConflict(p, daemon())
		out[string(p)+" daemon unknown"] = NewDaemonConflict(p, unknown)
		out[string(p)+" port"] = NewPortConflict(p, port())
		out[string(p)+" port of nobody"] = NewPortConflict(p, nobody)
		out[string(p)+" port of ours"] = NewPortConflict(p, ours)
		out[string(p)+" admin port"] = NewPortConflict(p, admin)
		for _, status := range []string{"not_found", "zombie", "invalid", "access_denied", "stale_pidfile"} {
			out[string(p)+" stale "+status] = NewStaleProcess(p, stale(status))
		}
		for _, action := range []string{"log_warning", "clear_connections", "restart_service", "emergency_stop", "page_somebody"} {
			out[string(p)+" recovery "+action] = NewRecoveryFailed(p, recoveryOf(action))
		}
		out[string(p)+" check"] = NewHealthCheckFailed(p, check())
	}
	return out
}

func has(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func lacks(t *testing.T, text string, unwanted ...string) {
	t.Helper()
	for _, word := range unwanted {
		if strings.Contains(text, word) {
			t.Errorf("%q must not be in\n%s", word, text)
		}
	}
}

func steps(e *Error) string { return strings.Join(e.Steps, "\n") }

// Row 57.
func TestADaemonConflictKeepsWhoIsInTheWay(t *testing.T) {
	c := NewDaemonConflict(Linux, daemon()).Context
	if c["port"] != 8765 || c["existing_pid"] != 12345 || c["existing_server_id"] != "upkeep-1a2b3c4d" ||
		c["process_info"].(Process).Name != "host" || c["pidfile_path"] != "/var/lib/upkeep/8765/host-8765.pid" {
		t.Errorf("context is %v", c)
	}
}

// Rows 58 and 82.
func TestADaemonConflictSaysWhoIsInTheWay(t *testing.T) {
	has(t, NewDaemonConflict(Linux, daemon()).Text(), "conflict detected", "CONFLICT DETAILS", "port 8765", "PID: 12345 (host, sleep)", "upkeep-1a2b3c4d",
		"up 15m 2s", "45.2 MB", "host-8765.pid", "RESOLUTION STEPS")
}

// Rows 59 and 81.
func TestADaemonConflictIsSolvedByOurVerbsFirst(t *testing.T) {
	e := NewDaemonConflict(Linux, daemon())
	text := steps(e)
	has(t, text, "host status", "host stop", "host start --port 8770", "ps -p 12345", "kill -TERM 12345", "kill -KILL 12345", "--state-dir")
	if strings.Index(text, "host stop") > strings.Index(text, "kill") {
		t.Errorf("kill comes before host stop:\n%s", text)
	}
	has(t, steps(NewDaemonConflict(Windows, daemon())), "taskkill /PID 12345", `tasklist /fi "PID eq 12345"`)
}

// Rows 59 and 80.
func TestNobodyIsToldToEndAProcessThatWasNotProved(t *testing.T) {
	for _, p := range platforms {
		unknown := daemon()
		unknown.Process.PID = 0
		e := NewDaemonConflict(p, unknown)
		has(t, e.Text(), "unknown")
		lacks(t, e.Text(), "kill", "PID: 0", "PID eq 0", "-p 0")
		if e.Context["existing_pid"] != nil {
			t.Errorf("%s: existing_pid is %v, want null", p, e.Context["existing_pid"])
		}
		for name, e := range map[string]*Error{
			"port":  NewPortConflict(p, port()),
			"stale": NewStaleProcess(p, stale("stale_pidfile")),
			"dead":  NewStaleProcess(p, Stale{PIDFile: "/s/x", Status: "zombie", Reasons: []string{"r"}}),
		} {
			if regexp.MustCompile(`kill|-p 0`).MatchString(e.Text()) {
				t.Errorf("%s on %s:\n%s", name, p, e.Text())
			}
		}
	}
}

// Row 81, the part that is not kept.
func TestNobodyIsToldToRemoveFiles(t *testing.T) {
	for name, e := range all() {
		if regexp.MustCompile(`(?m)\b(rm|del|unlink)\s`).MatchString(Guide(Linux, e) + e.Text()) {
			t.Errorf("%s:\n%s", name, e.Text())
		}
	}
}

// Rows 60 and 85.
func TestErrorsAreDataForPrograms(t *testing.T) {
	for name, e := range all() {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got struct {
			Type      string         `json:"error_type"`
			Code      string         `json:"error_code"`
			Message   string         `json:"message"`
			Context   map[string]any `json:"context"`
			Timestamp time.Time      `json:"timestamp"`
		}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Type != TypeOf(e.Code) || got.Code != e.Code || got.Message == "" || !got.Timestamp.Equal(noon) || len(got.Context["resolution_steps"].([]any)) == 0 {
			t.Errorf("%s: %s", name, data)
		}
		if strings.Contains(name, "daemon") && got.Context["port"] != 8765.0 {
			t.Errorf("%s: context.port is %v", name, got.Context["port"])
		}
	}
	for code, want := range map[string]string{
		DaemonConflict: "DaemonConflictError", PortConflict: "PortConflictError", StaleProcess: "StaleProcessError",
		RecoveryFailed: "RecoveryFailedError", HealthCheckFailed: "HealthCheckError", Internal: "InternalError", ConfigInvalid: "ConfigInvalidError",
	} {
		if got := TypeOf(code); got != want {
			t.Errorf("error_type of %s is %s, want %s", code, got, want)
		}
	}
}

// Row 61.
func TestAPortConflictKeepsPortHostAndProcess(t *testing.T) {
	c := NewPortConflict(Linux, port()).Context
	if c["port"] != 8765 || c["host"] != "localhost" || c["conflicting_process"].(Process).PID != 777 {
		t.Errorf("context is %v", c)
	}
}

// Row 62.
func TestAPortConflictNamesTheStranger(t *testing.T) {
	has(t, NewPortConflict(Linux, port()).Text(), "PORT CONFLICT DETAILS", "Port: 8765", "Host: localhost", "CONFLICTING PROCESS",
		"PID: 777 (python3, ann)", "python3 -m http.server 8765", "RESOLUTION STEPS", "--port 8770")
	unseen := port()
	unseen.Holders, unseen.Unseen = nil, "only root may see whose it is"
	e := NewPortConflict(Linux, unseen)
	has(t, e.Text(), "unknown: only root may see whose it is")
	if e.Context["conflicting_process"] != nil {
		t.Errorf("conflicting_process is %v, want null", e.Context["conflicting_process"])
	}
}

// Row 63.
func TestAPortConflictHasTheCommandsOfThePlatform(t *testing.T) {
	for p, want := range map[Platform][]string{
		Linux:   {"lsof -i :8765", "ss -tulpn | grep 8765", "netstat -tulpn | grep 8765", "ps -p 777"},
		MacOS:   {"lsof -i :8765", "netstat -an | grep 8765", "ps -p 777"},
		Windows: {"netstat -ano | findstr 8765", `tasklist /fi "PID eq 777"`},
	} {
		has(t, steps(NewPortConflict(p, port())), want...)
	}
	lacks(t, NewPortConflict(Windows, port()).Text(), "lsof", "ss -", "ps -p")
	lacks(t, NewPortConflict(MacOS, port()).Text(), "ss -")
}

func TestAPortHeldByAnotherUpkeepIsGivenBackByOurVerbs(t *testing.T) {
	c := port()
	c.StateDir = "/my state"
	has(t, steps(NewPortConflict(Linux, c)), "host status --state-dir '/my state'", "host stop --state-dir '/my state'")
}

func TestAProposedPortIsNoneThatClientsProbe(t *testing.T) {
	for port, want := range map[int]int{0: 8770, 1: 2, 80: 81, 8763: 8764, 8764: 8770, 8765: 8770, 8769: 8770, 8770: 8771, 65534: 65535, 65535: 65534} {
		if got := PortBeside(port); got != want {
			t.Errorf("beside %d: %d, want %d", port, got, want)
		}
	}
	for port := range 65536 {
		if got := PortBeside(port); got >= 8765 && got <= 8769 {
			t.Errorf("beside %d: %d, which clients probe", port, got)
		}
	}
}

// Row 64.
func TestAStaleProcessKeepsPIDStatusAndReasons(t *testing.T) {
	c := NewStaleProcess(Linux, stale("not_found")).Context
	if c["pid"] != 4242 || c["process_status"] != "not_found" || c["pidfile_path"] != "/s/host-8765.pid" || len(c["validation_errors"].([]string)) != 2 {
		t.Errorf("context is %v", c)
	}
}

// Row 65.
func TestAStaleProcessSaysEachReason(t *testing.T) {
	has(t, NewStaleProcess(Linux, stale("not_found")).Text(), "Stale process", "PROCESS DETAILS", "PID: 4242", "not_found", "VALIDATION ERRORS",
		"there is no process 4242", "the machine was started anew since", "RESOLUTION STEPS", "host start")
}

// Row 66.
func TestAZombieIsNamedWithItsParent(t *testing.T) {
	e := NewStaleProcess(Linux, stale("zombie"))
	has(t, e.Text(), "zombie")
	has(t, steps(e), "parent process", "ps -o ppid= -p 4242")
}

// Row 67.
func TestAFailedRecoveryKeepsActionReasonAttemptsAndHealth(t *testing.T) {
	c := NewRecoveryFailed(Linux, recoveryOf("restart_service")).Context
	if c["recovery_action"] != "restart_service" || c["failure_reason"] != "not ready in time" || c["attempt_count"] != 3 ||
		c["health_status"].(map[string]any)["events_processed"] != 1000 || c["last_successful_recovery"] != "2026-05-04T11:00:00Z" {
		t.Errorf("context is %v", c)
	}
	never := recoveryOf("restart_service")
	never.LastSuccess = time.Time{}
	if got := NewRecoveryFailed(Linux, never).Context["last_successful_recovery"]; got != nil {
		t.Errorf("last_successful_recovery is %v, want null", got)
	}
}

// Row 68.
func TestAFailedRecoverySaysWhatWasTriedAndHowHealthIs(t *testing.T) {
	has(t, NewRecoveryFailed(Linux, recoveryOf("restart_service")).Text(), "RECOVERY DETAILS", "Failed Action: restart_service", "Attempt Count: 3",
		"CURRENT HEALTH STATUS", "Events Processed: 1000", "Errors: 25\n", "1h 0m ago", "MANUAL RESOLUTION REQUIRED")
}

// Row 69.
func TestAfterAFailedRestartAStepStopsByHand(t *testing.T) {
	has(t, steps(NewRecoveryFailed(Linux, recoveryOf("restart_service"))), "Manually stop")
	seen := map[string]string{}
	for _, action := range []string{"clear_connections", "restart_service", "emergency_stop", "log_warning"} {
		text := steps(NewRecoveryFailed(Linux, recoveryOf(action)))
		if other, same := seen[text]; same {
			t.Errorf("%s and %s have the same steps", action, other)
		}
		seen[text] = action
	}
}

// Row 70.
func TestAFailedCheckKeepsNameStatusDetailsAndThresholds(t *testing.T) {
	c := NewHealthCheckFailed(Linux, check()).Context
	if c["check_name"] != "process_cpu" || c["check_status"] != "critical" || c["check_details"].(map[string]any)["pid"] != 12345 ||
		c["threshold_exceeded"].(map[string]Threshold)["cpu"].Value != 85.5 {
		t.Errorf("context is %v", c)
	}
}

// Row 71.
func TestAFailedCheckShowsValuesBesideThresholds(t *testing.T) {
	has(t, NewHealthCheckFailed(Linux, check()).Text(), "process_cpu", "CRITICAL", "CHECK DETAILS", "Pid: 12345", "THRESHOLDS EXCEEDED",
		"Cpu: 85.5 (threshold: 80.0)", "Memory: 600.0 (threshold: 500.0)", "RECOMMENDED ACTIONS")
}

// Row 72.
func TestAFailedCheckRecommendsWhatFitsIt(t *testing.T) {
	for _, tc := range []struct {
		name, metric, want string
	}{
		{"process_cpu", "", "CPU"}, {"process_resources", "cpu_usage_percent", "CPU"}, {"process_resources", "memory_usage_mb", "memory:"},
		{"network_connectivity", "", "network:"}, {"disk", "", "disk:"}, {"process_resources", "file_descriptors", "descriptors:"}, {"weather", "", "host plugins"},
	} {
		c := Check{Name: tc.name, Status: "critical"}
		if tc.metric != "" {
			c.Exceeded = map[string]Threshold{tc.metric: {2, 1}}
		}
		for _, p := range platforms {
			if got := steps(NewHealthCheckFailed(p, c)); !strings.Contains(got, tc.want) {
				t.Errorf("%s %s on %s: %q is missing in\n%s", tc.name, tc.metric, p, tc.want, got)
			}
		}
	}
	lacks(t, steps(NewHealthCheckFailed(Linux, Check{Name: "process_cpu"})), "memory:", "disk:")
}

// Rows 73, 74 and 84.
func TestTheGuideOfAnyErrorCoversTheSameTopics(t *testing.T) {
	errs := all()
	errs["ours"] = &Error{Code: ConfigInvalid, What: "wrong"}
	errs["without a page"] = &Error{Code: "of_a_plugin", What: "odd", Context: map[string]any{"port": 8765, "bad": make(chan int)}}
	for name, e := range errs {
		guide := Guide(Linux, e)
		has(t, guide, "TROUBLESHOOTING GUIDE", "ERROR TYPE: "+TypeOf(e.Code), "ERROR CODE: "+e.Code, "TIMESTAMP: ", e.What, "ADDITIONAL TROUBLESHOOTING",
			"DIAGNOSTIC COMMANDS", "COMMON SOLUTIONS", "GETTING HELP", "ERROR CONTEXT DATA", "lsof -i :8765", "ps aux | grep")
		if len(guide) <= len(e.Text()) {
			t.Errorf("%s: the guide is shorter than the text", name)
		}
	}
	elsewhere := port()
	elsewhere.Port = 9000
	has(t, Guide(Linux, NewPortConflict(Linux, elsewhere)), "lsof -i :9000")
	lacks(t, Guide(Windows, NewPortConflict(Windows, port())), "lsof", "ps aux")
}

// Row 83.
func TestTextsFitAScreenAndHaveHeadings(t *testing.T) {
	heading := regexp.MustCompile(`(?m)^[A-Z][A-Z ]+$`)
	for name, e := range all() {
		text := e.Text()
		if n := strings.Count(text, "\n"); n > 30 {
			t.Errorf("%s: %d lines, want at most 30\n%s", name, n, text)
		}
		if n := len(heading.FindAllString(text, -1)); n < 2 {
			t.Errorf("%s: %d headings, want at least 2\n%s", name, n, text)
		}
		for _, r := range text + Guide(Linux, e) {
			if r > unicode.MaxASCII {
				t.Errorf("%s: %q is no plain text\n%s", name, r, text)
			}
		}
		has(t, text, "host explain "+e.Code)
		if e.Hint() == "" {
			t.Errorf("%s has no step", name)
		}
	}
}

func TestTextsOfStrangersCannotFoolATerminal(t *testing.T) {
	evil := "x\x1b[2J\n\u202Emoc\x00" + strings.Repeat("long ", 500)
	c := port()
	c.Holders = []Process{{PID: 7, Name: evil, CommandLine: evil, User: evil}, {PID: 8, CommandLine: evil}, {PID: 9}}
	d := daemon()
	d.ServerID, d.ServerHost, d.ServerVersion, d.Process.Name, d.Process.CommandLine = evil, evil, evil, evil, evil
	r := recoveryOf(evil)
	r.Reason, r.Health = evil, map[string]any{evil: evil}
	for name, e := range map[string]*Error{
		"port": NewPortConflict(Linux, c), "daemon": NewDaemonConflict(Linux, d), "recovery": NewRecoveryFailed(Linux, r),
		"stale": NewStaleProcess(Linux, Stale{PID: 1, PIDFile: "/s", Status: "invalid", Reasons: []string{evil}}),
		"check": NewHealthCheckFailed(Linux, Check{Name: evil, Status: evil, Details: map[string]any{evil: evil}, Exceeded: map[string]Threshold{evil: {1, 0}}}),
	} {
		text := e.Text()
		if strings.ContainsAny(text, "\x1b\x00\u202E") || strings.Count(text, "\n") > 30 {
			t.Errorf("%s: %q", name, text)
		}
		for line := range strings.Lines(text) {
			if len(line) > 420 {
				t.Errorf("%s: a line of %d bytes", name, len(line))
			}
		}
	}
	has(t, NewPortConflict(Linux, c).Text(), "and 1 more")
}

func TestAPathIsOneWordOfACommand(t *testing.T) {
	for _, tc := range []struct {
		p          Platform
		path, want string
	}{
		{Linux, "/a/b-c_1.2", "/a/b-c_1.2"}, {Linux, "/a b", "'/a b'"}, {Linux, "/it's", `'/it'\''s'`}, {Linux, "/$(x)", "'/$(x)'"}, {Linux, "", "''"},
		{Windows, `C:\state`, `C:\state`}, {Windows, `C:\my state`, `"C:\my state"`},
	} {
		if got := tc.p.Quote(tc.path); got != tc.want {
			t.Errorf("%s: %s is quoted as %s, want %s", tc.p, tc.path, got, tc.want)
		}
	}
}

func TestAgesHaveTwoUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 900 * time.Millisecond: "0s", 59 * time.Second: "59s", 902 * time.Second: "15m 2s", 3 * time.Hour: "3h 0m", 50 * time.Hour: "2d 2h",
	} {
		if got := Age(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestTheCauseStaysReachable(t *testing.T) {
	c := port()
	c.Err = fs.ErrPermission
	if err := fmt.Errorf("start: %w", NewPortConflict(Linux, c)); !errors.Is(err, fs.ErrPermission) || Code(err) != PortConflict {
		t.Errorf("%v", err)
	}
}

func TestEveryCodeHasAPageWithStepsForEveryPlatform(t *testing.T) {
	types := map[string]string{}
	for _, code := range Codes() {
		for _, p := range platforms {
			page, ok := PageFor(p, code)
			if !ok || page.Title == "" || page.Means == "" || len(page.Causes) == 0 || len(page.Steps) == 0 || page.Code != code {
				t.Errorf("%s on %s: %+v", code, p, page)
			}
			text := page.Text()
			if n := strings.Count(text, "\n"); n > 40 {
				t.Errorf("%s: %d lines", code, n)
			}
			has(t, text, append(slices.Clone(page.Steps), code, page.Type)...)
		}
		page, _ := PageOf(code)
		if other := types[page.Type]; other != "" {
			t.Errorf("%s and %s are both %s", code, other, page.Type)
		}
		types[page.Type] = code
	}
	if _, ok := PageOf("nothing"); ok {
		t.Error("there is a page for a code that does not exist")
	}
	if !slices.Equal(Codes(), slices.Sorted(maps.Keys(pages))) {
		t.Errorf("codes are %v", Codes())
	}
}

func TestAMisspeltCodeFindsTheOneThatWasMeant(t *testing.T) {
	for given, want := range map[string]string{
		"port-conflict": PortConflict, "PortConflictError": PortConflict, "HealthCheckError": HealthCheckFailed, "daemon_conflct": DaemonConflict,
		"CONFIG_INVALID": ConfigInvalid, "configinvalid": ConfigInvalid, "xyzzy_plugh_frob": "",
	} {
		if got := Similar(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestProblemJSONIsRFC9457WithOurMembers(t *testing.T) {
	data, err := NewPortConflict(Linux, port()).ProblemJSON(409, "/api/v1/a b")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"type": "urn:upkeep:error:port_conflict", "title": "another process listens on the port", "status": 409.0, "instance": "/api/v1/a%20b",
		"error_code": "port_conflict", "error_type": "PortConflictError", "timestamp": "2026-05-04T12:00:00.000000Z",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if !strings.Contains(got["detail"].(string), "python3") || got["context"].(map[string]any)["port"] != 8765.0 || len(got["steps"].([]any)) == 0 {
		t.Errorf("%s", data)
	}
	bare, err := (&Error{Code: "of_a_plugin", What: "odd"}).ProblemJSON(500, "")
	if err != nil || !strings.Contains(string(bare), `"title": "odd"`) || strings.Contains(string(bare), "instance") {
		t.Errorf("%s, %v", bare, err)
	}
}
