package problem

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// Daemon is what is known when a host meets another one in its state directory.
type Daemon struct {
	// StateDir is the directory, and Lock the file in it that the other holds.
	StateDir, Lock string
	// Port that the second host wants; 0: not known yet.
	Port int
	// Process of the first host, proved to be one; PID 0: nobody could be proved.
	Process Process
	// ServerID, ServerVersion, ServerHost and ServerPort of the first host; all
	// are zero when its PID file is a legacy one.
	ServerID, ServerVersion, ServerHost string
	ServerPort                          int
	// PIDFile that named the process.
	PIDFile string
	// At is now; zero: the present.
	At time.Time
}

// NewDaemonConflict is the problem of a second host in one state directory. Its
// context has port, existing_pid, existing_server_id, process_info, pidfile_path
// and state_dir; what is not known is null. Without a proved process no text
// names one, so that no advice can hit a stranger.
func NewDaemonConflict(p Platform, d Daemon) *Error {
	at := present(d.At)
	own := " --state-dir " + p.Quote(d.StateDir)
	other := PortBeside(max(d.Port, d.ServerPort))
	beside := fmt.Sprintf("or run beside it: host start --port %d%s", other, besideDir(p, d.StateDir, d.ServerPort, other))
	context := map[string]any{
		"port": d.Port, "state_dir": d.StateDir, "existing_pid": nil, "existing_server_id": nil, "process_info": nil, "pidfile_path": nil,
	}
	e := &Error{Code: DaemonConflict, Context: context, At: at}
	if d.Process.PID <= 0 {
		e.What = "daemon conflict detected: another host (unknown) runs on the state directory " + d.StateDir
		e.Why = "it holds the lock " + d.Lock + ", and no PID file says who it is: it may be just starting or just ending"
		e.Details = []Section{{"CONFLICT DETAILS", []string{"State directory: " + d.StateDir, "Lock: " + d.Lock, "PID: unknown"}}}
		e.Steps = []string{"try again in a few seconds", "see what host knows: host doctor" + own}
		if look := p.lockUsers(d.Lock); look != "" {
			e.Steps = append(e.Steps, "see who holds the lock: "+look)
		}
		e.Steps = append(e.Steps, beside)
		return e
	}
	process := d.Process.cleaned()
	context["existing_pid"], context["process_info"] = process.PID, process
	e.What = fmt.Sprintf("daemon conflict detected: another host (pid %d) runs on the state directory %s", process.PID, d.StateDir)
	e.Why = "it holds the lock " + d.Lock
	var lines []string
	if d.ServerID != "" {
		context["existing_server_id"] = d.ServerID
		lines = append(lines, "Server ID: "+clean(d.ServerID, 80)+inBrackets(prefixed("version ", clean(d.ServerVersion, 40))))
	}
	if d.ServerPort > 0 {
		lines = append(lines, fmt.Sprintf("Serves: %s port %d", clean(d.ServerHost, 255), d.ServerPort))
	}
	lines = append(lines, process.lines(at)...)
	if d.PIDFile != "" {
		context["pidfile_path"] = d.PIDFile
		lines = append(lines, "PID file: "+d.PIDFile)
	}
	e.Details = []Section{{"CONFLICT DETAILS", lines}}
	e.Steps = []string{
		"see it: host status" + own,
		"use it: nothing needs to be started; or stop it: host stop" + own,
		beside,
		"look at its process: " + p.ShowProcess(process.PID),
		fmt.Sprintf("only if host stop does not help: %s, and as the last resort %s", p.terminate(process.PID), p.kill(process.PID)),
	}
	return e
}

// besideDir is the flag that gives a second host a directory of its own, where
// its port alone does not.
func besideDir(p Platform, dir string, port, other int) string {
	if port > 0 && filepath.Base(dir) == strconv.Itoa(port) { // the default: one directory for each port
		return ""
	}
	return " --state-dir " + p.Quote(fmt.Sprintf("%s-%d", dir, other))
}

// PortBeside is a port to propose instead of one that is taken: not among those
// that existing clients probe (8765 to 8769), where nothing but the server they
// look for may answer.
func PortBeside(port int) int {
	switch {
	case port >= 8764 && port <= 8769, port <= 0:
		return 8770
	case port >= 65535:
		return 65534
	}
	return port + 1
}

func present(at time.Time) time.Time {
	if at.IsZero() {
		return time.Now()
	}
	return at
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
