package plugintrust

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Bounds of a folder that is locked as a whole.
const (
	maxFiles = 20_000
	maxBytes = 512 << 20
)

// Folder is a plugin's folder that is locked with every file in it.
type Folder struct {
	// Path is absolute, with its links resolved.
	Path string
}

// Read gives every file of the folder, with the folders below, by path with
// slashes. Each is judged by Judge; links have to be relative and to stay within
// the folder. When to is not empty, what is read is copied there as it is read,
// so that what is compared afterwards is what can be run: to is a new private
// folder (mode 0700) of the caller's. The error is a *Refusal, or that of a copy
// that could not be written.
func (f Folder) Read(to string) (map[string]File, error) {
	root, err := os.OpenRoot(f.Path)
	if err != nil {
		return nil, &Refusal{cause(err).Error() + ": " + f.Path, "let the user that runs host read it"}
	}
	defer func() { _ = root.Close() }()
	r := folderReader{root: root, path: f.Path, found: map[string]File{}}
	if to != "" {
		if r.to, err = os.OpenRoot(to); err != nil {
			return nil, fmt.Errorf("make a private copy of the plugin: %w", err)
		}
		defer func() { _ = r.to.Close() }()
	}
	if err := fs.WalkDir(root.FS(), ".", r.entry); err != nil {
		return nil, err
	}
	return r.found, nil
}

type folderReader struct {
	root  *os.Root
	path  string
	to    *os.Root // nil: no copy is made
	found map[string]File
	bytes int64
}

func (r *folderReader) entry(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return r.refuse(name, cause(err).Error(), "let the user that runs host read it")
	}
	if name == "." {
		return nil // judged by whoever found the folder
	}
	if len(r.found) >= maxFiles {
		return &Refusal{fmt.Sprintf("its folder %s has more than %d files", r.path, maxFiles), "keep only what the plugin needs in its folder"}
	}
	if d.Type()&fs.ModeSymlink != 0 {
		return r.link(name)
	}
	info, err := d.Info()
	if err != nil {
		return r.refuse(name, cause(err).Error(), "put it back, or let the user that runs host read it")
	}
	switch {
	case !d.IsDir() && !info.Mode().IsRegular():
		return r.refuse(name, "is no regular file ("+KindOf(info.Mode())+")", "remove it from the plugin's folder")
	case !d.IsDir():
		return r.file(name)
	}
	if _, refusal := Judge(r.full(name), info); refusal != nil {
		return refusal
	}
	if r.to != nil {
		return copied(r.to.Mkdir(name, 0o700))
	}
	return nil
}

func (r *folderReader) full(name string) string {
	return filepath.Join(r.path, filepath.FromSlash(name))
}

func (r *folderReader) file(name string) error {
	in, err := r.root.OpenFile(name, os.O_RDONLY|openAtOnce, 0)
	if err != nil {
		return r.refuse(name, cause(err).Error(), "let the user that runs host read it")
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return r.refuse(name, "is no regular file any more", "remove it from the plugin's folder")
	}
	if _, refusal := Judge(r.full(name), info); refusal != nil {
		return refusal
	}
	hash := sha256.New()
	sink := io.Writer(hash)
	var out *os.File
	if r.to != nil {
		mode := fs.FileMode(0o600)
		if info.Mode()&0o111 != 0 {
			mode = 0o700
		}
		if out, err = r.to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode); err != nil {
			return copied(err)
		}
		sink = io.MultiWriter(hash, out)
	}
	n, err := io.Copy(sink, io.LimitReader(in, maxBytes-r.bytes+1))
	if out != nil {
		// Interpreters compare this time with that in their caches.
		err = errors.Join(err, out.Close(), r.to.Chtimes(name, info.ModTime(), info.ModTime()))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", r.full(name), err)
	}
	if r.bytes += n; r.bytes > maxBytes {
		return &Refusal{fmt.Sprintf("its folder %s has more than %d MiB", r.path, maxBytes>>20), "keep only what the plugin needs in its folder"}
	}
	r.found[name] = File{SHA256: hex.EncodeToString(hash.Sum(nil)), Size: n}
	return nil
}

func (r *folderReader) link(name string) error {
	target, err := r.root.Readlink(name)
	if err != nil {
		return r.refuse(name, cause(err).Error(), "put it back, or let the user that runs host read it")
	}
	const remedy = "copy the file into the folder instead of linking to it, or make the link relative"
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(filepath.FromSlash(name)), target)) {
		return r.refuse(name, "links to "+target+", outside of its folder", remedy)
	}
	if _, err := r.root.Stat(name); err != nil { // also that of a loop, and of a way out by several links
		return r.refuse(name, "links to "+target+", which cannot be reached: "+cause(err).Error(), "mend or remove the link")
	}
	r.found[name] = File{Link: filepath.ToSlash(target)}
	if r.to != nil {
		return copied(r.to.Symlink(target, name))
	}
	return nil
}

func (r *folderReader) refuse(name, reason, remedy string) error {
	return &Refusal{path.Join(filepath.ToSlash(filepath.Base(r.path)), name) + " " + reason, remedy}
}

func copied(err error) error {
	if err != nil {
		return fmt.Errorf("make a private copy of the plugin: %w", err)
	}
	return nil
}

// Sum gives size and SHA-256 of what is left to read.
func Sum(r io.Reader) (File, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	return File{SHA256: hex.EncodeToString(hash.Sum(nil)), Size: n}, err
}
