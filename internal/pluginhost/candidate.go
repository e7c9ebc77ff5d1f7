package pluginhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// Candidate is a plugin that was found and may be started.
type Candidate struct {
	// Name of the plugin: of its folder, or of its file without ".exe".
	Name string
	// Path of the executable, absolute, links resolved. For an interpreted
	// plugin this is the interpreter.
	Path string
	// Args of the executable, without its own name.
	Args []string
	// Interpreter runs the plugin's script, as its "#!" line or plugin.json names
	// it; empty for a plugin that needs none. It is not part of the plugin.
	Interpreter string
	// Folder in which the plugin runs.
	Folder string
	// Description and Config come from plugin.json; both may be empty.
	Description string
	Config      map[string]any
	// SHA256 in lower-case hexadecimal pins the plugin's file; empty: not pinned.
	SHA256 string
	// Warnings are one sentence each: what is allowed but not wise.
	Warnings []string

	// file is what belongs to the plugin itself and is checked before each
	// start: the executable, or the script that an interpreter runs. It is
	// empty for a command that is not in the folder and has no script.
	file string
	root string
	// manifest is the plugin.json that was read; zero: there is none.
	manifest plugintrust.File
}

// Skipped is an entry of the plugin directory that will not be started.
type Skipped struct {
	// Name of the entry as it is on disk.
	Name string
	// Reason says what is wrong with it.
	Reason string
	// Remedy is one imperative sentence.
	Remedy string
}

// DirectoryError says why a plugin directory cannot be used at all.
type DirectoryError struct {
	Dir    string
	Err    error
	Remedy string
}

func (e *DirectoryError) Error() string { return fmt.Sprintf("plugin directory %s: %v", e.Dir, e.Err) }

// Unwrap gives the cause, for example fs.ErrNotExist.
func (e *DirectoryError) Unwrap() error { return e.Err }

// Hint is one imperative sentence for the operator.
func (e *DirectoryError) Hint() string { return e.Remedy }

var pluginName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// manifestName is the optional description beside a plugin's executable.
const manifestName = "plugin.json"

// trustFiles of the plugin directory are no plugins.
var trustFiles = []string{plugintrust.LockName, plugintrust.SignatureName}

// Discover looks for plugins in dir: DIR/<name>/<name>, with a plugin.json
// beside it if it likes, or an executable file DIR/<name>. On Windows
// executables end in ".exe". Both lists are sorted by name. Hidden entries are
// ignored; every other entry is either found or skipped with a reason. Only a
// directory that cannot be used as a whole is an error, a *DirectoryError. An
// empty directory is no error. Nothing is started.
func Discover(dir string) (found []Candidate, skipped []Skipped, err error) {
	root, err := resolve(dir)
	if err != nil {
		return nil, nil, err
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, nil, &DirectoryError{dir, pathCause(err), "let the user that runs host read it"}
	}
	if !info.IsDir() {
		return nil, nil, &DirectoryError{dir, errors.New("is not a directory"), "name the directory that holds the plugins with --plugins DIR"}
	}
	if _, refusal := trust(root, info); refusal != nil {
		return nil, nil, &DirectoryError{dir, errors.New(refusal.reason), refusal.remedy}
	}
	entries, err := os.ReadDir(root) // sorted by name
	if err != nil {
		return nil, nil, &DirectoryError{dir, pathCause(err), "let the user that runs host read it"}
	}
	names := map[string]bool{}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || slices.Contains(trustFiles, entry.Name()) {
			continue
		}
		c, refusal := examine(root, entry.Name())
		if refusal == nil && names[c.Name] {
			refusal = &distrust{fmt.Sprintf("another entry is already the plugin %q", c.Name), "keep one of the two"}
		}
		if refusal != nil {
			skipped = append(skipped, Skipped{Name: entry.Name(), Reason: refusal.reason, Remedy: refusal.remedy})
			continue
		}
		names[c.Name] = true
		found = append(found, c)
	}
	return found, skipped, nil
}

// resolve gives the absolute path of a plugin directory, links resolved.
func resolve(dir string) (root string, err error) {
	root, err = filepath.Abs(dir)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return "", &DirectoryError{dir, pathCause(err), "create the directory, or name another one with --plugins DIR"}
	}
	return root, nil
}

// lookUp looks again at the plugin of that name in the resolved plugin
// directory. present is false when there is no entry of that name at all.
func lookUp(root, name string) (c Candidate, refusal *distrust, present bool) {
	entries := []string{name}
	if executableSuffix != "" {
		entries = append(entries, name+executableSuffix)
	}
	for _, entry := range entries {
		if _, err := os.Lstat(filepath.Join(root, entry)); err == nil {
			c, refusal = examine(root, entry)
			return c, refusal, true
		}
	}
	return Candidate{}, &distrust{"is not in the plugin directory any more", "put it back"}, false
}

// distrust is why something on disk is not run.
type distrust struct{ reason, remedy string }

// pathCause drops the path that *fs.PathError repeats.
func pathCause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// examine looks at one entry of the resolved plugin directory.
func examine(root, entry string) (Candidate, *distrust) {
	name := strings.TrimSuffix(entry, executableSuffix)
	if !pluginName.MatchString(name) {
		return Candidate{}, &distrust{"its name is none for a plugin", "use letters, digits, '.', '_' and '-', at most 64"}
	}
	path, refusal := inside(root, filepath.Join(root, entry))
	if refusal != nil {
		return Candidate{}, refusal
	}
	info, err := os.Stat(path)
	if err != nil {
		return Candidate{}, &distrust{pathCause(err).Error(), "let the user that runs host read it"}
	}
	c := Candidate{Name: name, Path: path, Folder: filepath.Dir(path), file: path, root: root}
	switch {
	case info.IsDir():
		c.Name = entry
		return examineFolder(c, path)
	case !info.Mode().IsRegular():
		return Candidate{}, &distrust{"is no regular file (" + plugintrust.KindOf(info.Mode()) + ")", "remove it from the plugin directory"}
	case !executable(path, info):
		return Candidate{}, &distrust{"is not executable", notExecutableRemedy(path)}
	}
	return ownScript(c)
}

func examineFolder(c Candidate, folder string) (Candidate, *distrust) {
	c.Folder, c.file = folder, ""
	if _, refusal := trusted(c); refusal != nil { // before anything in it is read
		return Candidate{}, refusal
	}
	m, warning, refusal := readManifest(c.root, folder)
	if refusal != nil {
		return Candidate{}, refusal
	}
	if warning != "" {
		c.Warnings = append(c.Warnings, warning)
	}
	c.Description, c.Config, c.SHA256, c.Args, c.manifest = m.Description, m.Config, m.SHA256, m.Args, m.file
	if m.Command != "" {
		return examineCommand(c, m.Command)
	}
	path := filepath.Join(folder, c.Name+executableSuffix)
	if _, err := os.Lstat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Candidate{}, &distrust{"not built: it holds no executable " + filepath.Base(path), "run make"}
		}
		return Candidate{}, &distrust{pathCause(err).Error(), "let the user that runs host read it"}
	}
	path, refusal = inside(folder, path)
	if refusal != nil {
		return Candidate{}, refusal
	}
	return ownFile(c, path)
}

// ownFile makes path, a file of the plugin's folder, what is run.
func ownFile(c Candidate, path string) (Candidate, *distrust) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Candidate{}, &distrust{pathCause(err).Error(), "let the user that runs host read it"}
	case info.IsDir() || !info.Mode().IsRegular():
		return Candidate{}, &distrust{filepath.Base(path) + " is no regular file (" + plugintrust.KindOf(info.Mode()) + ")", "put the executable in its place"}
	case !executable(path, info):
		return Candidate{}, &distrust{"is not executable", notExecutableRemedy(path)}
	}
	c.Path, c.file = path, path
	return ownScript(c)
}

// examineCommand resolves the command of a plugin.json: a file of the folder
// when it has a path separator, else a program on PATH whose first argument
// that is a file of the folder is the script.
func examineCommand(c Candidate, command string) (Candidate, *distrust) {
	if strings.ContainsAny(command, `/\`) && !filepath.IsAbs(command) {
		path, refusal := inside(c.Folder, filepath.Join(c.Folder, filepath.FromSlash(command)))
		if refusal != nil {
			return Candidate{}, refusal
		}
		return ownFile(c, path)
	}
	path, err := exec.LookPath(command)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return Candidate{}, &distrust{
			fmt.Sprintf("%s names the command %q, which is not on PATH", manifestName, command), "install it, or correct the command"}
	}
	c.Path = path
	if refusal := c.interpretedBy(path); refusal != nil {
		return Candidate{}, refusal
	}
	for _, arg := range c.Args {
		script, refusal := inside(c.Folder, filepath.Join(c.Folder, filepath.FromSlash(arg)))
		if refusal != nil || filepath.IsAbs(arg) {
			continue
		}
		if info, err := os.Stat(script); err == nil && info.Mode().IsRegular() {
			c.file = script
			break
		}
	}
	if c.SHA256 != "" && c.file == "" {
		return Candidate{}, &distrust{manifestName + " pins a SHA-256, but no argument of its command is a file of the folder",
			"name the script among args, or remove sha256"}
	}
	return trusted(c)
}

// trusted completes a candidate when nobody else may exchange what would be
// run: it judges the plugin's file and every folder from there up to the plugin
// directory.
func trusted(c Candidate) (Candidate, *distrust) {
	path := c.file
	if path == "" {
		path = c.Folder
	}
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return Candidate{}, &distrust{pathCause(err).Error() + ": " + path, "put it back, or let the user that runs host read it"}
		}
		warning, refusal := trust(path, info)
		if refusal != nil {
			return Candidate{}, refusal
		}
		if warning != "" {
			c.Warnings = append(c.Warnings, warning)
		}
		if path == c.root || path == filepath.Dir(path) {
			return c, nil
		}
	}
}

// inside resolves the links of path, which must stay below folder.
func inside(folder, path string) (string, *distrust) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", &distrust{"cannot be resolved: " + pathCause(err).Error(), "mend or remove the link"}
	}
	rel, err := filepath.Rel(folder, resolved)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", &distrust{fmt.Sprintf("links to %s, outside of its folder", resolved), "copy the file into the folder instead of linking to it"}
	}
	return resolved, nil
}

// trust judges owner and permissions of a file or folder. It gives a warning,
// or the reason why nothing in there is run.
func trust(path string, info fs.FileInfo) (warning string, refusal *distrust) {
	warning, bad := plugintrust.Judge(path, info)
	if bad != nil {
		return "", &distrust{bad.Reason, bad.Remedy}
	}
	return warning, nil
}
