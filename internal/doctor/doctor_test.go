package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/upkeephub/upkeep/core/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// well is a machine on which nothing is wrong and no host runs, but for what the
// kernel says about its clock.
func well(t *testing.T) Input {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return Input{
		Version: "0.1.0", Platform: problem.Linux, Source: "built-in defaults", StateDir: dir, Host: "127.0.0.1", Port: freePort(t), Admin: "off",
		MaxConnections: 10, PluginDir: "/plugins", Strategy: "recovery-graded",
		Running: func() (Running, error) { return Running{}, fs.ErrNotExist },
		Locked:  func() (bool, error) { return false, nil },
		Discover: func() ([]Plugin, []Skipped, error) {
			return []Plugin{{Name: "network"}, {Name: "recovery-graded"}}, nil, nil
		},
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// runs makes the input that of a running host with these answers.
func runs(in *Input, health, diagnostics string) {
	in.Running = func() (Running, error) {
		return Running{PID: 42, Version: "0.1.0", Port: in.Port, Started: time.Now().Add(-time.Minute), PIDFile: []byte(`{"pid": 42}`)}, nil
	}
	in.Locked = func() (bool, error) { return true, nil }
	in.Ask = func(_ context.Context, _ Running, path string) ([]byte, error) {
		return []byte(map[string]string{"/health": health, "/diagnostics": diagnostics}[path]), nil
	}
}

func find(t *testing.T, r Report, name string) Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Name == name {
			return f
		}
	}
	t.Errorf("there is no finding %q in\n%s", name, r.Text(nil))
	return Finding{}
}

func TestWhereAllIsWellNothingNeedsToBeDone(t *testing.T) {
	for _, in := range []Input{well(t), func() Input { in := well(t); runs(&in, `{"status": "healthy"}`, `{}`); return in }()} {
		x := Run(t.Context(), in)
		for _, f := range x.Findings {
			if f.Level == Error || f.Level == Warn || f.Fix != "" || f.Detail == "" {
				t.Errorf("finding %+v", f)
			}
		}
		var names []string
		for _, f := range x.Findings {
			names = append(names, f.Name)
		}
		want := []string{"configuration", "state directory", "disk", "lock", "host", fmt.Sprintf("port %d", in.Port), "admin port", "plugins", "open files", "clock", "versions"}
		if !slices.Equal(names, want) {
			t.Errorf("findings are %v, want %v", names, want)
		}
		if entries, err := os.ReadDir(in.StateDir); err != nil || len(entries) > 0 {
			t.Errorf("something is left in the state directory: %v, %v", entries, err)
		}
	}
}

func TestEachTroubleIsFoundWithItsFix(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		why         string
		change      func(in *Input)
		name        string
		level       Level
		detail, fix string
	}{
		{"the configuration is wrong", func(in *Input) {
			in.ConfigErr = &problem.Error{Code: problem.ConfigInvalid, What: "it has 2 mistakes", Why: "server.prot\nserver.port", Steps: []string{"correct them"}}
		}, "configuration", Error, "server.prot; server.port", "correct them"},
		{"keys have no effect", func(in *Input) { in.Notices = []string{"pid_validation.use_psutil has no effect"} }, "configuration", Warn, "use_psutil", "remove"},
		{"there is no state directory", func(in *Input) { in.StateDirErr = errors.New("port 0 has none") }, "state directory", Error, "port 0", "--state-dir"},
		{"the state directory is a file", func(in *Input) { in.StateDir = file }, "state directory", Error, "no directory", "--state-dir"},
		{"the state directory is below a file", func(in *Input) { in.StateDir = filepath.Join(file, "x") }, "state directory", Error, file, "--state-dir"},
		{"the state directory is open to others", func(in *Input) { _ = os.Chmod(in.StateDir, 0o755) }, "state directory", Warn, "0755", "chmod 700 "},
		{"somebody holds the lock", func(in *Input) { in.Locked = func() (bool, error) { return true, nil } }, "lock", Warn, "no PID file", "again"},
		{"the lock cannot be tried", func(in *Input) { in.Locked = func() (bool, error) { return false, errors.New("no locks here") } }, "lock", Error, "no locks here", "--state-dir"},
		{"a PID file is left", func(in *Input) {
			in.Running = func() (Running, error) { return Running{}, errors.New("there is no process 7") }
		}, "lock", Warn, "no process 7", "host start"},
		{"the lock file is gone", func(in *Input) {
			runs(in, `{"status": "healthy"}`, ``)
			in.Locked = func() (bool, error) { return false, nil }
		}, "lock", Warn, "lost its lock", "who removes"},
		{"an earlier host ended with an error", func(in *Input) {
			in.LastError = &problem.Error{Code: problem.PortConflict, What: "x", At: time.Now().Add(-time.Hour)}
		}, "host", Skip, "port_conflict, 1h 0m ago", "host explain --guide"},
		{"the host is critical", func(in *Input) { runs(in, `{"status": "critical"}`, `{}`) }, "host", Error, "critical, pid 42", "host status"},
		{"the host has a warning", func(in *Input) { runs(in, `{"status": "warning"}`, `{}`) }, "host", Warn, "warning, pid 42", "host status"},
		{"nobody looks", func(in *Input) {
			runs(in, `{"status": "unknown", "monitoring": "off", "recovery": "off", "message": "health monitoring is switched off"}`, `{}`)
		}, "host", Warn, "health monitoring is switched off, pid 42", "health_monitoring.enabled"},
		{"nothing is recovered", func(in *Input) { runs(in, `{"status": "healthy", "monitoring": "on", "recovery": "off"}`, `{}`) }, "host", Warn, "recovery is switched off", "recovery.enabled"},
		{"nobody knows", func(in *Input) { runs(in, `{"status": "unknown"}`, `{}`) }, "host", Warn, "unknown", "host plugins"},
		{"the host does not answer", func(in *Input) {
			runs(in, ``, ``)
			in.Ask = func(context.Context, Running, string) ([]byte, error) { return nil, errors.New("no answer within 2s") }
		}, "host", Error, "no answer within 2s", "host restart"},
		{"something else answers", func(in *Input) { runs(in, `<html>`, ``) }, "host", Error, "cannot be read", "host status"},
		{"the port is taken", func(in *Input) {
			in.Port = port
			in.Listeners = func(_ context.Context, n int) ([]problem.Process, error) {
				return []problem.Process{{PID: n, Name: "nginx"}, {PID: 1}}, nil
			}
		}, fmt.Sprintf("port %d", port), Error, fmt.Sprintf("process %d (nginx) and 1 more", port), "host start --port"},
		{"the port is taken by nobody who may be seen", func(in *Input) {
			in.Port = port
			in.Listeners = func(context.Context, int) ([]problem.Process, error) { return nil, errors.New("no right to see it") }
		}, fmt.Sprintf("port %d", port), Error, "no right to see it", "host start --port"},
		{"the admin port is taken", func(in *Input) { in.Admin = taken.Addr().String() }, fmt.Sprintf("admin port %d", port), Error, "is taken", "--admin"},
		{"the admin address is none", func(in *Input) { in.Admin = "18765" }, "admin port", Error, "no address", "host:port"},
		{"the address is another machine's", func(in *Input) { in.Host = "192.0.2.1" }, "", Error, "192.0.2.1", "--host"},
		{"the plugin folder cannot be used", func(in *Input) {
			in.Discover = func() ([]Plugin, []Skipped, error) { return nil, nil, errors.New("it is not there") }
		}, "plugins", Error, "not there", "--plugins"},
		{"there are no plugins", func(in *Input) { in.Discover = func() ([]Plugin, []Skipped, error) { return nil, nil, nil } }, "plugins", Warn, "none in /plugins", "make build"},
		{"there is no strategy", func(in *Input) { in.Strategy = "careful" }, "plugins", Warn, "careful is not among them", "put it into"},
		{"a checksum is wrong", func(in *Input) {
			in.Discover = func() ([]Plugin, []Skipped, error) {
				return []Plugin{{Name: "bad", Pinned: true, Verify: func() (bool, error) { return false, errors.New("its SHA-256 is 00") }}, {Name: "recovery-graded"}}, nil, nil
			}
		}, "plugin bad", Error, "SHA-256", "put the right file back"},
		{"a group may write", func(in *Input) {
			in.Discover = func() ([]Plugin, []Skipped, error) {
				return []Plugin{{Name: "a", Warnings: []string{"its group may write"}}, {Name: "recovery-graded", Warnings: []string{"its group may write"}}}, nil, nil
			}
		}, "plugin permissions", Warn, "its group may write", "chmod -R g-w /plugins"},
		{"nothing is locked", func(in *Input) { in.Trust = func() Trust { return Trust{} } }, "plugin trust", OK, "not locked", ""},
		{"a signed lock", func(in *Input) {
			in.Trust = func() Trust { return Trust{Locked: true, SignedBy: "0123", Names: []string{"recovery-graded"}} }
		}, "plugin trust", OK, "locked, signed by the trusted key 0123", ""},
		{"a signature that nobody verifies", func(in *Input) {
			in.Trust = func() Trust { return Trust{Locked: true, Unverified: true} }
		}, "plugin trust", Warn, "nothing to verify it with", "plugin_trust.trusted_keys"},
		{"a locked plugin is gone", func(in *Input) {
			in.Trust = func() Trust { return Trust{Locked: true, Names: []string{"disk", "recovery-graded"}} }
		}, "plugin trust", Warn, "not there: disk", "host plugins lock"},
		{"a lock that may not be believed", func(in *Input) {
			in.Trust = func() Trust { return Trust{Required: true, Err: errors.New("it is not signed")} }
		}, "plugin trust", Error, "no plugin is run: it is not signed", "host plugins lock"},
		{"a group may write the lock", func(in *Input) {
			in.Trust = func() Trust { return Trust{Locked: true, Warnings: []string{"its group may write to the file lock"}} }
		}, "plugin permissions", Warn, "its group may write to the file lock", "chmod -R g-w /plugins"},
		{"a plugin is skipped", func(in *Input) {
			in.Discover = func() ([]Plugin, []Skipped, error) {
				return []Plugin{{Name: "recovery-graded"}}, []Skipped{{"disk", "not built", "run make"}}, nil
			}
		}, "plugin disk", Warn, "not built", "run make"},
		{"a required plugin is skipped", func(in *Input) {
			in.Required = []string{"disk"}
			in.Discover = func() ([]Plugin, []Skipped, error) {
				return []Plugin{{Name: "recovery-graded"}}, []Skipped{{"disk", "not built", "run make"}}, nil
			}
		}, "plugin disk", Error, "not built", "run make"},
		{"a required plugin is absent", func(in *Input) { in.Required = []string{"disk"} }, "plugin disk", Error, "required", "plugins.disk.required"},
		{"a running host has a plugin in trouble", func(in *Input) {
			runs(in, `{"status": "healthy"}`, `{"plugins": [{"name": "disk", "state": "quarantined", "last_error": "exit status 2", "hint": "mend it"}, {"name": "a", "state": "running"}]}`)
		}, "plugin disk", Warn, "quarantined: exit status 2", "mend it"},
		{"the running host is another version", func(in *Input) {
			runs(in, `{"status": "healthy"}`, `{}`)
			in.Version = "0.2.0"
		}, "versions", Warn, "the running host is 0.1.0", "host restart"},
	} {
		in := well(t)
		tc.change(&in)
		if tc.name == "" {
			tc.name = fmt.Sprintf("port %d", in.Port)
		}
		x := Run(t.Context(), in)
		f := find(t, x.Report, tc.name)
		if f.Level != tc.level || !strings.Contains(f.Detail, tc.detail) || !strings.Contains(f.Fix, tc.fix) {
			t.Errorf("%s: found %+v, want level %s, detail %q, fix %q", tc.why, f, tc.level, tc.detail, tc.fix)
		}
	}
}

// explained is an error that explains itself.
type explained struct {
	error
	told *problem.Error
}

func (e explained) Problem() *problem.Error { return e.told }

func TestALeftPIDFileIsTheProblemStaleProcess(t *testing.T) {
	in := well(t)
	in.Running = func() (Running, error) {
		return Running{}, explained{errors.New("there is no process 7"), problem.NewStaleProcess(problem.Linux, problem.Stale{PID: 7, Status: "not_found", Reasons: []string{"there is no process 7"}})}
	}
	if f := find(t, Run(t.Context(), in).Report, "lock"); f.Level != Warn || f.Code != problem.StaleProcess || !strings.Contains(f.Fix, "host start") {
		t.Errorf("found %+v", f)
	}
	in.Running = func() (Running, error) { return Running{}, errors.New("it cannot be read") }
	if f := find(t, Run(t.Context(), in).Report, "lock"); f.Code != "" {
		t.Errorf("another error has the code %q", f.Code)
	}
}

func TestLimitsAreJudgedByWhatTheHubNeeds(t *testing.T) {
	for _, tc := range []struct {
		why     string
		limit   uint64
		clients int
		want    Level
		detail  string
	}{
		{"more than enough", 1 << 20, 10000, OK, "enough for 10000"},
		{"exactly enough", 10320, 10000, OK, "enough"},
		{"one short", 10319, 10000, Warn, "takes 9999 clients instead of 10000"},
		{"hardly any", 300, 10, Error, "hardly"},
	} {
		f := descriptorFinding(tc.limit, tc.clients)
		if f.Level != tc.want || !strings.Contains(f.Detail, tc.detail) || (f.Level == OK) != (f.Fix == "") {
			t.Errorf("%s: %+v", tc.why, f)
		}
	}
	for _, tc := range []struct {
		why                      string
		free, inodes, inodesFree uint64
		want                     Level
	}{
		{"plenty", 100 << 30, 1000000, 900000, OK}, {"a file system without inodes", 100 << 30, 0, 0, OK}, {"little", 500 << 20, 1000000, 900000, Warn},
		{"none", 1 << 20, 1000000, 900000, Error}, {"no inodes", 100 << 30, 1000000, 3, Error},
	} {
		if f := spaceFinding("/s", tc.free, tc.inodes, tc.inodesFree); f.Level != tc.want || (f.Level == OK) != (f.Fix == "") {
			t.Errorf("%s: %+v", tc.why, f)
		}
	}
}

func TestAWallClockThatWasSetIsNoticed(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	start := now.Add(-time.Hour)
	for _, tc := range []struct {
		why    string
		now    time.Time
		r      Running
		sync   sync
		want   Level
		detail string
	}{
		{"synchronised", now, Running{Recorded: start, Computed: start.Add(time.Second)}, syncYes, OK, "synchronised"},
		{"set forward", now, Running{Recorded: start, Computed: start.Add(time.Hour)}, syncYes, Warn, "set by 1h0m0s"},
		{"set back", now, Running{Recorded: start, Computed: start.Add(-time.Hour)}, syncYes, Warn, "set by -1h0m0s"},
		{"no host runs", now, Running{}, syncYes, OK, "synchronised"},
		{"the kernel does not say", now, Running{}, syncNo, Skip, "does not say"},
		{"it cannot be asked", now, Running{}, syncUnknown, Skip, "cannot be asked"},
		{"a dead battery", time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), Running{}, syncYes, Error, "before this program"},
	} {
		if f := clockFinding(tc.now, tc.r, tc.sync); f.Level != tc.want || !strings.Contains(f.Detail, tc.detail) {
			t.Errorf("%s: %+v", tc.why, f)
		}
	}
}

func TestOldKernelsAreKnown(t *testing.T) {
	for release, want := range map[string]bool{"4.19.0-27-amd64": true, "5.2.9": true, "5.3.0": false, "5.10": false, "6.1.0-27-amd64": false, "odd": false, "": false} {
		if got := older(release, 5, 3); got != want {
			t.Errorf("%q is older: %v, want %v", release, got, want)
		}
	}
}

func TestTheReportIsTextAndData(t *testing.T) {
	r := Report{Version: "0.1.0", Platform: "linux/amd64", Time: time.Unix(0, 0), StateDir: "/s", Findings: []Finding{
		{Name: "configuration", Level: OK, Detail: "valid"}, {Name: "port 8765", Level: Error, Detail: "taken", Fix: "another one"}, {Name: "disk", Level: Warn, Detail: "little", Fix: "free some"},
	}}
	want := `ok     configuration  valid
error  port 8765      taken
                      fix: another one
warn   disk           little
                      fix: free some
1 warning, 1 error. For a bug report: host doctor --bundle upkeep-report.tar.gz
`
	if got := r.Text(nil); got != want {
		t.Errorf("text is\n%s\nwant\n%s", got, want)
	}
	data, err := json.Marshal(Examined{Report: r})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"schema_version":1`, `"warnings":1`, `"errors":1`, `"state_dir":"/s"`, `{"name":"port 8765","level":"error","detail":"taken","fix":"another one"}`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is missing in %s", want, data)
		}
	}
	if empty, _ := json.Marshal(Report{}); !strings.Contains(string(empty), `"findings":[]`) {
		t.Errorf("without findings: %s", empty)
	}
}
