//go:build unix

package plugintrust

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// place writes a file with exactly that mode.
func place(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) PrivateKey {
	t.Helper()
	key, err := NewKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// lockedDir is a directory with a lock of one plugin.
func lockedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := WriteLock(dir, Lock{Plugins: map[string]Entry{"disk": {Files: map[string]File{"disk": {SHA256: sum, Size: 1}}}}}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTheLockObeysTheRulesOfPlugins(t *testing.T) {
	for _, c := range []struct {
		why, want string
		spoil     func(path string) error
	}{
		{"anybody could have written it", "anybody may write to its file", func(p string) error { return os.Chmod(p, 0o646) }},
		{"a link leads elsewhere", "(a link)", func(p string) error { return errors.Join(os.Rename(p, p+".real"), os.Symlink(p+".real", p)) }},
		{"a fifo would hold up every start", "(a fifo)", func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o644)) }},
		{"a folder", "(a folder)", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) }},
		{"garbage", "is no valid lock", func(p string) error { return os.WriteFile(p, []byte("garbage"), 0o644) }},
		{"endless", "is larger than", func(p string) error { return os.Truncate(p, maxLockBytes+1) }},
	} {
		dir := lockedDir(t)
		if err := c.spoil(filepath.Join(dir, LockName)); err != nil {
			t.Fatal(err)
		}
		state, err := Policy{Dir: dir}.Read()
		if err == nil || state.Locked || !strings.Contains(err.Error(), c.want) || hintOf(err) == "" {
			t.Errorf("%s: %+v, %v (hint %q), want %q", c.why, state, err, hintOf(err), c.want)
		}
	}
	dir := lockedDir(t)
	if err := os.Chmod(filepath.Join(dir, LockName), 0o664); err != nil {
		t.Fatal(err)
	}
	if state, err := (Policy{Dir: dir}).Read(); err != nil || len(state.Warnings) != 1 || !strings.Contains(state.Warnings[0], "its group may write") {
		t.Errorf("a lock that its group may write: %+v, %v, want a warning", state, err)
	}
}

func TestWithoutALockThePolicyDecides(t *testing.T) {
	dir := t.TempDir()
	if state, err := (Policy{Dir: dir}).Read(); err != nil || state.Locked {
		t.Errorf("nothing is asked: %+v, %v", state, err)
	}
	if _, err := (Policy{Dir: dir, RequireChecksums: true}).Read(); err == nil || !strings.Contains(err.Error(), "checksums are required") {
		t.Errorf("checksums are required: %v", err)
	}
	if _, err := (Policy{Dir: dir, Keys: []PublicKey{newKey(t).Public()}}).Read(); err == nil || !strings.Contains(err.Error(), "signed by a trusted key is required") {
		t.Errorf("a signature is required: %v", err)
	}
	state, err := Policy{Dir: lockedDir(t)}.Read()
	if err != nil {
		t.Fatal(err)
	}
	if e, err := state.Entry("disk"); err != nil || e == nil {
		t.Errorf("a locked plugin: %v, %v", e, err)
	}
	if e, err := state.Entry("other"); err == nil || e != nil || !strings.Contains(hintOf(err), "host plugins lock") {
		t.Errorf("a plugin that is not locked: %v, %v", e, err)
	}
}

func TestOnlyTheSignatureOfATrustedKeyForTheseBytesCounts(t *testing.T) {
	ours, theirs := newKey(t), newKey(t)
	dir := lockedDir(t)
	lock, sig := filepath.Join(dir, LockName), filepath.Join(dir, SignatureName)
	policy := Policy{Dir: dir, Keys: []PublicKey{newKey(t).Public(), ours.Public()}}
	refused := func(why, want string) {
		t.Helper()
		if state, err := policy.Read(); err == nil || state.Locked || !strings.Contains(err.Error(), want) || hintOf(err) == "" {
			t.Errorf("%s: %+v, %v (hint %q), want %q", why, state, err, hintOf(err), want)
		}
	}
	refused("no signature", "is not signed")
	if err := Sign(dir, theirs); err != nil {
		t.Fatal(err)
	}
	refused("a stranger's signature", "is not that of a trusted key ("+policy.Keys[0].Fingerprint()+", "+ours.Public().Fingerprint()+")")
	if state, err := (Policy{Dir: dir}).Read(); err != nil || !state.Unverified || state.SignedBy != "" {
		t.Errorf("nobody asks for a signature: %+v, %v, want it called unverified", state, err)
	}
	if err := Sign(dir, ours); err != nil {
		t.Fatal(err)
	}
	if state, err := policy.Read(); err != nil || state.SignedBy != ours.Public().Fingerprint() {
		t.Fatalf("our signature: %+v, %v", state, err)
	}
	good, err := os.ReadFile(sig)
	if err != nil {
		t.Fatal(err)
	}
	for why, text := range map[string]string{"empty": "", "no base64": "?!", "cut off": string(good[:40]), "one bit": flip(good)} {
		place(t, sig, text, 0o644)
		refused("a signature that is "+why, "is not that of a trusted key")
	}
	place(t, sig, string(good), 0o666)
	refused("a signature that anybody may write", "anybody may write")
	place(t, sig, string(good), 0o644)
	text, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	place(t, lock, strings.Replace(string(text), sum, strings.Repeat("cd", 32), 1), 0o644)
	refused("a lock that was changed after it was signed", "for this "+LockName)
}

// flip changes one letter of a text in base64.
func flip(text []byte) string {
	other := byte('A')
	if text[10] == other {
		other = 'B'
	}
	return string(text[:10]) + string(other) + string(text[11:])
}

func TestAFolderIsReadAsAWholeOrNotAtAll(t *testing.T) {
	lay := func(t *testing.T) string {
		dir := t.TempDir()
		place(t, filepath.Join(dir, "run.py"), "import lib\n", 0o755)
		place(t, filepath.Join(dir, "lib/__init__.py"), "", 0o644)
		place(t, filepath.Join(dir, ".hidden"), "x", 0o600)
		if err := os.Symlink("../run.py", filepath.Join(dir, "lib/again")); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir, to := lay(t), t.TempDir()
	found, err := Folder{dir}.Read(to)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 4 || found["run.py"].Size != 11 || found["lib/again"].Link != "../run.py" || found["lib/__init__.py"].SHA256 == "" || found[".hidden"].Size != 1 {
		t.Errorf("found %+v, want every file, hidden ones too", found)
	}
	if again, err := (Folder{to}).Read(""); err != nil || (Entry{Files: found}).Compare(again) != nil {
		t.Errorf("the copy is %+v (%v), want %+v", again, err, found)
	}
	was, err1 := os.Stat(filepath.Join(dir, "run.py"))
	is, err2 := os.Stat(filepath.Join(to, "run.py"))
	if err := errors.Join(err1, err2); err != nil || is.Mode().Perm() != 0o700 || !is.ModTime().Equal(was.ModTime()) {
		t.Errorf("the copy of a script has mode %v and time %v (%v), want 0700 and %v", is.Mode(), is.ModTime(), err, was.ModTime())
	}
	for _, c := range []struct {
		why, want string
		spoil     func(dir string) error
	}{
		{"a link out of the folder", "outside of its folder", func(dir string) error { return os.Symlink("../x", filepath.Join(dir, "away")) }},
		{"an absolute link", "outside of its folder", func(dir string) error { return os.Symlink(filepath.Join(dir, "run.py"), filepath.Join(dir, "abs")) }},
		{"a way out by two links", "cannot be reached", func(dir string) error {
			return errors.Join(os.Symlink("lib", filepath.Join(dir, "l")), os.Symlink("l/../../x", filepath.Join(dir, "m")), os.Remove(filepath.Join(dir, "l")), os.Symlink("..", filepath.Join(dir, "l")))
		}},
		{"a loop of links", "cannot be reached", func(dir string) error { return os.Symlink("loop", filepath.Join(dir, "loop")) }},
		{"a fifo", "(a fifo)", func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644) }},
		{"a file that anybody may write", "anybody may write to its file", func(dir string) error { return os.Chmod(filepath.Join(dir, "lib/__init__.py"), 0o666) }},
		{"a folder that anybody may write", "anybody may write to its folder", func(dir string) error { return os.Chmod(filepath.Join(dir, "lib"), 0o777) }},
		{"a folder that is not there", "no such file", os.RemoveAll},
	} {
		dir := lay(t)
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"", t.TempDir()} {
			_, err := Folder{dir}.Read(to)
			if refusal, ok := errors.AsType[*Refusal](err); c.why != "a way out by two links" && (!ok || !strings.Contains(err.Error(), c.want) || refusal.Remedy == "") || err == nil {
				t.Errorf("%s: %v, want a refusal with %q", c.why, err, c.want)
			}
		}
	}
}

func TestOnlyItsOwnerReadsAPrivateKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	made, err := NewKey(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v (%v), want 0600", info.Mode(), err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewKey(file); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key over a key: %v, want that it is there already", err)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the key that was there has changed (%v)", err)
	}
	read, err := ReadKey(file)
	if err != nil || read.Public().String() != made.Public().String() {
		t.Errorf("read back: %v, %v", read.Public(), err)
	}
	for mode, want := range map[os.FileMode]string{0o644: "others can read the key", 0o640: "others can read the key", 0o602: "anybody may write"} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(file); err == nil || !strings.Contains(err.Error(), want) || hintOf(err) == "" {
			t.Errorf("a key of mode %04o: %v, want %q", mode, err, want)
		}
	}
	place(t, file, "no key\n", 0o600)
	if _, err := ReadKey(file); err == nil || strings.Contains(err.Error(), "no key\n") || hintOf(err) == "" {
		t.Errorf("a file without a key: %v", err)
	}
	place(t, file, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600)
	if _, err := ReadKey(file); err == nil || !strings.Contains(err.Error(), "that can be read") {
		t.Errorf("a broken key: %v", err)
	}
}
