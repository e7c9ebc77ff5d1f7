package pluginhost

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// held is a plugin's code as it was judged for one start, kept so that what runs
// is what was judged, whatever happens to the files meanwhile:
//
//   - An executable of the plugin's own is held open and executed by its
//     descriptor (Linux). Whoever moves another file into its place, or exchanges
//     a folder above it, exchanges nothing that is run.
//   - What an interpreter runs consists of many files, which the interpreter opens
//     itself, when it likes. Where they are locked they are copied into a private
//     folder while they are read, compared there, and run from there.
//   - What is neither is judged and then run by its path.
type held struct {
	file *os.File // executed by descriptor; nil: by path
	sum  string   // of file; empty: nothing fixes its content
	seen fileIdentity
	// fresh: the file was written just before it was read, so that another write
	// need not show in its times.
	fresh bool
	// borrowed: the file is the pin's, who closes it.
	borrowed bool

	dir string // private copy of the plugin's folder; empty: none
	own string // path of the script in it that is executed; empty: candidate.Path is

	entry *plugintrust.Entry // what is locked; nil: nothing
}

// version that the plugin has to have; empty: any.
func (h *held) version() string {
	if h.entry == nil {
		return ""
	}
	return h.entry.Version
}

// verified says by what the plugin's files were verified; want is the configured
// checksum.
func (h *held) verified(want string) Verified {
	switch {
	case h.entry != nil:
		return VerifiedByLock
	case want != "":
		return VerifiedBySum
	}
	return Unverified
}

// release gives everything back. The plugin's process has ended, or never began.
func (h *held) release() {
	h.close()
	if h.dir != "" {
		_ = os.RemoveAll(h.dir) // what is left is removed at the next start of host
	}
}

// close lets go of the file; what runs from a private copy goes on.
func (h *held) close() {
	if h.file != nil && !h.borrowed {
		_ = h.file.Close()
	}
	h.file = nil
}

// copyPattern makes private copies part of what a start of host sweeps away.
const copyPattern = "plugin-dir-code-*"

// arrange makes spec execute what is held. dir is a private folder of this start.
func (h *held) arrange(spec *child.Spec, dir string) error {
	if h.dir != "" {
		spec.Dir = h.dir
	}
	if h.own != "" {
		spec.Path = h.own
	}
	if h.file == nil {
		return nil
	}
	spec.Argv0 = spec.Path
	spec.ExtraFiles = append(spec.ExtraFiles, h.file)
	descriptor := descriptorFolder + "/" + strconv.Itoa(2+len(spec.ExtraFiles)) // the child's
	// The kernel calls a process by the last part of the path that is executed. A
	// link to the descriptor has a name that people know; its folder is ours.
	link := filepath.Join(dir, "run", filepath.Base(spec.Path))
	err := os.Mkdir(filepath.Dir(link), 0o700)
	if err == nil {
		err = os.Symlink(descriptor, link)
	}
	spec.Path = link
	return err
}

// changed says whether the file that was executed is not the one that was
// judged: nobody can exchange it, but who may write it can write into it until it
// is executed.
func (h *held) changed() (bool, error) {
	if h.file == nil || h.sum == "" {
		return false, nil
	}
	info, err := h.file.Stat()
	if err != nil || !h.fresh && identity(info) == h.seen {
		return false, err
	}
	if _, err := h.file.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	now, err := plugintrust.Sum(h.file)
	return now.SHA256 != h.sum, err
}

// hold judges before a start whether the candidate may be run, and keeps hold of
// what was judged. It looks again at owner, permissions and links, and reads the
// file when it is new or may have changed. want is the configured SHA-256 or
// empty. copies is a private folder; without one nothing is copied, for whoever
// wants the judgement alone. The error is a *LaunchError.
func (p *pin) hold(c Candidate, want string, g *gate, copies string) (*held, error) {
	h, err := p.keep(c, want, g, copies)
	if err == nil {
		return h, nil
	}
	h.release()
	e := &LaunchError{Plugin: c.Name, Err: err, Remedy: "let the user that runs host read it"}
	var hinter interface{ Hint() string }
	var copying *copyError
	switch {
	case errors.As(err, &hinter):
		e.Remedy = hinter.Hint()
	case errors.Is(err, errChanged):
		e.Remedy = "reload the plugin to run the new file: host plugins reload " + c.Name
	case errors.As(err, &copying):
		e.again, e.ours = true, true
		e.Remedy = "see whether the state directory's disk is full (df) or host is out of file descriptors (ulimit -n)"
	}
	return nil, e
}

// copyError: the private copy could not be made, which is not the plugin's fault.
type copyError struct{ err error }

func (e *copyError) Error() string { return "no private copy of it could be made: " + e.err.Error() }
func (e *copyError) Unwrap() error { return e.err }

func (p *pin) keep(c Candidate, want string, g *gate, copies string) (h *held, err error) {
	h = &held{}
	if err := c.stillTrusted(); err != nil {
		return h, err
	}
	state, err := g.read()
	if err != nil {
		return h, err
	}
	if h.entry, err = state.Entry(c.Name); err != nil {
		return h, err
	}
	if c.file == "" {
		return h, h.folder(c, copies)
	}
	file, info, err := plugintrust.Open(c.file)
	if err != nil {
		return h, err
	}
	h.file = file
	script := c.Path != c.file || isScript(file)
	if h.entry != nil || want != "" || !p.putOff(file, info) {
		if err = h.compare(p, c, script, info, want, copies); err != nil {
			return h, err
		}
	}
	h.borrowed = p.file == file
	if script || !byDescriptor() {
		h.close()
	}
	return h, nil
}

// putOff says whether the content of the file need not be read now: it is the
// one that was seen last, or the first one, which the pin then keeps open.
func (p *pin) putOff(file *os.File, info fs.FileInfo) bool {
	id := identity(info)
	if p.last == (fileIdentity{}) {
		p.last, p.file = id, file
		return true
	}
	return id == p.last
}

// compare reads the file and holds it, and what belongs to it, against whatever
// fixes its content: the configured checksum, the lock, and the first start.
func (h *held) compare(p *pin, c Candidate, script bool, info fs.FileInfo, want, copies string) error {
	id, sum := identity(info), ""
	p.settle()
	if id == p.last {
		sum = p.sum
	}
	if sum == "" {
		var err error
		if sum, err = sumOf(h.file); err != nil {
			return err
		}
	}
	if want != "" && sum != want {
		return &plugintrust.Refusal{
			Reason: fmt.Sprintf("its SHA-256 is %s, but %s is configured", sum, want),
			Remedy: "install the file that was meant, or correct sha256",
		}
	}
	var err error
	switch {
	case h.entry == nil:
	case script && c.Folder == c.root:
		err = h.script(c, sum, copies)
	case script:
		err = h.folder(c, copies)
	default:
		err = h.entry.Compare(c.files(plugintrust.File{SHA256: sum, Size: info.Size()}))
	}
	switch {
	case err != nil:
		return err
	case p.last != (fileIdentity{}) && sum != p.sum:
		return errChanged
	}
	p.sum, p.last = sum, id
	h.sum, h.seen, h.fresh = sum, id, time.Since(id.changed).Abs() < freshness
	return nil
}

// freshness is far more than file systems take to tell two times apart.
const freshness = time.Second

// stillTrusted judges again what Discover judged.
func (c Candidate) stillTrusted() error {
	_, refusal := trusted(c)
	if refusal == nil && c.file != "" {
		var path string
		if path, refusal = inside(c.root, c.file); refusal == nil && path != c.file {
			refusal = &distrust{"its file was replaced by a link", "put the file back, or restart host after the change"}
		}
	}
	if refusal != nil {
		return &plugintrust.Refusal{Reason: refusal.reason, Remedy: refusal.remedy}
	}
	return nil
}

// files of a plugin that is one executable, with its plugin.json if it has one.
func (c Candidate) files(executable plugintrust.File) map[string]plugintrust.File {
	own, err := filepath.Rel(c.Folder, c.file)
	if err != nil {
		own = filepath.Base(c.file)
	}
	files := map[string]plugintrust.File{filepath.ToSlash(own): executable}
	if c.manifest != (plugintrust.File{}) {
		files[manifestName] = c.manifest
	}
	return files
}

// folder copies and compares the whole folder of an interpreted plugin.
func (h *held) folder(c Candidate, copies string) error {
	if h.entry == nil {
		return nil
	}
	if err := h.makeDir(copies); err != nil {
		return err
	}
	files, err := plugintrust.Folder{Path: c.Folder}.Read(h.dir)
	if err != nil {
		return copying(err)
	}
	if err := h.entry.Compare(files); err != nil {
		return err
	}
	if files[manifestName] != c.manifest { // the lock fits, but the command comes from another one
		return &plugintrust.Refusal{Reason: manifestName + " has changed since host read it", Remedy: "restart host, or reload the plugin, to use the new one"}
	}
	return h.runCopy(c)
}

// script copies and compares a script that lies in the plugin directory itself.
func (h *held) script(c Candidate, sum, copies string) error {
	if err := h.makeDir(copies); err != nil {
		return err
	}
	text := io.NewSectionReader(h.file, 0, maxScriptBytes+1)
	into := io.Discard
	if h.dir != "" {
		out, err := os.OpenFile(filepath.Join(h.dir, filepath.Base(c.file)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
		if err != nil {
			return &copyError{err}
		}
		defer out.Close()
		into = out
	}
	found, err := plugintrust.Sum(io.TeeReader(text, into))
	switch {
	case err != nil:
		return copying(err)
	case found.Size > maxScriptBytes:
		return fmt.Errorf("it is a script of more than %d MiB", maxScriptBytes>>20)
	case found.SHA256 != sum:
		return &plugintrust.Refusal{Reason: "it was changed while it was read", Remedy: "release the plugin once the file is complete"}
	}
	if err := h.entry.Compare(c.files(found)); err != nil {
		return err
	}
	return h.runCopy(c)
}

// maxScriptBytes bounds a script that is no folder.
const maxScriptBytes = 16 << 20

func (h *held) makeDir(copies string) (err error) {
	if copies == "" {
		return nil
	}
	if h.dir, err = os.MkdirTemp(copies, copyPattern); err != nil {
		return &copyError{err}
	}
	return nil
}

// runCopy has the copy executed where the plugin's own script would be.
func (h *held) runCopy(c Candidate) error {
	if h.dir == "" || c.Path != c.file {
		return nil // an interpreter's arguments are relative to the folder
	}
	own, err := filepath.Rel(c.Folder, c.file)
	if err != nil {
		return err
	}
	h.own = filepath.Join(h.dir, own)
	return nil
}

// copying tells what is wrong with the plugin from what is wrong with the copy.
func copying(err error) error {
	if _, refused := errors.AsType[*plugintrust.Refusal](err); refused {
		return err
	}
	return &copyError{err}
}
