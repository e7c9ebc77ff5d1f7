//go:build linux

package pluginhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// lockAll writes the lock of what is in dir now.
func lockAll(t testing.TB, dir string) plugintrust.Lock {
	t.Helper()
	found, _, err := Discover(dir)
	if err != nil {
		t.Fatal(err)
	}
	lock := plugintrust.Lock{Plugins: map[string]plugintrust.Entry{}}
	for _, c := range found {
		files, err := c.Measure()
		if err != nil {
			t.Fatal(err)
		}
		lock.Plugins[c.Name] = plugintrust.Entry{Files: files}
	}
	if _, err := plugintrust.WriteLock(dir, lock); err != nil {
		t.Fatal(err)
	}
	return lock
}

// write puts a file of the plugin directory in its place, as an update does: a
// new file is moved over the old one.
func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path+".new", []byte(text), mode),
		os.Chmod(path+".new", mode), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// bound is a candidate of that name, found and held as launch does it.
func bound(t testing.TB, dir, name string) (*held, Candidate) {
	t.Helper()
	found, skipped, err := Discover(dir)
	i := slices.IndexFunc(found, func(c Candidate) bool { return c.Name == name })
	if err != nil || i < 0 {
		t.Fatalf("%s is not found: %v, skipped %v", name, err, skipped)
	}
	root, err := resolve(dir)
	if err != nil {
		t.Fatal(err)
	}
	h, err := (&pin{}).hold(found[i], "", &gate{policy: plugintrust.Policy{Dir: root}}, shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.release)
	return h, found[i]
}

// says runs what is held to its end and gives what it wrote to standard error.
func says(t testing.TB, h *held, c Candidate) (string, error) {
	t.Helper()
	r := &processRunner{code: h, tmpDir: t.TempDir(), spec: child.Spec{
		Name: c.Name, Path: c.Path, Args: c.Args, Dir: c.Folder, Env: []string{"PATH=" + os.Getenv("PATH")},
	}}
	if err := r.Start(context.Background()); err != nil {
		return "", err
	}
	select {
	case <-r.process().Done():
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	return strings.Join(r.process().Exit().Tail, "\n"), nil
}

// The file is exchanged between the judgement and the start, in every way in
// which a plugin can be laid out: what was judged runs.
func TestAFileThatIsExchangedAfterItWasJudgedIsNotRun(t *testing.T) {
	const good, bad = "#!/bin/sh\necho good >&2\n", "#!/bin/sh\necho EXCHANGED >&2\n"
	for _, c := range []struct {
		name, why string
		lay       func(dir string)
		exchange  func(dir string)
	}{
		{"elf", "an executable is run by its descriptor", func(dir string) {
			install(t, dir, "elf", "says=good", nil)
		}, func(dir string) { write(t, filepath.Join(dir, "elf/elf"), bad, 0o755) }},
		{"moved", "a folder in the way is exchanged like a file", func(dir string) {
			install(t, dir, "moved", "says=good", nil)
		}, func(dir string) {
			if err := os.Rename(filepath.Join(dir, "moved"), filepath.Join(dir, "was")); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "moved/moved"), bad, 0o755)
		}},
		{"script", "the interpreter opens the script by its path, so it gets a copy", func(dir string) {
			write(t, filepath.Join(dir, "script/script"), good, 0o755)
			lockAll(t, dir)
		}, func(dir string) { write(t, filepath.Join(dir, "script/script"), bad, 0o755) }},
		{"alone", "a script that has no folder of its own", func(dir string) {
			write(t, filepath.Join(dir, "alone"), good, 0o755)
			lockAll(t, dir)
		}, func(dir string) { write(t, filepath.Join(dir, "alone"), bad, 0o755) }},
		{"helper", "what a script reads is as good as the script", func(dir string) {
			write(t, filepath.Join(dir, "helper/helper"), "#!/bin/sh\n. \"$(dirname \"$0\")/lib/say.sh\"\n", 0o755)
			write(t, filepath.Join(dir, "helper/lib/say.sh"), good, 0o644)
			lockAll(t, dir)
		}, func(dir string) { write(t, filepath.Join(dir, "helper/lib/say.sh"), bad, 0o644) }},
		{"command", "an argument of the interpreter", func(dir string) {
			write(t, filepath.Join(dir, "command/plugin.json"), `{"command":"sh","args":["check.sh"]}`, 0o644)
			write(t, filepath.Join(dir, "command/check.sh"), good, 0o644)
			lockAll(t, dir)
		}, func(dir string) { write(t, filepath.Join(dir, "command/check.sh"), bad, 0o644) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := pluginDir(t)
			c.lay(dir)
			h, candidate := bound(t, dir, c.name)
			c.exchange(dir)
			if got, err := says(t, h, candidate); err != nil || got != "good" {
				t.Errorf("what runs says %q (%v), want good: %s", got, err, c.why)
			}
		})
	}
}

func TestALockedFileThatIsWrittenIntoBeforeItRunsIsRefused(t *testing.T) {
	dir := pluginDir(t)
	exe := filepath.Join(dir, "elf")
	text, err := os.ReadFile(testBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	write(t, exe, string(text), 0o755)
	lockAll(t, dir)
	h, c := bound(t, dir, "elf")
	f, err := os.OpenFile(exe, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString("x")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := says(t, h, c); err == nil || !strings.Contains(err.Error(), "changed while it was started") {
		t.Errorf("what was written into a judged file runs: %v", err)
	}
}

func TestAProcessIsKnownByItsPluginsName(t *testing.T) {
	dir := pluginDir(t)
	exe := install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	pid := strconv.Itoa(b.is("good", Running).PID)
	comm, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil || strings.TrimSpace(string(comm)) != "good" {
		t.Errorf("the process is called %q (%v), want good, as ps and the kernel's log show it", comm, err)
	}
	if real, err := os.Readlink("/proc/" + pid + "/exe"); err != nil || real != exe {
		t.Errorf("its executable is %s (%v), want %s", real, err, exe)
	}
	if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err != nil || !strings.HasPrefix(string(line), exe+"\x00") {
		t.Errorf("its command line is %q (%v), want it to begin with %s", line, err, exe)
	}
}

func TestALockedPluginRunsAndSaysSo(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	install(t, dir, "free", "good", nil)
	b := run(t, dir, nil)
	if s := b.is("good", Running); s.Verified != Unverified || b.host.Trust().Locked {
		t.Errorf("without a lock it is verified by %q, the directory is %+v", s.Verified, b.host.Trust())
	}
	b.stop()
	lockAll(t, dir)
	b = run(t, dir, func(o *Options) { o.Trust.RequireChecksums = true })
	if s := b.is("good", Running); s.Verified != VerifiedByLock {
		t.Errorf("with a lock it is verified by %q", s.Verified)
	}
	if tr := b.host.Trust(); !tr.Locked || !tr.Required || tr.Error != "" {
		t.Errorf("the directory is %+v", tr)
	}
	if left := copies(t, b); len(left) != 0 {
		t.Errorf("an executable needs no copy: %v", left)
	}
}

// copies are the private folders that scripts run from.
func copies(t *testing.T, b *bench) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(b.runtime, copyPattern))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestALockedInterpretedPluginRunsFromAPrivateCopy(t *testing.T) {
	dir := pluginDir(t)
	write(t, filepath.Join(dir, "script", manifestName), `{"command":"bash","args":["./check.sh"]}`, 0o644)
	write(t, filepath.Join(dir, "script/check.sh"), "exec -a script ./real be-plugin=good\n", 0o644)
	if err := os.Link(testBinary(t), filepath.Join(dir, "script/real")); err != nil {
		t.Fatal(err)
	}
	lockAll(t, dir)
	b := run(t, dir, nil)
	s := b.is("script", Running)
	if s.Verified != VerifiedByLock || filepath.Base(s.Interpreter) != "bash" {
		t.Errorf("it is verified by %q and interpreted by %q", s.Verified, s.Interpreter)
	}
	left := copies(t, b)
	if len(left) != 1 {
		t.Fatalf("private copies: %v, want one", left)
	}
	if info, err := os.Stat(left[0]); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the copy has mode %v (%v), want 0700", info.Mode(), err)
	}
	if cwd, err := os.Readlink("/proc/" + strconv.Itoa(s.PID) + "/cwd"); err != nil || cwd != left[0] {
		t.Errorf("it runs in %s (%v), want %s", cwd, err, left[0])
	}
	b.stop()
	if left := copies(t, b); len(left) != 0 {
		t.Errorf("the copy outlived the plugin: %v", left)
	}
}

func TestWhatIsNotAsItIsLockedIsRefused(t *testing.T) {
	dir := pluginDir(t)
	for _, name := range []string{"changed", "configured", "unlocked", "intact"} {
		install(t, dir, name, "good", nil)
	}
	for _, name := range []string{"missing", "extra", "imported", "linked"} {
		write(t, filepath.Join(dir, name, name), "#!/bin/sh\nexit 1\n", 0o755)
		write(t, filepath.Join(dir, name, "lib.sh"), "true\n", 0o644)
	}
	install(t, dir, "gone", "good", nil)
	lock := lockAll(t, dir)
	delete(lock.Plugins, "unlocked")
	e := lock.Plugins["intact"]
	e.Version = "9.9.9"
	lock.Plugins["intact"] = e
	if _, err := plugintrust.WriteLock(dir, lock); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "changed/changed"), "#!/bin/sh\nexit 1\n", 0o755)
	write(t, filepath.Join(dir, "configured", manifestName), `{"command":"./configured","args":["be-plugin=good"],"config":{"word":"x"}}`, 0o644)
	write(t, filepath.Join(dir, "extra/more.sh"), "true\n", 0o644)
	write(t, filepath.Join(dir, "imported/lib.sh"), "false\n", 0o644)
	if err := errors.Join(os.Remove(filepath.Join(dir, "missing/lib.sh")), os.RemoveAll(filepath.Join(dir, "gone")),
		os.Remove(filepath.Join(dir, "linked/lib.sh")), os.Symlink("/etc/passwd", filepath.Join(dir, "linked/lib.sh"))); err != nil {
		t.Fatal(err)
	}
	b := run(t, dir, nil)
	for name, want := range map[string]string{
		"changed": "SHA-256", "configured": "plugin.json is SHA-256", "unlocked": "is not in plugins.lock.json", "missing": "lib.sh is locked, but missing",
		"extra": "more.sh is there, but not locked", "imported": "lib.sh is SHA-256", "intact": `calls itself version "1.2.3", but "9.9.9" is locked`,
		"linked": "outside of its folder",
	} {
		s := b.is(name, Refused)
		if !strings.Contains(s.LastError, want) || s.LastHint == "" || s.Verified != Unverified {
			t.Errorf("%s: %q (hint %q, verified %q), want %q", name, s.LastError, s.LastHint, s.Verified, want)
		}
	}
	if skipped := b.host.Skipped(); !slices.ContainsFunc(skipped, func(s Skipped) bool {
		return s.Name == "gone" && strings.Contains(s.Reason, "is in plugins.lock.json, but") && s.Remedy != ""
	}) {
		t.Errorf("skipped: %+v, want the plugin that is locked and not there", skipped)
	}
	if left := copies(t, b); len(left) != 0 {
		t.Errorf("refused plugins left copies: %v", left)
	}
}

func TestWithoutALockThatIsRequiredNothingRuns(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	b := run(t, dir, func(o *Options) { o.Trust.RequireChecksums = true })
	if s := b.is("good", Refused); !strings.Contains(s.LastError, "there is no plugins.lock.json") || !strings.Contains(s.LastHint, "host plugins lock") {
		t.Errorf("%q (hint %q)", s.LastError, s.LastHint)
	}
	if tr := b.host.Trust(); tr.Error == "" || tr.Hint == "" || tr.Locked {
		t.Errorf("the directory is %+v", tr)
	}
	lockAll(t, dir)
	b.instance("good").Release()
	if s := b.is("good", Running); s.Verified != VerifiedByLock {
		t.Errorf("after a lock was written it is verified by %q", s.Verified)
	}
}

func TestANewLockStartsWhatWasRefused(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "early", "good", nil)
	lockAll(t, dir)
	install(t, dir, "late", "good", nil)
	b := run(t, dir, func(o *Options) { o.LookInterval = 50 * time.Millisecond })
	b.is("early", Running)
	if s := b.is("late", Refused); !strings.Contains(s.LastError, "is not in plugins.lock.json") {
		t.Errorf("%q", s.LastError)
	}
	lockAll(t, dir)
	if s := b.is("late", Running); s.Verified != VerifiedByLock {
		t.Errorf("it is verified by %q", s.Verified)
	}
	if s := b.is("early", Running); s.Restarts != 0 {
		t.Errorf("a new lock that says the same of a plugin restarted it %d times", s.Restarts)
	}
}

func TestACopyThatCannotBeExecutedSaysWhy(t *testing.T) {
	dir := pluginDir(t)
	write(t, filepath.Join(dir, "alone"), "#!/bin/sh\n", 0o755)
	lockAll(t, dir)
	h, c := bound(t, dir, "alone")
	if err := os.Chmod(h.own, 0o600); err != nil { // as on a file system that is mounted noexec
		t.Fatal(err)
	}
	_, err := says(t, h, c)
	if launch, ok := errors.AsType[*LaunchError](err); !ok || !strings.Contains(err.Error(), "private copy") || !strings.Contains(launch.Remedy, "noexec") {
		t.Errorf("%v", err)
	}
}

func TestALockThatIsTakenAwayIsMissed(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	lockAll(t, dir)
	b := run(t, dir, nil)
	b.is("good", Running)
	if err := os.Remove(filepath.Join(dir, plugintrust.LockName)); err != nil {
		t.Fatal(err)
	}
	kill(t, b.instance("good").Snapshot().PID, syscall.SIGKILL)
	if s := b.is("good", Refused); !strings.Contains(s.LastError, "there is no plugins.lock.json") {
		t.Errorf("without the lock that there was: %q", s.LastError)
	}
}

func TestATrustedKeyRefusesEveryOtherLock(t *testing.T) {
	dir, keys := pluginDir(t), t.TempDir()
	install(t, dir, "good", "good", nil)
	lockAll(t, dir)
	key := func(name string) plugintrust.PrivateKey {
		k, err := plugintrust.NewKey(filepath.Join(keys, name))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ours, theirs := key("ours"), key("theirs")
	b := run(t, dir, func(o *Options) { o.Trust.Keys = []plugintrust.PublicKey{ours.Public()} })
	if s := b.is("good", Refused); !strings.Contains(s.LastError, "is not signed") {
		t.Errorf("an unsigned lock: %q", s.LastError)
	}
	for _, c := range []struct {
		sign plugintrust.PrivateKey
		want State
	}{{theirs, Refused}, {ours, Running}} {
		if err := plugintrust.Sign(dir, c.sign); err != nil {
			t.Fatal(err)
		}
		b.instance("good").Release()
		s := b.until("good", "judged again", func(s Snapshot) bool {
			return s.State == c.want && (c.want == Running || strings.Contains(s.LastError, "is not that of a trusted key"))
		})
		if c.want == Running && (s.Verified != VerifiedByLock || b.host.Trust().SignedBy != ours.Public().Fingerprint()) {
			t.Errorf("verified by %q, the directory is %+v", s.Verified, b.host.Trust())
		}
	}
}

func TestAGroupThatMayWriteTheLockIsAWarning(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", nil)
	lockAll(t, dir)
	if err := os.Chmod(filepath.Join(dir, plugintrust.LockName), 0o664); err != nil {
		t.Fatal(err)
	}
	b := run(t, dir, nil)
	b.is("good", Running)
	if w := b.host.Trust().Warnings; len(w) != 1 || !strings.Contains(w[0], "its group may write to the file") {
		t.Errorf("warnings: %q", w)
	}
	b.line("plugin may be exchanged by others", plugintrust.LockName)
}

func TestTheInterpreterIsNamedAndJudged(t *testing.T) {
	dir, bin := pluginDir(t), t.TempDir()
	open := filepath.Join(bin, "open-interpreter")
	write(t, open, "#!/bin/sh\n", 0o755)
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "env"), "#!/usr/bin/env -S sh -e\n", 0o755)
	write(t, filepath.Join(dir, "direct"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(dir, "open"), "#!"+open+"\n", 0o755)
	write(t, filepath.Join(dir, "command", manifestName), `{"command":"`+open+`"}`, 0o644)
	install(t, dir, "compiled", "good", nil)
	found, skipped, err := Discover(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range found {
		got[c.Name] = filepath.Base(c.Interpreter)
	}
	if got["env"] != "sh" || got["direct"] != "sh" || got["compiled"] != "." || len(got) != 3 {
		t.Errorf("interpreters: %v", got)
	}
	for _, s := range skipped {
		if !strings.Contains(s.Reason, "its interpreter: anybody may write") {
			t.Errorf("%s is skipped because %q", s.Name, s.Reason)
		}
	}
	if len(skipped) != 2 {
		t.Errorf("skipped: %+v, want the two whose interpreter anybody may write", skipped)
	}
}

func TestAFifoThatTakesTheFilesPlaceHoldsUpNobody(t *testing.T) {
	dir := pluginDir(t)
	exe := install(t, dir, "good", "good", nil)
	b := run(t, dir, nil)
	b.is("good", Running)
	if err := errors.Join(os.Remove(exe), syscall.Mkfifo(exe, 0o755)); err != nil {
		t.Fatal(err)
	}
	kill(t, b.instance("good").Snapshot().PID, syscall.SIGKILL)
	if s := b.is("good", Refused); !strings.Contains(s.LastError, "a fifo") {
		t.Errorf("%q", s.LastError)
	}
}
