package instance

import (
	"path/filepath"

	"github.com/upkeephub/upkeep/core/problem"
)

// conflict is the problem of a second host. holder is nil when nobody could be
// proved to be the first; then no process id is named, so that no advice can
// hit a stranger.
func conflict(dir string, port int, holder *Info) error {
	d := problem.Daemon{StateDir: dir, Lock: filepath.Join(dir, lockName), Port: port}
	if holder != nil {
		d.Process = Look(holder.PID)
		d.PIDFile = holder.path
		if !holder.Legacy {
			d.ServerID, d.ServerVersion = holder.ServerID, holder.ServerVersion
			d.ServerHost, d.ServerPort = holder.Host, holder.Port
			d.Process.Started = holder.StartTime
		}
	}
	return problem.NewDaemonConflict(problem.Here(), d)
}

// Problem explains it to people; its code is stale_process. It is no reason not
// to start.
func (e *StaleError) Problem() *problem.Error {
	return problem.NewStaleProcess(problem.Here(), problem.Stale{
		PID: e.PID, PIDFile: e.Path, Status: string(e.Status), Reasons: e.Reasons, Err: e,
	})
}
