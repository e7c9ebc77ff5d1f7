package plugintrust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Policy is what is asked of a plugin directory. Its zero value, but for Dir,
// asks nothing, and takes a lock that is there seriously.
type Policy struct {
	// Dir is the plugin directory.
	Dir string
	// RequireChecksums: nothing is run without a lock.
	RequireChecksums bool
	// Keys, one of which must have signed the lock; none: no signature is asked
	// for. With keys a lock is required.
	Keys []PublicKey
}

// State is what was found in the directory.
type State struct {
	// Locked: there is a lock, and it may be believed. Lock is its content.
	Locked bool
	Lock   Lock
	// SignedBy is the fingerprint of the key whose signature was verified; empty:
	// no signature was asked for.
	SignedBy string
	// Unverified: there is a signature, and no key to verify it with.
	Unverified bool
	// Warnings are one sentence each: what is allowed but not wise.
	Warnings []string
}

// Read reads the lock and its signature. The error is a *Refusal: nothing in the
// directory may be run. Without a lock that is asked for the state is zero.
func (p Policy) Read() (State, error) {
	text, warning, err := readTrusted(p.Dir, LockName, maxLockBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(p.Keys) > 0:
		return State{}, &Refusal{"there is no " + LockName + " in " + p.Dir + ", and one signed by a trusted key is required",
			"lock and sign what is there: host plugins lock, then host plugins sign --key FILE"}
	case errors.Is(err, fs.ErrNotExist) && p.RequireChecksums:
		return State{}, &Refusal{"there is no " + LockName + " in " + p.Dir + ", and checksums are required", "lock what is there: host plugins lock"}
	case errors.Is(err, fs.ErrNotExist):
		return State{}, nil
	case err != nil:
		return State{}, err
	}
	s := State{Locked: true}
	if warning != "" {
		s.Warnings = append(s.Warnings, warning)
	}
	signature, _, err := readTrusted(p.Dir, SignatureName, maxKeyBytes)
	switch {
	case len(p.Keys) == 0:
		s.Unverified = err == nil
	case errors.Is(err, fs.ErrNotExist):
		return State{}, &Refusal{LockName + " is not signed (there is no " + SignatureName + "), and the signature of a trusted key is required",
			"sign it: host plugins sign --key FILE"}
	case err != nil:
		return State{}, err
	default:
		key, ok := signer(p.Keys, text, signature)
		if !ok {
			return State{}, &Refusal{fmt.Sprintf("the signature in %s is not that of a trusted key (%s) for this %s", SignatureName, fingerprints(p.Keys), LockName),
				"find out who changed the lock; if the change was meant, sign it: host plugins sign --key FILE"}
		}
		s.SignedBy = key.Fingerprint()
	}
	if s.Lock, err = ParseLock(text); err != nil {
		return State{}, &Refusal{LockName + " " + err.Error(), "write it anew: host plugins lock"}
	}
	return s, nil
}

func fingerprints(keys []PublicKey) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Fingerprint()
	}
	return strings.Join(names, ", ")
}

// Entry is what the lock has for a plugin; nil when nothing is locked. The error
// is a *Refusal: there is a lock, and the plugin is not in it.
func (s State) Entry(plugin string) (*Entry, error) {
	if !s.Locked {
		return nil, nil
	}
	e, found := s.Lock.Plugins[plugin]
	if !found {
		return nil, &Refusal{"it is not in " + LockName, "if it is meant to run, lock it: host plugins lock"}
	}
	return &e, nil
}

// readTrusted reads a file of the plugin directory that decides what is run, and
// so obeys the rules that hold for plugins. The error is a *Refusal, or
// fs.ErrNotExist.
func readTrusted(dir, name string, limit int64) (text []byte, warning string, err error) {
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", err
	case err != nil:
		return nil, "", &Refusal{name + ": " + cause(err).Error(), "let the user that runs host read it"}
	case !info.Mode().IsRegular():
		return nil, "", &Refusal{path + " is no regular file (" + KindOf(info.Mode()) + ")", "put a file in its place: host plugins lock"}
	}
	text, warning, err = readSmall(path, limit)
	if err != nil {
		if refusal, ok := errors.AsType[*Refusal](err); ok {
			return nil, "", refusal
		}
		return nil, "", &Refusal{name + ": " + cause(err).Error(), "let the user that runs host read it"}
	}
	return text, warning, nil
}

// readSmall reads a file of at most limit bytes after judging it.
func readSmall(path string, limit int64) (text []byte, warning string, err error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = f.Close() }()
	warning, refusal := Judge(path, info)
	if refusal != nil {
		return nil, "", refusal
	}
	text, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, "", &Refusal{fmt.Sprintf("%s is larger than %d KiB", path, limit>>10), "write it anew"}
	}
	return text, warning, err
}
