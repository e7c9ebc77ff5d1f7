package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
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
	hash := sha256.New()
	if _, err := io.Copy(hash, content); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// fileSum is the SHA-256 of a file in lower-case hexadecimal.
func fileSum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return sumOf(file)
}

// errChanged: the file is not the one that was started first.
var errChanged = errors.New("its file has changed since host started it")

// verify checks before each start that the candidate may still be run. It
// looks again at owner, permissions and links, and reads the file when it is
// new or may have changed. Between this check and the start only those who may
// write to the folder can exchange the file, and they are trusted. want is the configured SHA-256 or empty.
func (p *pin) verify(c Candidate, want string) error {
	refuse := func(err error, remedy string) error { return &LaunchError{Plugin: c.Name, Err: err, Remedy: remedy} }
	_, refusal := trusted(c)
	if path, bad := inside(c.root, c.file); refusal == nil && c.file != "" {
		if refusal = bad; bad == nil && path != c.file {
			refusal = &distrust{"its file was replaced by a link", "put the file back, or restart host after the change"}
		}
	}
	if refusal != nil {
		return refuse(errors.New(refusal.reason), refusal.remedy)
	}
	if c.file == "" {
		return nil
	}
	file, err := os.Open(c.file)
	if err != nil {
		return refuse(err, "let the user that runs host read it")
	}
	keep := false
	defer func() {
		if !keep {
			_ = file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return refuse(err, "let the user that runs host read it")
	}
	if !info.Mode().IsRegular() {
		return refuse(errors.New("its file is no regular file any more"), "put the plugin back, then release it")
	}
	id := identity(info)
	if id == p.last {
		return nil
	}
	if want == "" && p.last == (fileIdentity{}) {
		p.last, p.file, keep = id, file, true
		return nil
	}
	p.settle()
	sum, err := sumOf(file)
	if err != nil {
		return refuse(err, "let the user that runs host read it")
	}
	switch {
	case want != "" && sum != want:
		return refuse(fmt.Errorf("its SHA-256 is %s, but %s is configured", sum, want),
			"install the file that was meant, or correct sha256")
	case p.last != (fileIdentity{}) && sum != p.sum:
		return refuse(errChanged, "reload the plugin to run the new file: host plugins reload "+c.Name)
	}
	p.sum, p.last = sum, id
	return nil
}
