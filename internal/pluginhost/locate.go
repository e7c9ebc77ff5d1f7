package pluginhost

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/upkeephub/upkeep/internal/child"
)

// Locate finds one plugin by the path of its folder or of its executable, by
// the same rules as Discover. A *DirectoryError says why the folder around it
// cannot be used, a *LaunchError why the plugin itself would be skipped.
func Locate(path string) (Candidate, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return Candidate{}, &LaunchError{Plugin: path, Err: err, Remedy: "give the plugin's folder or its executable"}
	}
	info, err := os.Stat(full)
	if err != nil {
		return Candidate{}, &LaunchError{Plugin: path, Err: pathCause(err), Remedy: "give the plugin's folder or its executable"}
	}
	dir, entry := filepath.Dir(full), filepath.Base(full)
	if !info.IsDir() && entry == filepath.Base(dir)+executableSuffix { // DIR/name/name: its plugin.json counts
		dir, entry = filepath.Dir(dir), filepath.Base(dir)
	}
	found, skipped, err := Discover(dir)
	if err != nil {
		return Candidate{}, err
	}
	for _, s := range skipped {
		if s.Name == entry {
			return Candidate{}, &LaunchError{Plugin: path, Err: fmt.Errorf("it would be skipped: %s", s.Reason), Remedy: s.Remedy}
		}
	}
	for _, c := range found {
		if c.Name == entry || c.Name+executableSuffix == entry {
			return c, nil
		}
	}
	return Candidate{}, &LaunchError{Plugin: path, Err: fmt.Errorf("there is no plugin %s in %s", entry, dir), Remedy: "give the plugin's folder or its executable"}
}

// Spec is how host starts the plugin: its command, its folder, and of environ
// only what plugins inherit. The handshake's variables are not in it.
func (c Candidate) Spec(environ []string) child.Spec {
	return child.Spec{Name: c.Name, Path: c.Path, Args: c.Args, Dir: c.Folder, Env: cleanEnviron(environ, nil, "")}
}
