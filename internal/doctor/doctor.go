package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode"

	"github.com/upkeephub/upkeep/core/problem"
)

// Input is what there is to examine. Functions may be nil: what they would say
// is then skipped. Each must return soon after its context ends.
type Input struct {
	// Version of this program.
	Version string
	// Platform whose commands are proposed; empty: this one.
	Platform problem.Platform

	// Source says where the configuration comes from, e.g. "built-in defaults",
	// and ConfigErr what is wrong with it; then the settings below are zero.
	Source    string
	ConfigErr error
	// Notices are sentences about keys that are accepted and have no effect.
	Notices []string
	// StateDir is the directory, and StateDirErr why there is none.
	StateDir    string
	StateDirErr error
	// Host and Port that clients use; Admin is the admin listener's address as
	// configured: host:port, "off", or empty for the default.
	Host  string
	Port  int
	Admin string
	// MaxConnections that the hub shall take.
	MaxConnections int
	// PluginDir holds the plugins; Required and Strategy name those that are needed.
	PluginDir string
	Required  []string
	Strategy  string

	// Certificate reads what clients are served with; nil: there is no TLS.
	Certificate func() (Certificate, error)

	// Running finds the host that is proved to run on StateDir; the error is
	// fs.ErrNotExist when nothing says that there is one, else it says why what is
	// there is not believed.
	Running func() (Running, error)
	// Locked says whether a process holds the lock of StateDir.
	Locked func() (bool, error)
	// Listeners names the processes that listen on a port.
	Listeners func(ctx context.Context, port int) ([]problem.Process, error)
	// Discover finds the plugins in PluginDir.
	Discover func() ([]Plugin, []Skipped, error)
	// Trust reads the lock file of PluginDir.
	Trust func() Trust
	// Ask gets a read-only endpoint, e.g. "/health", from the running host.
	Ask func(ctx context.Context, host Running, path string) ([]byte, error)
	// LastError of the state directory; nil: none.
	LastError *problem.Error
}

// Running is a host that runs.
type Running struct {
	PID     int
	Version string
	Host    string
	Port    int
	Admin   string // address; empty: off
	TLS     bool   // clients connect with https
	Started time.Time
	// Recorded is when its process started by the wall clock of that time, and
	// Computed is the same moment by the wall clock of now. They differ by as much
	// as the clock was set. Zero: not known.
	Recorded, Computed time.Time
	// PIDFile is the content of its PID file.
	PIDFile []byte
}

// Plugin is a plugin that was found.
type Plugin struct {
	Name string
	// Pinned: its checksum is fixed in plugin.json.
	Pinned   bool
	Warnings []string
	// Verify judges owner, permissions, links and checksums; locked says that its
	// files are those of the lock file. The error may carry a Hint.
	Verify func() (locked bool, err error)
}

// Trust is what the lock file of the plugin directory says.
type Trust struct {
	// Required: no plugin is run without a lock.
	Required bool
	// Locked: there is a lock, and it may be believed; Names are the plugins in it.
	Locked bool
	Names  []string
	// SignedBy is the fingerprint of the key whose signature was verified.
	SignedBy string
	// Unverified: there is a signature, but no key to verify it with.
	Unverified bool
	// Warnings are one sentence each: what is allowed but not wise.
	Warnings []string
	// Err is why no plugin may be run, and may carry a Hint.
	Err error
}

// Skipped is an entry of the plugin directory that cannot be run.
type Skipped struct{ Name, Reason, Remedy string }

// examination is one Run.
type examination struct {
	Input
	ctx      context.Context
	now      time.Time
	findings []Finding

	running    Running
	runs       bool
	runErr     error
	health     []byte
	diagnostic []byte
}

// runPatience bounds Run as a whole.
const runPatience = 15 * time.Second

// Run examines everything, in a fixed order, within 15 s. It never fails: what
// cannot be looked at is skipped with the reason.
func Run(ctx context.Context, in Input) Examined {
	ctx, cancel := context.WithTimeout(ctx, runPatience)
	defer cancel()
	if in.Platform == "" {
		in.Platform = problem.Here()
	}
	e := &examination{Input: in, ctx: ctx, now: time.Now(), runErr: errors.New("not looked for")}
	if in.Running != nil && in.StateDirErr == nil {
		e.running, e.runErr = in.Running()
		e.runs = e.runErr == nil
	}
	for _, look := range []func(){e.configuration, e.certificate, e.stateDirectory, e.disk, e.lock, e.host, e.ports, e.plugins, e.descriptors, e.clock, e.versions} {
		look()
	}
	x := Examined{
		Report: Report{Version: in.Version, Platform: runtime.GOOS + "/" + runtime.GOARCH, Time: e.now, StateDir: in.StateDir, Findings: e.findings},
		health: e.health, diagnostics: e.diagnostic, pidFile: e.running.PIDFile,
	}
	if in.LastError != nil {
		x.lastError, _ = json.Marshal(in.LastError) // what was read back can be written
	}
	return x
}

func (e *examination) add(name string, l Level, detail, fix string) {
	e.findings = append(e.findings, Finding{Name: line(name), Level: l, Detail: line(detail), Fix: line(fix)})
}

func (e *examination) ok(name, format string, args ...any) {
	e.add(name, OK, fmt.Sprintf(format, args...), "")
}

// line makes text one line that a terminal can show.
func line(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, text)
}

// hint is the next step that an error carries, or the other one.
func hint(err error, other string) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return h.Hint()
	}
	return other
}

func (e *examination) configuration() {
	switch {
	case e.ConfigErr != nil:
		e.add("configuration", Error, e.ConfigErr.Error(), hint(e.ConfigErr, "correct it"))
	case len(e.Notices) > 0:
		e.add("configuration", Warn, "valid ("+e.Source+"), but: "+strings.Join(e.Notices, "; "), "remove the keys, or leave them: they do no harm")
	default:
		e.ok("configuration", "valid (%s)", e.Source)
	}
}
