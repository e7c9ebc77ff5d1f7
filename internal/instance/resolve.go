package instance

import (
	"path/filepath"
	"strconv"

	"github.com/upkeephub/upkeep/core/problem"
)

// Resolve chooses the state directory: flag, else UPKEEP_STATE_DIR, else
// $STATE_DIRECTORY/<port> (of which systemd may give several, joined by colons:
// the first counts), else $XDG_STATE_HOME/upkeep/<port>, else
// ~/.local/state/upkeep/<port>. The path is absolute; nothing is created. Port 0
// needs one of the first two, since nobody would find the directory again. The
// error is a *problem.Error with the code state_dir_unusable.
func Resolve(flag string, getenv func(string) string, port int) (string, error) {
	for _, given := range []string{flag, getenv("UPKEEP_STATE_DIR")} {
		if given != "" {
			dir, err := filepath.Abs(given)
			if err != nil {
				return "", unusable(given, "the working directory is gone: "+err.Error(), err, "name the directory by its full path: --state-dir /PATH")
			}
			return dir, nil
		}
	}
	if port == 0 {
		return "", &problem.Error{
			Code: problem.StateDirUnusable, What: "there is no state directory for port 0",
			Why:   "a directory is chosen by the port, and port 0 lets the kernel choose that",
			Steps: []string{"name a directory: --state-dir DIR"},
		}
	}
	number := strconv.Itoa(port)
	if dirs := filepath.SplitList(getenv("STATE_DIRECTORY")); len(dirs) > 0 && filepath.IsAbs(dirs[0]) {
		return filepath.Join(dirs[0], number), nil
	}
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) { // relative ones are to be ignored, its specification says
		return filepath.Join(base, "upkeep", number), nil
	}
	for _, name := range []string{"HOME", "USERPROFILE"} {
		if home := getenv(name); filepath.IsAbs(home) {
			return filepath.Join(home, ".local", "state", "upkeep", number), nil
		}
	}
	return "", &problem.Error{
		Code: problem.StateDirUnusable, What: "there is no state directory",
		Why:   "none of UPKEEP_STATE_DIR, STATE_DIRECTORY, XDG_STATE_HOME and HOME names one",
		Steps: []string{"name a directory: --state-dir DIR"},
	}
}
