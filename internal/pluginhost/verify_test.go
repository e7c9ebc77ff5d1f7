package pluginhost

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

func TestACandidateIsVerifiedWithoutAStart(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "disk")
	path := filepath.Join(folder, "disk"+executableSuffix)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	found, skipped, err := Discover(dir)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, skipped %v, %v", found, skipped, err)
	}
	c := found[0]
	if _, err := c.Verify(plugintrust.Policy{}); err != nil {
		t.Errorf("a plugin in order is refused: %v", err)
	}
	c.SHA256 = strings.Repeat("0", 64)
	if _, err := c.Verify(plugintrust.Policy{}); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a wrong checksum gives %v", err)
	}
	c.SHA256 = ""
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o757); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(plugintrust.Policy{}); err == nil || !strings.Contains(err.Error(), "anybody may write") {
			t.Errorf("a plugin that anybody may write gives %v", err)
		}
	}
}
