package pluginhost

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// fileIdentity tells whether a file may have changed since it was last read.
type fileIdentity struct {
	device, inode     uint64
	size              int64
	modified, changed time.Time
}

// pin remembers the content of a plugin's file from its first start on, so
// that what is exchanged under a running host is not picked up by a restart.
type pin struct {
	sum  string // as found at the first start, or as configured; empty: not read yet
	last fileIdentity
	// file is that of the first start, open until its content has been read:
	// reading it then, where nothing is configured, would make a hundred starts
	// at once a second slower.
	file *os.File
}

// settle reads the content of the first start's file, if that was put off. It
// blocks for some ten milliseconds.
func (p *pin) settle() {
	if p.file == nil {
		return
	}
	if sum, err := sumOf(io.NewSectionReader(p.file, 0, p.last.size)); err == nil {
		p.sum = sum
	}
	p.forget()
}

// forget lets go of what is open.
func (p *pin) forget() {
	if p.file != nil {
		_ = p.file.Close()
		p.file = nil
	}
}

func sumOf(content io.Reader) (string, error) {
	f, err := plugintrust.Sum(content)
	return f.SHA256, err
}

// fileSum is the SHA-256 of a file in lower-case hexadecimal.
func fileSum(path string) (string, error) {
	file, _, err := plugintrust.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return sumOf(file)
}

// errChanged: the file is not the one that was started first.
var errChanged = errors.New("its file has changed since host started it")

// Verify judges, as before a start, whether the plugin may be run: owner,
// permissions and links of its files and folders, their checksums where
// plugin.json or the lock of the directory fixes them, and the lock's signature
// where policy asks for one. It reads the files and starts nothing. locked says
// that it is what the lock says. The error is nil or a *LaunchError.
func (c Candidate) Verify(policy plugintrust.Policy) (locked bool, err error) {
	policy.Dir = c.root
	var p pin
	defer p.forget()
	h, err := p.hold(c, c.SHA256, &gate{policy: policy}, "")
	if err != nil {
		return false, err
	}
	defer h.release()
	return h.entry != nil, nil
}

// Measure gives the files that a lock has for the plugin. An executable is
// locked with its plugin.json. Where an interpreter runs a file of the folder, or
// plugin.json names a command that is no file of it, the whole folder is.
func (c Candidate) Measure() (map[string]plugintrust.File, error) {
	if err := c.stillTrusted(); err != nil {
		return nil, err
	}
	folder := plugintrust.Folder{Path: c.Folder}
	if c.file == "" {
		return folder.Read("")
	}
	file, _, err := plugintrust.Open(c.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if c.Folder != c.root && (c.Path != c.file || isScript(file)) {
		return folder.Read("")
	}
	sum, err := plugintrust.Sum(file)
	if err != nil {
		return nil, err
	}
	return c.files(sum), nil
}
