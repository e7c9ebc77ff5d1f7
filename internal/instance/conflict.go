package instance

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
)

// conflict is the problem of a second host. holder is nil when nobody could be
// proved to be the first; then no process id is named, so that no advice can
// hit a stranger.
func conflict(dir string, port int, holder *Info) error {
	lock := filepath.Join(dir, lockName)
	beside := "or run beside it, with a port and a directory of its own: host --port PORT --state-dir DIR"
	context := map[string]any{
		"port": port, "state_dir": dir, "existing_pid": nil, "existing_server_id": nil, "process_info": nil, "pidfile_path": nil,
	}
	if holder == nil {
		return &problem.Error{
			Code: problem.DaemonConflict, What: "another host (unknown) runs on the state directory " + dir,
			Why: fmt.Sprintf("it holds the lock %s, and no PID file says who it is: it may be just starting or just ending", lock),
			Steps: []string{
				"try again in a few seconds",
				fmt.Sprintf("see who holds the lock: fuser -v %s", lock),
				beside,
			},
			Context: context,
		}
	}
	context["existing_pid"], context["existing_server_id"] = holder.PID, holder.ServerID
	context["process_info"], context["pidfile_path"] = holder.ProcessInfo, holder.path
	why := fmt.Sprintf("it holds the lock %s", lock)
	if !holder.Legacy {
		why += fmt.Sprintf("\nserver %q, version %q, on %s port %d, since %s",
			holder.ServerID, holder.ServerVersion, holder.Host, holder.Port, holder.StartTime.UTC().Format(time.RFC3339))
	}
	return &problem.Error{
		Code: problem.DaemonConflict, What: fmt.Sprintf("another host (pid %d) runs on the state directory %s", holder.PID, dir),
		Why: why,
		Steps: []string{
			"use it: nothing needs to be started",
			"or stop it: " + stopCommand(holder.PID),
			beside,
		},
		Context: context,
	}
}
