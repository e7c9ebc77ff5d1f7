package plugintrust

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var sum = strings.Repeat("ab", 32)

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestALockIsReadAsItWasWrittenAndAlwaysWrittenTheSame(t *testing.T) {
	lock := Lock{Plugins: map[string]Entry{
		"disk":       {Version: "1.0.0", Files: map[string]File{"disk": {SHA256: sum, Size: 12}, "plugin.json": {SHA256: sum, Size: 3}}},
		"redis-ping": {Files: map[string]File{"lib/a.js": {SHA256: sum, Size: 0}, "lib/b.js": {Link: "a.js"}}},
	}}
	text, err := lock.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if again, err := lock.Bytes(); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("the same lock has other bytes (%v):\n%s\n%s", err, text, again)
		}
	}
	read, err := ParseLock(text)
	if lock.SchemaVersion = 1; err != nil || !reflect.DeepEqual(read, lock) {
		t.Errorf("read %+v (%v), want %+v", read, err, lock)
	}
}

func TestALockThatMeansNothingIsRefused(t *testing.T) {
	entry := func(path, file string) string {
		return `{"schema_version":1,"plugins":{"disk":{"files":{"` + path + `":` + file + `}}}}`
	}
	good := `{"sha256":"` + sum + `","size":1}`
	if _, err := ParseLock([]byte(entry("lib/disk", good))); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                                  "no valid lock",
		"null":                              "schema_version 0",
		`{"schema_version":2,"plugins":{}}`: "schema_version 2, and this host knows 1",
		`{"schema_version":1,"plugin":{}}`:  "unknown field",
		`{"schema_version":1} {}`:           "after its closing brace",
		`{"schema_version":1,"plugins":{"../x":{"files":{"a":` + good + `}}}}`: "no plugin's name",
		`{"schema_version":1,"plugins":{"disk":{"files":{}}}}`:                 "no files",
		entry("../disk", good):                              "none in its folder",
		entry("/etc/passwd", good):                          "none in its folder",
		entry("a/../b", good):                               "none in its folder",
		entry(`a\u001b[31m`, good):                          "none in its folder",
		entry("disk", `{"sha256":"abc"}`):                   "no good checksum",
		entry("disk", `{"size":1}`):                         "no good checksum",
		entry("disk", `{"sha256":"`+sum+`","size":-1}`):     "no good checksum",
		entry("disk", `{"sha256":"`+sum+`","link":"else"}`): "no good checksum",
	} {
		if _, err := ParseLock([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzLock(f *testing.F) {
	f.Add([]byte(`{"schema_version":1,"plugins":{"disk":{"version":"1","files":{"disk":{"sha256":"` + sum + `","size":1}}}}}`))
	f.Add([]byte(`{"schema_version":1,"plugins":{"d":{"files":{"a/b":{"link":"c"}}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		lock, err := ParseLock(text)
		if err != nil {
			return
		}
		again, err := lock.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if read, err := ParseLock(again); err != nil || !reflect.DeepEqual(read, lock) && len(lock.Plugins) > 0 {
			t.Errorf("%q was accepted and is read back as %+v (%v)", text, read, err)
		}
		for name, e := range lock.Plugins {
			for path := range e.Files {
				if !filepath.IsLocal(path) {
					t.Errorf("plugin %q has a file %q outside of its folder", name, path)
				}
			}
		}
	})
}

func TestEveryDifferenceFromTheLockIsNamed(t *testing.T) {
	locked := Entry{Files: map[string]File{"a": {SHA256: sum, Size: 1}, "b": {SHA256: sum, Size: 2}, "l": {Link: "a"}}}
	same := map[string]File{"a": {SHA256: sum, Size: 1}, "b": {SHA256: sum, Size: 2}, "l": {Link: "a"}}
	if err := locked.Compare(same); err != nil {
		t.Errorf("what is locked is refused: %v", err)
	}
	other := strings.Repeat("00", 32)
	for _, c := range []struct {
		why   string
		found map[string]File
		want  []string
	}{
		{"another content", map[string]File{"a": {SHA256: other, Size: 1}, "b": same["b"], "l": same["l"]}, []string{"a is SHA-256 " + other, "locked is SHA-256 " + sum}},
		{"another size", map[string]File{"a": {SHA256: sum, Size: 9}, "b": same["b"], "l": same["l"]}, []string{"(9 bytes)", "(1 bytes)"}},
		{"a link in a file's place", map[string]File{"a": {Link: "b"}, "b": same["b"], "l": same["l"]}, []string{"a is a link to b"}},
		{"another link", map[string]File{"a": same["a"], "b": same["b"], "l": {Link: "b"}}, []string{"l is a link to b, but locked is a link to a"}},
		{"missing", map[string]File{"a": same["a"], "l": same["l"]}, []string{"b is locked, but missing"}},
		{"extra", map[string]File{"a": same["a"], "b": same["b"], "l": same["l"], "c": {SHA256: sum}}, []string{"c is there, but not locked"}},
		{"many", map[string]File{"v": {}, "w": {}, "x": {}, "y": {}}, []string{"a is locked, but missing", "and 4 more"}},
	} {
		err := locked.Compare(c.found)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", c.why, err, want)
			}
		}
		if !strings.Contains(hintOf(err), "host plugins lock") {
			t.Errorf("%s: hint %q", c.why, hintOf(err))
		}
	}
}

func TestALockIsWrittenWholeAndOldSignaturesGo(t *testing.T) {
	dir := t.TempDir()
	lock := Lock{Plugins: map[string]Entry{"disk": {Files: map[string]File{"disk": {SHA256: sum, Size: 1}}}}}
	if unsigned, err := WriteLock(dir, lock); err != nil || unsigned {
		t.Fatalf("the first lock: %v, %v", unsigned, err)
	}
	key, err := NewKey(filepath.Join(t.TempDir(), "key"))
	if err == nil {
		err = Sign(dir, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	if unsigned, err := WriteLock(dir, lock); err != nil || unsigned {
		t.Errorf("the same lock again: its signature is gone (%v, %v), though it still holds", unsigned, err)
	}
	lock.Plugins["disk"].Files["disk"] = File{SHA256: sum, Size: 2}
	if unsigned, err := WriteLock(dir, lock); err != nil || !unsigned {
		t.Errorf("another lock: the old signature is said to stay (%v, %v)", unsigned, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != LockName {
		t.Errorf("left in the directory: %v (%v), want the lock alone", entries, err)
	}
	if _, err := WriteLock(filepath.Join(dir, "missing"), lock); err == nil {
		t.Error("a lock is written into a directory that is not there")
	}
}
