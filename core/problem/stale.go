package problem

import (
	"fmt"
	"strings"
	"time"
)

// Stale is what is known of a PID file behind which no host runs.
type Stale struct {
	PID     int // 0: the file names none
	PIDFile string
	// Status is not_found, zombie, invalid, access_denied or stale_pidfile.
	Status string
	// Reasons why the file is not believed, at least one.
	Reasons []string
	// At is now; zero: the present.
	At  time.Time
	Err error
}

// staleMeans says in words what a status of Stale is.
var staleMeans = map[string]string{
	"not_found":     "there is no such process",
	"zombie":        "zombie: it has ended, and its parent has not taken notice",
	"invalid":       "the file cannot be understood",
	"access_denied": "the process may not be looked at",
	"stale_pidfile": "the process is another one than the one that wrote the file",
}

// NewStaleProcess is the problem of a PID file that names no running host. Its
// context has pid (null if there is none), pidfile_path, process_status and
// validation_errors. It never proposes to end the process, which may be
// anybody's, nor to remove the file, which the next start replaces.
func NewStaleProcess(p Platform, s Stale) *Error {
	pid := "unknown"
	context := map[string]any{"pid": nil, "pidfile_path": s.PIDFile, "process_status": s.Status, "validation_errors": s.Reasons}
	if s.PID > 0 {
		pid, context["pid"] = fmt.Sprint(s.PID), s.PID
	}
	meaning := s.Status
	if words := staleMeans[s.Status]; words != "" {
		meaning += " (" + words + ")"
	}
	reasons := make([]string, len(s.Reasons))
	for i, reason := range s.Reasons {
		reasons[i] = "- " + clean(reason, 240)
	}
	steps := []string{"start host again, which replaces the file: host start"}
	switch {
	case s.Status == "zombie" && p.parent(s.PID) != "" && s.PID > 0:
		steps = append(steps, fmt.Sprintf("find the parent process, which has to take notice of the end: %s", p.parent(s.PID)),
			"restart the parent process if zombies pile up; a zombie itself cannot be ended")
	case s.Status == "access_denied":
		steps = []string{"ask as the user who runs that host, or as an administrator: host status", "look at the process: " + p.ShowProcess(s.PID)}
	case s.Status == "stale_pidfile" && s.PID > 0:
		steps = append(steps, "leave the process alone, it is somebody else's: "+p.ShowProcess(s.PID))
	case s.Status == "invalid":
		steps = append(steps, "if the file is broken again after that, find out who writes it: "+p.Quote(s.PIDFile))
	}
	steps = append(steps, "see whether everything else is well: host doctor")
	return &Error{
		Code: StaleProcess, What: fmt.Sprintf("Stale process: the PID file %s names no running host", s.PIDFile), Err: s.Err, At: present(s.At),
		Why: "an earlier host ended without removing its file; that is no reason not to start",
		Details: []Section{
			{"PROCESS DETAILS", []string{"PID: " + pid, "Status: " + strings.TrimSpace(meaning), "PID file: " + s.PIDFile}},
			{"VALIDATION ERRORS", reasons},
		},
		Steps: steps, Context: context,
	}
}
