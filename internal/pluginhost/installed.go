package pluginhost

import (
	"io"
	"os"
	"path/filepath"
	"reflect"

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// installed is a plugin as it lies on disk, with what is known of its file
// since the first start.
type installed struct {
	candidate Candidate
	pin       pin
}

// anew looks at the disk again and forgets the pin. When the plugin is not there
// any more, or may not be run, the next start says so.
func (f *installed) anew() *installed {
	f.pin.forget()
	if c, refusal, _ := lookUp(f.candidate.root, f.candidate.Name); refusal == nil {
		return &installed{candidate: c}
	}
	return &installed{candidate: f.candidate}
}

// runs says whether c is what was started, as far as its content goes.
func (f *installed) runs(c Candidate) bool {
	was := f.candidate
	if was.Path != c.Path || was.file != c.file || was.SHA256 != c.SHA256 || was.Description != c.Description ||
		!reflect.DeepEqual(was.Args, c.Args) || !reflect.DeepEqual(was.Config, c.Config) {
		return false
	}
	if c.file == "" {
		return true
	}
	first := f.pin.sum
	if first == "" && f.pin.file != nil {
		first, _ = sumOf(io.NewSectionReader(f.pin.file, 0, f.pin.last.size)) // closed meanwhile: it is not the same
	}
	sum, err := fileSum(c.file)
	return err == nil && sum == first
}

// look is what can be seen of a plugin without reading its file.
type look struct {
	path           string
	file, manifest fileIdentity
	lock, signed   fileIdentity // of the plugin directory: a new lock may let it run
}

// lookAt sees what is at the candidate's paths now; what is missing has no identity.
func lookAt(c Candidate) look {
	l := look{path: c.Path}
	if info, err := os.Stat(c.file); err == nil {
		l.file = identity(info)
	}
	if info, err := os.Stat(filepath.Join(c.Folder, manifestName)); err == nil && c.Folder != c.root {
		l.manifest = identity(info)
	}
	if info, err := os.Stat(filepath.Join(c.root, plugintrust.LockName)); err == nil {
		l.lock = identity(info)
	}
	if info, err := os.Stat(filepath.Join(c.root, plugintrust.SignatureName)); err == nil {
		l.signed = identity(info)
	}
	return l
}
