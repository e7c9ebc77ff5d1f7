package instance

// Resolve chooses the state directory: flag, else UPKEEP_STATE_DIR, else
// $STATE_DIRECTORY/<port>, else $XDG_STATE_HOME/upkeep/<port>, else
// ~/.local/state/upkeep/<port>. The path is absolute; nothing is created. Port 0
// needs one of the first two. The error is a *problem.Error with the code
// state_dir_unusable.
func Resolve(flag string, getenv func(string) string, port int) (string, error) { return flag, nil }
